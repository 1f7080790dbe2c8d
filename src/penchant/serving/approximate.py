"""An approximate index of large catalogues: a user's best items without a look at every item.

Lists are the items whose points have the largest products with a direction (`FromProducts`). A coordinate more
makes all points equally long without changing a product (Bachrach et al. 2014, section 4, "Speeding up the Xbox
recommender system using a Euclidean transformation for inner-product spaces"), so that the largest products are the
smallest angles, for which a graph of near neighbours is made (Malkov and Yashunin 2016). What is found is scored
exactly.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import MissingExtraError, UnsupportedError
from penchant.models import MODELS, Model, model_class
from penchant.models.base import Floats, Rows
from penchant.models.products import FromProducts
from penchant.ranking import best_columns

CONNECTIONS = 16  # of each item in the graph
BUILDING = 128  # how many are looked at to connect one
SEARCHING = 256  # and to find a list
MORE = 20  # candidates beyond those that are asked for
MOST = 2_000  # candidates; a longer list is found exactly
MEASURED_USERS = 200
MEASURED_K = 10


@dataclass(frozen=True)
class Recall:
    """How much of exact lists an index finds.

    Attributes:
        mean: the share of the k best items that are found, over users.
        k: how long lists are.
        n_users: how many users were asked for.
    """

    mean: float
    k: int
    n_users: int


class ItemIndex:
    """Candidates for lists.

    It is built on one thread, so that the same model has the same index on every machine of a kind.

    Args:
        model: whose scores come from products.

    Raises:
        UnsupportedError: they do not.
        MissingExtraError: the library is not installed.
    """

    def __init__(self, model: Model) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingExtraError("An approximate index", extra="serve") from error
        if not isinstance(model, FromProducts):
            searched = ", ".join(name for name in sorted(MODELS) if issubclass(model_class(name), FromProducts))
            raise UnsupportedError(
                f"The scores of a {model.name} model are no products of vectors, so there is no approximate index.",
                remedy=f"Serve one of {searched}, or look at all items.",
            )
        started = time.perf_counter()
        self._model = model
        self._products: FromProducts = model
        points = model.item_points()
        self._points = points
        squares = np.einsum("nd,nd->n", points, points, dtype=np.float64)
        missing = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0)).astype(np.float32)
        self._index: Any = Index(
            ndim=points.shape[1] + 1,
            metric="cos",
            dtype="f32",
            connectivity=CONNECTIONS,
            expansion_add=BUILDING,
            expansion_search=SEARCHING,
        )
        # Where all points are 0, so are all products, and any item is as good as another.
        lengthened = np.concatenate(
            (points, missing[:, None] if squares.any() else np.ones_like(missing)[:, None]), axis=1
        )
        self._index.add(np.arange(len(points), dtype=np.int64), lengthened, threads=1)
        self.seconds = time.perf_counter() - started
        self.recall = self._measure()

    def has(self, n: int) -> bool:
        """Whether the best n of a user, those left out included, are found by the index."""
        return n + MORE <= min(MOST, len(self._points) // 4)

    def best(self, user_vectors: Floats, left_out: list[Rows], ks: list[int]) -> list[tuple[Rows, Floats]]:
        """The best items of some users with their scores, ties to the smaller row.

        Args:
            user_vectors: float32 (n, d).
            left_out: rows that may not be in a list, of each.
            ks: how many items each wants.
        """
        wanted = max((k + len(out) for k, out in zip(ks, left_out, strict=True)), default=0) + MORE
        directions = self._products.directions(user_vectors)
        found = []
        for n, rows in enumerate(self._candidates(directions, wanted)):
            candidates = np.setdiff1d(rows, left_out[n])  # ascending
            products = self._points[candidates] @ directions[n]
            scores = self._products.scores_from(user_vectors[n : n + 1], products[None])[0]
            order = np.argsort(-scores, kind="stable")[: ks[n]]
            found.append((candidates[order], scores[order]))
        return found

    def _candidates(self, directions: Floats, n: int) -> NDArray[np.int32]:
        asked = np.concatenate((directions, np.zeros((len(directions), 1), np.float32)), axis=1)
        keys = self._index.search(asked, min(n, len(self._points)), threads=1).keys
        return np.asarray(keys).astype(np.int32).reshape(len(directions), -1)

    def _measure(self) -> Recall:
        """Of users evenly spread over training; of people with one item each where the artifact has no users."""
        model, k = self._model, min(MEASURED_K, len(self._points))
        if model.n_users:
            rows = np.unique(np.linspace(0, model.n_users - 1, MEASURED_USERS).astype(np.int32))
            vectors = model.user_vectors(rows)
        else:
            items = np.unique(np.linspace(0, len(self._points) - 1, MEASURED_USERS).astype(np.int32))
            rating = np.full(1, 1 if model.ranks_only else model.scale[1], np.float32)
            vectors = np.stack([model.fold_in(items[n : n + 1], rating) for n in range(len(items))])
        shared = 0
        nothing = np.zeros(2, np.int64), np.empty(0, np.int32)
        for vector, (found, _) in zip(
            vectors, self.best(vectors, [nothing[1]] * len(vectors), [k] * len(vectors)), strict=True
        ):
            exact = best_columns(model.scores_of(vector[None]), *nothing, k)[0]
            shared += len(np.intersect1d(exact, found))
        return Recall(shared / (k * len(vectors)), k, len(vectors))
