"""What a fit will take of memory, from its numbers of ratings, users and items; measured in docs/performance.md.

Each model says what it takes itself, at the moment when it takes the most (`Model.fit_memory` and what follows it).
Arrays of a rating or of a row are counted, not what is made in chunks. Here is what all models share.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penchant.data.split import Split
from penchant.machine import check_memory

if TYPE_CHECKING:
    from penchant.models.base import Model

Parts = dict[str, int]

FLOAT = 4  # bytes of a float32 and of an int32
# What importing a library and loading its compiled code adds to a process.
LIBRARIES = {"numba": 60_000_000, "torch": 190_000_000}

# Bytes a rating, counted in the code that is named and compared with what processes took.
VALIDATION = 20  # base.Validation and its loss, split's rows: of a validation rating
HISTORY = 23  # History.of_split: an order by user, and what is put into it
HISTORY_KEPT = 9
BY_TIME = 16  # more where histories are in order of time: the times put together, and keys of the order
EVALUATION = 60  # evaluate_ratings: of a validation rating
ROWS = 60  # of a user or item: biases, counts, blocks and places


@dataclass(frozen=True)
class Sizes:
    """How much there is to fit.

    Attributes:
        train, valid: ratings.
        users, items: in training.
        timed: whether the ratings have times.
    """

    train: int
    valid: int
    users: int
    items: int
    timed: bool = False

    @classmethod
    def of(cls, split: Split) -> Sizes:
        """Of a split."""
        n_valid = len(split.valid) if split.valid is not None else 0
        return cls(len(split.train), n_valid, split.train.n_users, split.train.n_items, split.train.times is not None)

    @property
    def rows(self) -> int:
        """Users and items."""
        return self.users + self.items


def check_fits(models: Sequence[Model], split: Split, limit: int | None) -> None:
    """Refuse fits, one after the other, of which one would take more memory than there is.

    Args:
        models: each is kept when it is fitted.
        limit: the most that the process may hold, in bytes; None for what the machine has.

    Raises:
        NotEnoughMemoryError: one would.
    """
    sizes, before = Sizes.of(split), 0
    for model in models:
        parts = _largest((fitting(model, sizes), measuring(model, sizes)))
        parts |= {"the models fitted before": before, **_library(model)}
        check_memory(f"Fitting {model.name}", parts, limit, f"{model.memory_remedy} Fit fewer ratings.")
        before += model.learnt_memory(sizes) + HISTORY_KEPT * (sizes.train + sizes.valid)


def fitting(model: Model, sizes: Sizes) -> Parts:
    """Bytes that `model.fit` takes at its peak beside the ratings themselves, by what they are for."""
    shared = {
        "the validation ratings": VALIDATION * sizes.valid,
        "biases and counts of users and items": ROWS * sizes.rows,
    }
    return model.fit_memory(sizes) | shared


def measuring(model: Model, sizes: Sizes) -> Parts:
    """Bytes that are needed when a fit is done: what was learnt, the histories of users, the evaluation."""
    n, block = sizes.train + sizes.valid, model.block_memory(sizes)
    phases = (
        {"the histories of users, while they are sorted": (HISTORY + BY_TIME * model.in_order) * n},
        {"the histories of users": HISTORY_KEPT * n, "the evaluation": EVALUATION * sizes.valid},
        {"the histories of users": HISTORY_KEPT * n, "predictions": VALIDATION * sizes.valid + block},
    )
    return {"what was learnt": model.learnt_memory(sizes), **_largest(phases)}


def _largest(phases: Sequence[Parts]) -> Parts:
    return max(phases, key=lambda parts: sum(parts.values()))


def _library(model: Model) -> Parts:
    name = model.trained_by
    return {f"the library {name}": LIBRARIES[name]} if name is not None and name not in sys.modules else {}
