"""What a fit will take of memory, from its numbers of ratings, users and items; measured in docs/performance.md.

Each model has a function that gives bytes by what they are for, at the moment when the fit takes the most. Arrays of
a rating or of a row are counted, not what is made in chunks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from penchant.data.split import Split
from penchant.machine import check_memory
from penchant.models.base import PAIRS_AT_A_TIME, Model
from penchant.models.mlp_training import embedding_size
from penchant.models.networks import PAIRS_A_TIME
from penchant.models.sgd_training import row_width

Parts = dict[str, int]

FLOAT = 4  # bytes of a float32 and of an int32
# What importing a library and loading its compiled code adds to a process.
LIBRARIES = {"numba": 60_000_000, "torch": 190_000_000}

# Bytes a rating, counted in the code that is named and compared with what processes took.
TILES = 3 * FLOAT  # sgd_training.Tiles: user, item, rating
VALIDATION = 20  # base.Validation and its loss, split's rows: of a validation rating
PREDICTING = 13  # Model.pair_scores of all training ratings (bias): scores, which are known
MLP_EPOCH = 8 + 3 * FLOAT  # mlp_training: an order, and the ratings in it
TORCH_EPOCH = 44  # torch_training: rows as int64, and an order with the ratings in it
HISTORY = 23  # History.of_split: an order by user, and what is put into it
HISTORY_KEPT = 9
EVALUATION = 60  # evaluate_ratings: of a validation rating
PRIOR = 16  # folding.Prior.of: a covariance and a part of it, of a pair of a user vector's numbers
ROWS = 60  # of a user or item: biases, counts, blocks and places

MLP_COPIES = 3  # embeddings: those trained, those validated, the best
MLP_SUMS = 4  # of a block of pairs: the first layer's sums, those of the items, rectified, and one in the making
OWN_COPIES = 6  # weights, gradients, two moments, those validated, the best
OWN_PAIR = 1200  # what a module makes of a pair of a block of validation: nobody knows, and this is 300 numbers


@dataclass(frozen=True)
class Sizes:
    """How much there is to fit.

    Attributes:
        train, valid: ratings.
        users, items: in training.
    """

    train: int
    valid: int
    users: int
    items: int

    @classmethod
    def of(cls, split: Split) -> Sizes:
        """Of a split."""
        n_valid = len(split.valid) if split.valid is not None else 0
        return cls(len(split.train), n_valid, split.train.n_users, split.train.n_items)

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
        parts = _largest((fit_memory(model, sizes), measuring_memory(model, sizes)))
        parts |= {"the models fitted before": before, **_libraries(model)}
        check_memory(f"Fitting {model.name}", parts, limit, _remedy(model))
        before += LEARNT[model.name](model, sizes) + HISTORY_KEPT * (sizes.train + sizes.valid)


def fit_memory(model: Model, sizes: Sizes) -> Parts:
    """Bytes that `model.fit` takes at its peak beside the ratings themselves, by what they are for."""
    shared = {
        "the validation ratings": VALIDATION * sizes.valid,
        "biases and counts of users and items": ROWS * sizes.rows,
    }
    return FITS[model.name](model, sizes) | shared


def measuring_memory(model: Model, sizes: Sizes) -> Parts:
    """Bytes that are needed when a fit is done: what was learnt, the histories of users, the evaluation."""
    n, block = sizes.train + sizes.valid, BLOCKS[model.name](model, sizes)
    phases = (
        {"the histories of users, while they are sorted": HISTORY * n},
        {"the histories of users": HISTORY_KEPT * n, "the evaluation": EVALUATION * sizes.valid},
        {"the histories of users": HISTORY_KEPT * n, "predictions": VALIDATION * sizes.valid + block},
    )
    return {"what was learnt": LEARNT[model.name](model, sizes), **_largest(phases)}


def _largest(phases: Sequence[Parts]) -> Parts:
    return max(phases, key=lambda parts: sum(parts.values()))


def _libraries(model: Model) -> Parts:
    needed = ("torch",) if model.name == "own" else () if model.name == "bias" else ("numba",)
    return {f"the library {name}": LIBRARIES[name] for name in needed if name not in sys.modules}


def _remedy(model: Model) -> str:
    fewer = {"dot": "Use fewer --factors.", "mf": "Use fewer --factors.", "own": "Use a smaller module."}
    return f"{fewer.get(model.name, 'Use another model (bias, or mf with few --factors).')} Fit fewer ratings."


# --- models -----------------------------------------------------------------------------------------


def _bias(model: Model, sizes: Sizes) -> Parts:
    del model
    return {"predictions of the ratings": PREDICTING * sizes.train}


def _factors(model: Model, sizes: Sizes) -> Parts:
    """While it trains: tables of factors and a copy of the best. Before and after, both are not there yet."""
    table = FLOAT * row_width(model.settings.factors) * sizes.rows
    return {
        "the factors of users and items, and a copy of the best": 2 * table,
        "the ratings": TILES * sizes.train,
        "the distribution of users": PRIOR * (1 + model.settings.factors) ** 2,
    }


def _learnt_factors(model: Model, sizes: Sizes) -> int:
    return FLOAT * model.settings.factors * sizes.rows


def _factors_block(model: Model, sizes: Sizes) -> int:
    """Factors of the users and of the items of some pairs."""
    return 2 * FLOAT * model.settings.factors * min(sizes.valid, PAIRS_AT_A_TIME)


def _embeddings(sizes: Sizes) -> int:
    return FLOAT * (embedding_size(sizes.users) * sizes.users + embedding_size(sizes.items) * sizes.items)


def _mlp(model: Model, sizes: Sizes) -> Parts:
    """In an epoch its order of ratings, then a block of validation pairs, then one more copy of the embeddings."""
    one = _embeddings(sizes)
    return {
        "the embeddings of users and items, and copies": MLP_COPIES * one,
        "the ratings in an epoch, and their validation": max(MLP_EPOCH * sizes.train, _mlp_block(model, sizes), one),
        "the hidden layer of items": 2 * FLOAT * model.settings.layers[0] * sizes.items,
        "the distribution of users": PRIOR * embedding_size(sizes.users) ** 2,
    }


def _mlp_block(model: Model, sizes: Sizes) -> int:
    numbers = embedding_size(sizes.users) + MLP_SUMS * max(model.settings.layers)
    return FLOAT * numbers * min(sizes.valid, PAIRS_A_TIME)


def _own(model: Model, sizes: Sizes) -> Parts:
    return {
        "the module's weights, gradients and copies": OWN_COPIES * _weights(model, sizes),
        "the ratings in an epoch": TORCH_EPOCH * sizes.train,
        "a block of validation": _own_block(model, sizes),
    }


def _own_block(model: Model, sizes: Sizes) -> int:
    del model
    return OWN_PAIR * min(sizes.valid, PAIRS_A_TIME)


def _weights(model: Any, sizes: Sizes) -> int:
    """Bytes of a module's weights, found without making them; 0 where its constructor insists on real ones.

    What else may be wrong with a constructor, the fit itself tells.
    """
    from penchant.models.torch_training import build_module, torch  # type: ignore[attr-defined]  # its only home

    module = model.module_source
    if not isinstance(module, torch.nn.Module):
        try:
            with torch.device("meta"):  # tensors of a shape and no content
                module = build_module(module, sizes.users, sizes.items, model.module_settings, 0)
        except Exception:
            return 0
    return sum(one.numel() * one.element_size() for one in (*module.parameters(), *module.buffers()))


FITS: dict[str, Callable[[Model, Sizes], Parts]] = {
    "bias": _bias,
    "dot": _factors,
    "mf": _factors,
    "mlp": _mlp,
    "own": _own,
}
LEARNT: dict[str, Callable[[Model, Sizes], int]] = {
    "bias": lambda _, sizes: 4 * FLOAT * sizes.rows,
    "dot": _learnt_factors,
    "mf": _learnt_factors,
    "mlp": lambda _, sizes: _embeddings(sizes),
    "own": _weights,
}
BLOCKS: dict[str, Callable[[Model, Sizes], int]] = {  # pairs that are predicted at a time
    "bias": lambda *_: 0,
    "dot": _factors_block,
    "mf": _factors_block,
    "mlp": _mlp_block,
    "own": _own_block,
}
