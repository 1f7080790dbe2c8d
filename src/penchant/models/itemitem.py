"""Models of items by items: what a user took is the user's vector, and a matrix says what goes with what.

`ease` solves for the whole matrix (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data"), `item-knn`
keeps the most similar items of each (Sarwar et al. 2001; shrinkage as in Koren and Bell 2015).
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import entries_of
from penchant.data.split import Split
from penchant.errors import SettingError
from penchant.models.base import Floats, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.preferences import (
    SCORES_A_TIME,
    SORTED,
    WEIGHTING,
    OneStep,
    Positives,
    PreferenceModel,
    Weighting,
    scored_at_once,
)
from penchant.models.settings import Settings, setting
from penchant.threads import Workers

KERNEL = "penchant.kernels.itemitem"
FEW = 3_000_000  # entries that NumPy adds up in the time that loading the kernel takes
GATHERED = 256  # rows of a dense matrix that are gathered at a time
SWEPT = 256  # rows and columns that are inverted in one step
MEASURED = 1000  # users whose rows the train loss of item-knn is measured on
KEPT = 2 * FLOAT  # bytes of an entry of a sparse matrix

Scheme = Literal["plain", "tf-idf"]
Progress = Callable[[float], None]
Doubles = NDArray[np.float64]


class _HistoryModel(PreferenceModel):
    """A model whose vector of a user is what the user took: the weights by item, float32 (n_items,).

    `parameters` keep them in compressed sparse rows, as "history/starts", "history/columns" and "history/weights".
    """

    @abstractmethod
    def _learn(self, positives: Positives, workers: Workers, progressed: Progress) -> float:
        """Put the matrix into `parameters`, and return the train loss."""

    @abstractmethod
    def _entries(self, item_rows: Rows, item_row: int) -> Floats:
        """What a weight of 1 of each of some items adds to the score of one."""

    @final
    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        positives = self._positives(split.train)
        total = np.bincount(positives.columns, positives.weights, positives.n_columns)
        self.parameters |= {
            "history/starts": positives.starts,
            "history/columns": positives.columns,
            "history/weights": positives.weights,
            "average": (total / positives.n_rows).astype(np.float32),
        }
        with Workers(options.n_threads) as workers:

            def compute(progressed: Progress) -> float:
                return self._learn(positives, workers, progressed)

            return run_epochs(OneStep(self, compute), self.name, options)

    @final
    def user_vectors(self, user_rows: Rows) -> Floats:
        """What each took, (n, n_items)."""
        starts = self._parameter("history/starts")
        entries, of_row = entries_of(starts, user_rows)
        vectors = np.zeros((len(user_rows), self.n_items), np.float32)
        vectors[of_row, self._parameter("history/columns")[entries]] = self._parameter("history/weights")[entries]
        return vectors

    @final
    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        vector = np.zeros(self.n_items, np.float32)
        np.add.at(vector, item_rows, weights)
        return vector

    @final
    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Doubles:
        return self._weights(ratings).astype(np.float64) * self._entries(item_rows, item_row)

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        return {
            **_sparse_shapes(self.parameters, "history", "weights", n_users),
            "average": (n_items,),
            "weighted": (1,),
        }

    def _less_users(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, extra = super()._less_users()
        return arrays | {"history/starts": np.zeros(1, np.int64)}, extra

    def _check_values(self) -> None:
        _check_sparse(self.parameters, "history", self.n_items)

    def _dtype(self, name: str) -> type[np.generic]:
        types: dict[str, type[np.generic]] = {"starts": np.int64, "columns": np.int32}
        return types.get(name.rpartition("/")[2]) or super()._dtype(name)

    def _history_memory(self, sizes: Sizes) -> int:
        return KEPT * sizes.train + 8 * sizes.users + FLOAT * sizes.items

    def block_memory(self, sizes: Sizes) -> int:
        """Vectors and scores of the users of some pairs."""
        return 2 * FLOAT * scored_at_once(sizes)


# --- ease -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EaseSettings(Settings):
    """Settings of `ease`."""

    regularisation: float = setting(
        500.0, "How strongly large weights between items are held back.", above=0, search=(10, 2000)
    )
    weighting: Weighting = setting("log", WEIGHTING, search=("linear", "binary", "log"))


@final
class Ease(_HistoryModel):
    """scores = x B, where B minimises ||X - X B||^2 + regularisation ||B||^2 with a diagonal of zeros.

    B = -P / diag(P) off the diagonal, P = inverse(X'X + regularisation I) (Steck 2019, equation 8). The train loss is
    ||X - X B||^2 for each thing taken.
    """

    name = "ease"
    settings_class = EaseSettings
    memory_remedy = "Use item-knn or als, whose memory does not grow with the square of the items."

    def _learn(self, positives: Positives, workers: Workers, progressed: Progress) -> float:
        strength = float(self.settings.regularisation)
        matrix = _gram(positives, workers)
        matrix.flat[:: len(matrix) + 1] += strength
        try:
            for fraction in _invert(matrix, workers):
                progressed(fraction)
            own = matrix.diagonal().copy()
            solved = bool((own > 0).all())  # not so where rounding is larger than the regularisation
        except np.linalg.LinAlgError:
            solved = False
        if not solved:
            raise SettingError("ease has no solution that can be computed.", remedy="Use a larger regularisation.")
        weights = np.empty(matrix.shape, np.float32)
        squares = 0.0
        for at in range(0, len(matrix), SWEPT):
            some = slice(at, at + SWEPT)
            between = matrix[some] / -own
            between[np.arange(len(between)), np.arange(at, at + len(between))] = 0
            squares += float(np.einsum("ij,ij->", between, between))
            weights[some] = between
        self.parameters["item_weights"] = weights
        # I - B = P / diag(P) and X'X = inverse(P) - strength I, so ||X - X B||^2 = trace((I - B)' X'X (I - B)) is:
        return (float((1 / own).sum()) - strength * (len(own) + squares)) / len(positives)

    def scores_of(self, user_vectors: Floats) -> Floats:
        """Only by the rows of items that somebody took: few are read for few users."""
        weights = self._parameter("item_weights")
        taken = np.flatnonzero((user_vectors != 0).any(axis=0))
        scores = np.zeros(user_vectors.shape, np.float32)
        for at in range(0, len(taken), GATHERED):
            some = taken[at : at + GATHERED]
            # Rows that follow each other need not be gathered.
            rows = slice(some[0], some[-1] + 1) if some[-1] - some[0] < len(some) else some
            scores += user_vectors[:, rows] @ weights[rows]
        return scores

    def item_factors(self) -> Floats:
        """What each item adds to the scores of all, (n_items, n_items)."""
        return self._parameter("item_weights")

    def _entries(self, item_rows: Rows, item_row: int) -> Floats:
        entries: Floats = self._parameter("item_weights")[item_rows, item_row]
        return entries

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        return {**super()._shapes(n_users, n_items), "item_weights": (n_items, n_items)}

    def fit_memory(self, sizes: Sizes) -> Parts:
        n = sizes.items
        return {
            "what each user took": SORTED * sizes.train + 8 * sizes.users,
            "a matrix of items by items, its inverse in its place, and the weights": (8 + FLOAT) * n * n,
            "a step of the inversion": 6 * 8 * min(SWEPT, n) * n,
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return FLOAT * sizes.items**2 + self._history_memory(sizes)


def _gram(positives: Positives, workers: Workers) -> Doubles:
    from penchant.kernels.itemitem import ROWS, gram_rows  # numba is loaded only to train

    by_item = positives.transposed()
    gram = np.zeros((by_item.n_rows, by_item.n_rows))

    def work(blocks: NDArray[np.int64]) -> None:
        gram_rows(blocks, *_arrays(by_item), *_arrays(positives), gram)

    workers.share(np.arange(-(-by_item.n_rows // ROWS)), work)
    return gram


def _invert(matrix: Doubles, workers: Workers) -> Iterator[float]:
    """Invert a symmetric positive definite matrix in its own place; gives the fraction that is done, again and again.

    Each step sweeps some rows and columns K (Goodnight 1979): with D = inverse(A_KK), A_KK becomes -D, A_iK becomes
    A_iK D, and A_ij loses A_iK D A_Kj. When all are swept, A is -inverse(A). Only what is not above the diagonal is
    kept up to date until the end. The blocks are the same for any number of threads, and so are the results.
    """
    n = len(matrix)
    bounds = [slice(at, min(at + SWEPT, n)) for at in range(0, n, SWEPT)]
    numbers = np.arange(len(bounds))
    for step, swept in enumerate(bounds):
        column = np.concatenate((matrix[swept, : swept.start].T, matrix[swept.start :, swept]))
        pivot = np.linalg.inv(column[swept])
        pivot = (pivot + pivot.T) / 2
        moved = column @ pivot

        def work(
            blocks: NDArray[np.int64], swept: slice = swept, column: Doubles = column, moved: Doubles = moved
        ) -> None:
            for block in blocks:
                rows = bounds[block]
                if rows != swept:
                    matrix[rows, : rows.stop] -= moved[rows] @ column[: rows.stop].T

        workers.share(numbers, work)
        matrix[swept, : swept.start] = moved[: swept.start].T
        matrix[swept.stop :, swept] = moved[swept.stop :]
        matrix[swept, swept] = -pivot
        yield (step + 1) / len(bounds)
    for rows in bounds:
        np.negative(matrix[rows, : rows.stop], out=matrix[rows, : rows.stop])
        matrix[: rows.start, rows] = matrix[rows, : rows.start].T


# --- item-knn ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemKnnSettings(Settings):
    """Settings of `item-knn`."""

    neighbours: int = setting(100, "How many of the most similar items each item keeps.", low=1, search=(10, 500))
    shrinkage: float = setting(
        10.0, "How strongly similarities are held back that few users speak for.", low=0, search=(0, 200)
    )
    scheme: Scheme = setting(
        "plain",
        "Whether what users who took little took says more of what is alike (tf-idf), or all the same (plain).",
        search=("tf-idf", "plain"),
    )
    weighting: Weighting = setting("log", WEIGHTING, search=("linear", "binary", "log"))


@final
class ItemKnn(_HistoryModel):
    """score of an item = the sum, over its most similar items, of similarity x the weight the user took them with.

    similarity = x_i . x_j / (|x_i| |x_j| + shrinkage), of the columns of two items; in the scheme "tf-idf" what a user
    took is first multiplied by log(1 + items / items that the user took), which is made 1 on average. `parameters`
    keep for each item in which items' lists it stands: "similar/starts", "similar/columns", "similar/values".

    Nothing is minimised. The train loss is, on up to MEASURED users, the squared difference between what they took
    and their scores, times the one number that makes it least, for each thing taken.
    """

    name = "item-knn"
    settings_class = ItemKnnSettings
    memory_remedy = "Use fewer neighbours."

    def _learn(self, positives: Positives, workers: Workers, progressed: Progress) -> float:
        from penchant.kernels.itemitem import ROWS, nearest_rows  # numba is loaded only to train

        n_items = positives.n_columns
        k = max(1, min(int(self.settings.neighbours), n_items - 1))
        if self.settings.scheme == "tf-idf":
            positives = _by_rarity(positives)
        lengths = np.sqrt(np.bincount(positives.columns, positives.weights.astype(np.float64) ** 2, n_items))
        by_item = positives.transposed()
        nearest, similarities = np.empty((n_items, k), np.int32), np.empty((n_items, k), np.float32)
        shrinkage = float(self.settings.shrinkage)

        def work(blocks: NDArray[np.int64]) -> None:
            args = (lengths, shrinkage, nearest, similarities)
            nearest_rows(blocks, *_arrays(by_item), *_arrays(positives), *args)

        blocks = np.arange(-(-n_items // ROWS))
        at_once = max(workers.threads, len(blocks) // 20)
        for at in range(0, len(blocks), at_once):
            workers.share(blocks[at : at + at_once], work)
            progressed(min(1.0, (at + at_once) / len(blocks)))
        found = nearest >= 0
        starts = np.concatenate(([0], np.cumsum(found.sum(axis=1)))).astype(np.int64)
        lists = Positives(starts, nearest[found], similarities[found], n_items).transposed()
        self.parameters |= {
            "similar/starts": lists.starts,
            "similar/columns": lists.columns,
            "similar/values": lists.weights,
        }
        return self._loss()

    def _loss(self) -> float:
        some = np.unique(np.linspace(0, self.n_users - 1, MEASURED).astype(np.int32))
        at_once = max(1, SCORES_A_TIME // self.n_items)
        squares = products = scored = 0.0
        for at in range(0, len(some), at_once):
            taken = self.user_vectors(some[at : at + at_once])
            scores = self.scores_of(taken)
            squares += float(np.einsum("ij,ij->", taken, taken, dtype=np.float64))
            products += float(np.einsum("ij,ij->", taken, scores, dtype=np.float64))
            scored += float(np.einsum("ij,ij->", scores, scores, dtype=np.float64))
        starts = self._parameter("history/starts")
        left = squares - products**2 / scored if scored > 0 else squares
        return left / int((starts[some + 1] - starts[some]).sum())

    def scores_of(self, user_vectors: Floats) -> Floats:
        starts, columns, values = (self._parameter(f"similar/{part}") for part in ("starts", "columns", "values"))
        if KERNEL in sys.modules or np.count_nonzero(user_vectors) * int(self.settings.neighbours) > FEW:
            from penchant.kernels.itemitem import sparse_scores

            scores: Floats = sparse_scores(user_vectors, starts, columns, values)
            return scores
        return scores_by_counting(user_vectors, starts, columns, values)

    def _entries(self, item_rows: Rows, item_row: int) -> Floats:
        starts, columns, values = (self._parameter(f"similar/{part}") for part in ("starts", "columns", "values"))
        found, of_row = entries_of(starts, item_rows)
        hits = columns[found] == item_row
        entries = np.zeros(len(item_rows), np.float32)
        entries[of_row[hits]] = values[found[hits]]
        return entries

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        lists = _sparse_shapes(self.parameters, "similar", "values", n_items)
        return {**super()._shapes(n_users, n_items), **lists}

    def _check_values(self) -> None:
        super()._check_values()
        _check_sparse(self.parameters, "similar", self.n_items)

    def fit_memory(self, sizes: Sizes) -> Parts:
        measured = 3 * FLOAT * min(MEASURED * sizes.items, scored_at_once(sizes))
        return {
            "what each user took": SORTED * sizes.train + 8 * sizes.users,
            "similar items, while they are sorted, or scores of some users": max(44 * self._listed(sizes), measured),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return KEPT * self._listed(sizes) + 8 * sizes.items + self._history_memory(sizes)

    def _listed(self, sizes: Sizes) -> int:
        return min(int(self.settings.neighbours), sizes.items) * sizes.items


def _by_rarity(positives: Positives) -> Positives:
    counts = np.diff(positives.starts)
    rarity = np.log1p(positives.n_columns / np.maximum(counts, 1))
    rarity /= rarity.mean()
    return replace(positives, weights=positives.weights * np.repeat(rarity.astype(np.float32), counts))


def scores_by_counting(user_vectors: Floats, starts: NDArray[Any], columns: NDArray[Any], values: Floats) -> Floats:
    """As `kernels.itemitem.sparse_scores`, to the bit, by NumPy alone."""
    scores = np.empty(user_vectors.shape, np.float32)
    for vector, into in zip(user_vectors, scores, strict=True):
        taken = np.flatnonzero(vector)
        entries, of_row = entries_of(starts, taken)
        added = vector[taken].astype(np.float64)[of_row] * values[entries]
        into[:] = np.bincount(columns[entries], added, len(into))
    return scores


# --- sparse rows ------------------------------------------------------------------------------------


def _arrays(rows: Positives) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    return rows.starts, rows.columns, rows.weights


def _sparse_shapes(parameters: dict[str, NDArray[Any]], name: str, values: str, rows: int) -> Shapes:
    """As long as its columns are, which only the arrays themselves say; without rows there are none."""
    columns = parameters.get(f"{name}/columns")
    length = 0 if columns is None or not rows else columns.size
    return {f"{name}/starts": (rows + 1,), f"{name}/columns": (length,), f"{name}/{values}": (length,)}


def _check_sparse(parameters: dict[str, NDArray[Any]], name: str, n_columns: int) -> None:
    """Raise ValueError unless the starts go through all entries and the columns ascend within each row."""
    starts, columns = parameters[f"{name}/starts"], parameters[f"{name}/columns"]
    if starts[0] != 0 or starts[-1] != len(columns) or (starts[1:] < starts[:-1]).any():
        raise ValueError(f"{name}/starts does not go from 0 to {len(columns)} without a step back")
    if not len(columns):
        return
    if columns.min() < 0 or columns.max() >= n_columns:
        raise ValueError(f"{name}/columns are not all from 0 to {n_columns - 1}")
    begins = np.zeros(len(columns), np.bool_)
    begins[starts[:-1][starts[:-1] < len(columns)]] = True
    if not (begins[1:] | (columns[1:] > columns[:-1])).all():
        raise ValueError(f"{name}/columns do not ascend within each row")
