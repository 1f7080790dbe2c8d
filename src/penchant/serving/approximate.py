"""An approximate index of large catalogues: a user's best items without a look at every item.

Lists are the items whose points have the largest products with a direction (`FromProducts`). They are looked for in a
graph whose edges lead to items of large products, as if a product were a distance (Morozov and Babenko 2018,
"Non-metric similarity graphs for maximum inner product search"; the graph is that of Malkov and Yashunin 2016). Points
made equally long by one coordinate more, so that products become angles (Bachrach et al. 2014), were found much worse:
0.54 of the ten best of `mf` on Book-Crossing, where this finds 0.999. What is found is scored exactly.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from penchant.errors import MissingExtraError, UnsupportedError
from penchant.models import MODELS, Model, model_class
from penchant.models.base import Floats, Rows
from penchant.models.products import FromProducts
from penchant.ranking import best_columns
from penchant.serving.history import History

CONNECTIONS = 16  # of each item in the graph
BUILDING = 128  # how many are looked at to connect one
SEARCHING = (256, 512, 1_024, 2_048)  # and to find a list: as few as find enough, or as find hardly less than more do
ENOUGH = 0.98  # of the best items
HARDLY = 0.005
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
        history: of its users, with which it is measured.

    Raises:
        UnsupportedError: they do not.
        MissingExtraError: the library is not installed.
    """

    def __init__(self, model: Model, history: History) -> None:
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
        self._index: Any = Index(
            ndim=points.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=CONNECTIONS,
            expansion_add=BUILDING,
            expansion_search=SEARCHING[0],
        )
        self._index.add(np.arange(len(points), dtype=np.int64), np.ascontiguousarray(points), threads=1)
        self.seconds = time.perf_counter() - started
        self.searching, self.recall = self._how_many(history)
        self._index.expansion_search = self.searching

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
            if len(candidates) < ks[n]:  # in parts of a graph that few edges lead to
                found.append(self._exactly(user_vectors[n], left_out[n], ks[n]))
                continue
            products = self._points[candidates] @ directions[n]
            scores = self._products.scores_from(user_vectors[n : n + 1], products[None])[0]
            order = np.argsort(-scores, kind="stable")[: ks[n]]
            found.append((candidates[order], scores[order]))
        return found

    def _exactly(self, user_vector: Floats, left_out: Rows, k: int) -> tuple[Rows, Floats]:
        scores = self._model.scores_of(user_vector[None])
        best = best_columns(scores, np.array([0, len(left_out)], np.int64), left_out, min(k, scores.shape[1]))[0]
        rows = best[best >= 0]
        return rows, scores[0, rows]

    def _candidates(self, directions: Floats, n: int) -> list[Rows]:
        matches = self._index.search(np.ascontiguousarray(directions), min(n, len(self._points)), threads=1)
        keys, counts = np.atleast_2d(matches.keys), np.atleast_1d(getattr(matches, "counts", len(matches.keys)))
        return [of_one[:count].astype(np.int32) for of_one, count in zip(keys, counts, strict=True)]

    def _how_many(self, history: History) -> tuple[int, Recall]:
        """How many items are looked at, and what is found then: some graphs have parts that no search comes to."""
        found: tuple[int, Recall] | None = None
        for n in SEARCHING:
            self._index.expansion_search = n
            recall = self._measure(history)
            if found is not None and recall.mean < found[1].mean + HARDLY:
                return found
            found = n, recall
            if recall.mean >= ENOUGH:
                break
        assert found is not None
        return found

    def _measure(self, history: History) -> Recall:
        """Of users evenly spread over training, what they took left out; or of people with one item each, where the
        artifact has no users.
        """
        model, k = self._model, min(MEASURED_K, len(self._points))
        if model.n_users:
            rows = np.unique(np.linspace(0, model.n_users - 1, MEASURED_USERS).astype(np.int32))
            vectors, out = model.user_vectors(rows), [history.item_rows[history.of(row)] for row in rows.tolist()]
        else:
            items = np.unique(np.linspace(0, len(self._points) - 1, MEASURED_USERS).astype(np.int32))
            rating = np.full(1, 1 if model.ranks_only else model.scale[1], np.float32)
            out = [items[n : n + 1] for n in range(len(items))]
            vectors = np.stack([model.fold_in(item, rating) for item in out])
        kept = [n for n, rows in enumerate(out) if self.has(k + len(rows))] or [0]
        vectors, out = vectors[kept], [out[n] for n in kept]
        shared, wanted = 0, 0
        for n, (found, _) in enumerate(self.best(vectors, out, [k] * len(out))):
            exact, _ = self._exactly(vectors[n], out[n], k)
            shared, wanted = shared + len(np.intersect1d(exact, found)), wanted + len(exact)
        return Recall(shared / max(wanted, 1), k, len(out))
