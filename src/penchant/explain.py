"""Looking into a fitted model: the items liked best and least, and which items are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.models.base import Floats, Model


@dataclass(frozen=True)
class Ranked:
    """Some items in order.

    Attributes:
        rows: int32 (k,), best first.
        values: float32 (k,), what they are ordered by.
    """

    rows: NDArray[np.int32]
    values: Floats


def extreme_items(model: Model, k: int) -> tuple[Ranked, Ranked]:
    """The k items of the highest bias (highest first) and the k of the lowest (lowest first)."""
    biases = model.item_biases()
    order = np.argsort(-biases, kind="stable").astype(np.int32)
    best, worst = order[:k], order[::-1][:k]
    return Ranked(best, biases[best]), Ranked(worst, biases[worst])


def similar_items(model: Model, item_row: int, k: int) -> Ranked:
    """The k items whose factors have the highest cosine with one item's, itself left out.

    Raises:
        UnsupportedError: the model has no item factors.
    """
    similarities = cosines(model.item_factors(), item_row)
    similarities[item_row] = -np.inf
    rows = np.argsort(-similarities, kind="stable")[: min(k, len(similarities) - 1)].astype(np.int32)
    return Ranked(rows, similarities[rows])


def cosines(factors: Floats, row: int) -> Floats:
    """Cosine of every row of factors (n, d) with one of them, float32 (n,); 0 for a row of zeros."""
    lengths = np.linalg.norm(factors, axis=1)
    products = factors @ factors[row]
    scale = lengths * lengths[row]
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def nearest_names(wanted: str, names: list[str], k: int = 5) -> list[int]:
    """Positions of the names most like the one asked for, best first: those that contain it, then near misses."""
    import difflib

    folded = wanted.casefold()
    lowered = [name.casefold() for name in names]
    containing = sorted((i for i, name in enumerate(lowered) if folded in name), key=lambda i: len(lowered[i]))
    close = difflib.get_close_matches(folded, lowered, n=k, cutoff=0.5)
    found: dict[int, Any] = dict.fromkeys(containing[:k])
    for match in close:
        found.setdefault(lowered.index(match))
    return list(found)[:k]
