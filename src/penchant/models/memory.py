"""What a fit will take of memory, from its numbers of ratings, users and items; measured in docs/performance.md.

Each model has a function that gives bytes by what they are for, at the moment when the fit takes the most. Arrays of
a rating or of a row are counted, not what is made in chunks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penchant.data.split import Split
from penchant.machine import check_memory
from penchant.models.base import Model
from penchant.models.mlp_training import embedding_size
from penchant.models.networks import PAIRS_A_TIME
from penchant.models.sgd_training import row_width

Parts = dict[str, int]

FLOAT = 4  # bytes of a float32 and of an int32
# What importing a library and loading its compiled code adds to a process.
LIBRARIES = {"numba": 130_000_000, "torch": 270_000_000}

# Bytes a rating, counted in the code that is named and compared with what processes took.
TILES = 3 * FLOAT  # sgd_training.Tiles: user, item, rating
VALIDATION = 20  # base.Validation and its loss, split's rows: of a validation rating
COUNTING = 8  # np.bincount makes int64 of int32
PREDICTING = 13  # Model.pair_scores of all training ratings (bias): scores, which are known
MLP_EPOCH = 8 + 3 * FLOAT  # mlp_training: an order, and the ratings in it
TORCH_EPOCH = 44  # torch_training: rows as int64, and an order with the ratings in it
HISTORY = 23  # History.of_split: an order by user, and what is put into it
HISTORY_KEPT = 9
EVALUATION = 60  # evaluate_ratings: of a validation rating
ROWS = 60  # of a user or item: biases, counts, blocks and places

MLP_COPIES = 3  # embeddings: those trained, those validated, the best
MLP_SUMS = 4  # of a block of pairs: the first layer's sums, those of the items, rectified, and one in the making
OWN_COPIES = 8  # weights, gradients, two moments and their passing products, those validated, the best


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


def check_fit(model: Model, split: Split, limit: int | None) -> None:
    """Refuse a fit that would take more memory than there is; `limit` is the most that the process may hold.

    Raises:
        NotEnoughMemoryError: it would.
    """
    sizes = Sizes.of(split)
    fitting, after = fit_memory(model, sizes), measuring_memory(model, sizes)
    parts = max(fitting, after, key=lambda parts: sum(parts.values()))
    check_memory(f"Fitting {model.name}", parts | _libraries(model), limit, _remedy(model))


def fit_memory(model: Model, sizes: Sizes) -> Parts:
    """Bytes that `model.fit` takes at its peak beside the ratings themselves, by what they are for."""
    shared = {
        "the validation ratings": VALIDATION * sizes.valid,
        "biases and counts of users and items": ROWS * sizes.rows,
    }
    return FITS[model.name](model, sizes) | shared


def measuring_memory(model: Model, sizes: Sizes) -> Parts:
    """Bytes that are needed when a fit is done: what was learnt, the histories of users, the evaluation."""
    n = sizes.train + sizes.valid
    history = max(HISTORY * n, HISTORY_KEPT * n + EVALUATION * sizes.valid)
    return {"what was learnt": LEARNT[model.name](model, sizes), "the histories of users": history}


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
    return {"the factors of users and items, and a copy of the best": 2 * table, "the ratings": TILES * sizes.train}


def _learnt_factors(model: Model, sizes: Sizes) -> int:
    return FLOAT * model.settings.factors * sizes.rows


def _embeddings(sizes: Sizes) -> int:
    return FLOAT * (embedding_size(sizes.users) * sizes.users + embedding_size(sizes.items) * sizes.items)


def _mlp(model: Model, sizes: Sizes) -> Parts:
    """In an epoch its order of ratings, then a block of validation pairs, then one more copy of the embeddings."""
    one, widest = _embeddings(sizes), max(model.settings.layers)
    pairs = min(sizes.valid, PAIRS_A_TIME) * FLOAT * (embedding_size(sizes.users) + MLP_SUMS * widest)
    return {
        "the embeddings of users and items, and copies": MLP_COPIES * one,
        "the ratings in an epoch, and their validation": max(MLP_EPOCH * sizes.train, pairs, one),
        "the hidden layer of items": 2 * FLOAT * model.settings.layers[0] * sizes.items,
    }


def _own(model: Model, sizes: Sizes) -> Parts:
    return {
        "the module's weights, gradients and copies": OWN_COPIES * _weights(model, sizes),
        "the ratings": TORCH_EPOCH * sizes.train,
    }


def _weights(model: Any, sizes: Sizes) -> int:
    """Bytes of a module's weights, found without making them; 0 where its constructor insists on real ones.

    What else may be wrong with a constructor, the fit itself tells.
    """
    from penchant.models import torch_training

    torch: Any = torch_training.torch  # type: ignore[attr-defined]  # its only home is there
    module = model.module_source
    if not isinstance(module, torch.nn.Module):
        try:
            with torch.device("meta"):  # tensors of a shape and no content
                module = torch_training.build_module(module, sizes.users, sizes.items, model.module_settings, 0)
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
