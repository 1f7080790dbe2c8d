"""Implicit-feedback factorisation by alternating least squares: `als`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.split import Split
from penchant.models.base import PAIRS_A_TIME, Floats, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.least_squares import (
    DIRECT,
    HALF_STEP,
    LAST_STEP,
    ROWS_A_PIECE,
    SOLVING,
    Solver,
    padded,
    share_rows,
)
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.preferences import WEIGHTING, Positives, PreferenceModel, Weighting
from penchant.models.products import FromProducts
from penchant.models.settings import Settings, setting
from penchant.seeds import numpy_generator
from penchant.threads import Workers

Floats64 = NDArray[np.float64]

GRAMIAN_PIECES = 16  # partial sums of a Gramian, so many whatever the number of threads
FOLDED_AT_ONCE = 256  # users, whose systems are in memory together
FEW = 4  # times as many factors as items of a history: so many items are few
POSITIVES = 28  # bytes of an interaction while both orders are made


@dataclass(frozen=True)
class AlsSettings(Settings):
    """Settings of `als`."""

    factors: int = setting(64, "How many numbers describe each user and each item.", low=1, search=(16, 256))
    epochs: int = setting(12, "How often users and items are solved in turn.", low=1, search=(4, 24))
    regularisation: float = setting(0.02, "Pull of factors towards 0.", above=0, search=(0.0005, 0.05))
    unobserved_weight: float = setting(
        0.1, "How much a pair counts that was not observed, against 1 of one that was.", above=0, search=(0.01, 1)
    )
    frequency_scaling: float = setting(
        1.0,
        "How the pull grows with the pairs of a user or item: 1 in proportion, 0 not at all.",
        low=0,
        search=(0.0, 1.0),
    )
    initial_deviation: float = setting(0.1, "Length of a row of factors at the start.", above=0, search=(0.01, 0.5))
    weighting: Weighting = setting("log", WEIGHTING, search=("linear", "binary", "log"))
    solver: Solver = setting(
        "conjugate-gradient",
        SOLVING,
        search=("conjugate-gradient", "cholesky"),
    )


@final
class Als(PreferenceModel, FromProducts):
    """score = user factors . item factors, which should be 1 where a user took an item and 0 elsewhere.

    What is minimised over users u, items i and all they took (Rendle, Krichene, Zhang and Koren 2022, "Revisiting the
    performance of iALS on item recommendation benchmarks", equations 1 to 3; Hu, Koren and Volinsky 2008):

        sum over taken (u, i) of weight (1 - p_u . q_i)^2 + unobserved_weight * sum over all (u, i) of (p_u . q_i)^2
        + regularisation * (sum over u of (n_u + unobserved_weight * items)^frequency_scaling * |p_u|^2
                            + sum over i of (n_i + unobserved_weight * users)^frequency_scaling * |q_i|^2)

    with n_u items of user u and n_i users of item i.

    `parameters`, all float32: "user_factors" (users, factors), "item_factors" (items, factors), "gramian" (factors,
    factors) of the items, "average" (factors,), "weighted" (1,).
    """

    name = "als"
    settings_class = AlsSettings
    memory_remedy = "Use fewer --factors."

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        positives = self._positives(split.train)
        with Workers(options.n_threads) as workers:
            training = _AlsTraining(positives, self.settings, options.seed, workers)
            log = run_epochs(training, self.name, options)
            training.finish()
        users = training.users.factors
        self.__dict__.pop("kept_directions", None)  # of a fit before
        self.parameters |= {
            "user_factors": users,
            "item_factors": training.items.factors,
            "gramian": training.items.gramian.astype(np.float32),
            "average": users.mean(axis=0, dtype=np.float64).astype(np.float32),
        }
        return log

    def user_vectors(self, user_rows: Rows) -> Floats:
        """The factors of each user, (n, factors)."""
        return self._parameter("user_factors")[user_rows]

    def scores_of(self, user_vectors: Floats) -> Floats:
        return user_vectors @ self._parameter("item_factors").T

    def item_points(self) -> Floats:
        return self._parameter("item_factors")

    def directions(self, user_vectors: Floats) -> Floats:
        return user_vectors

    def scores_from(self, user_vectors: Floats, products: Floats) -> Floats:
        del user_vectors
        return products

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        p, q = self._parameter("user_factors")[user_rows], self._parameter("item_factors")[item_rows]
        return np.einsum("nf,nf->n", p, q)

    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        if FEW * len(item_rows) <= self.settings.factors and weights.min() > 0:
            return self._fold_few(item_rows, weights).astype(np.float32)
        matrix, weighted = self._system(item_rows, weights)
        return np.linalg.solve(matrix, weighted.sum(axis=0)).astype(np.float32)

    def _fold_few(self, item_rows: Rows, weights: Floats) -> Floats64:
        """The same from a system of as many equations as there are items, by the Woodbury identity.

        With Q the items' factors, W their weights and A = C + Q'WQ the user's matrix, A^-1 Q'W 1 =
        C^-1 Q' (W^-1 + Q C^-1 Q')^-1 1; C is diagonal in the eigenvectors of the Gramian. For 10 items and 64 factors
        it takes half of the time.
        """
        vectors, scales = self._directions(len(item_rows))
        turned = (self._parameter("item_factors")[item_rows].astype(np.float64) @ vectors) * scales
        system = turned @ turned.T
        system.flat[:: len(system) + 1] += 1 / weights
        return vectors @ ((np.linalg.solve(system, np.ones(len(system))) @ turned) * scales)

    def fold_in_all(self, histories: Sequence[tuple[Rows, Floats]]) -> list[Floats]:
        found: list[Any] = [None] * len(histories)
        few = [place for place, (rows, _) in enumerate(histories) if 0 < FEW * len(rows) <= self.settings.factors]
        for start in range(0, len(few), FOLDED_AT_ONCE):
            places = few[start : start + FOLDED_AT_ONCE]
            weights = self._weights(np.concatenate([histories[place][1] for place in places]))
            if len(places) > 1 and weights.min() > 0:
                vectors = self._fold_together([histories[place][0] for place in places], weights)
                for place, vector in zip(places, vectors, strict=True):
                    found[place] = vector
        pairs = zip(found, histories, strict=True)
        return [self.fold_in(*history) if vector is None else vector for vector, history in pairs]

    def _fold_together(self, item_rows: Sequence[Rows], weights: Floats) -> Floats:
        """`_fold_few` of several users with the weights of all their items, float32 (users, factors).

        Shorter histories are filled up with rows of zeros, which add nothing. For 16 users with 10 items each it takes
        a quarter of the time that they take one by one.
        """
        counts = np.array([len(rows) for rows in item_rows])
        vectors = self._directions(1)[0]
        scales = np.stack([self._directions(n)[1] for n in counts.tolist()])
        is_item = np.arange(counts.max()) < counts[:, None]
        q = np.zeros((*is_item.shape, len(vectors)))
        q[is_item] = self._parameter("item_factors")[np.concatenate(item_rows)]
        turned = (q @ vectors) * scales[:, None]
        systems = turned @ turned.transpose(0, 2, 1)
        more = np.ones(is_item.shape)
        more[is_item] = 1 / weights
        diagonal = np.arange(is_item.shape[1])
        systems[:, diagonal, diagonal] += more
        shares = np.linalg.solve(systems, np.ones((*is_item.shape, 1)))
        return (((shares.transpose(0, 2, 1) @ turned)[:, 0] * scales) @ vectors.T).astype(np.float32)

    def _directions(self, n: int) -> tuple[Floats64, Floats64]:
        """Vectors V (factors, factors) and scales s with C^-1 = V s^2 V' for histories of n items; kept: n is small.

        V are the eigenvectors of the Gramian, the same for all n.
        """
        kept: dict[int, tuple[Floats64, Floats64]] = self.__dict__.setdefault("kept_directions", {})
        found = kept.get(n)
        if found is None:
            values, vectors = np.linalg.eigh(self._parameter("gramian").astype(np.float64))
            pull = self.settings.unobserved_weight * np.maximum(values, 0)
            scales = 1 / np.sqrt(pull + _ridges(self.settings, np.array([n]), self.n_items))
            found = kept[n] = np.ascontiguousarray(vectors), scales
        return found

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """Hu, Koren and Volinsky 2008, section 5.

        q . (A^-1 sum of w_j q_j) = sum of w_j q_j . (A^-1 q), A being the user's matrix.
        """
        matrix, weighted = self._system(item_rows, self._weights(ratings))
        item = self._parameter("item_factors")[item_row].astype(np.float64)
        return weighted @ np.linalg.solve(matrix, item)

    def _system(self, item_rows: Rows, weights: Floats) -> tuple[Floats64, Floats64]:
        """The matrix of a user, (factors, factors), and the items' factors times their weights, (n, factors)."""
        q = self._parameter("item_factors")[item_rows].astype(np.float64)
        weighted = weights[:, None] * q
        matrix = self.settings.unobserved_weight * self._parameter("gramian").astype(np.float64)
        matrix += weighted.T @ q
        matrix.flat[:: len(matrix) + 1] += _ridges(self.settings, np.array([len(item_rows)]), self.n_items)
        return matrix, weighted

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        k = self.settings.factors
        return {
            "user_factors": (n_users, k),
            "item_factors": (n_items, k),
            "gramian": (k, k),
            "average": (k,),
            "weighted": (1,),
        }

    def fit_memory(self, sizes: Sizes) -> Parts:
        row = FLOAT * self.settings.factors
        return {
            "the interactions by user and by item": POSITIVES * sizes.train,
            "the factors of users and items, and a copy of the items'": row * (sizes.rows + sizes.items),
            "the factors turned": FLOAT * padded(self.settings.factors) * max(sizes.users, sizes.items),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return FLOAT * int(self.settings.factors) * sizes.rows

    def block_memory(self, sizes: Sizes) -> int:
        """Factors of the users and of the items of some pairs."""
        return 2 * FLOAT * int(self.settings.factors) * min(sizes.valid, PAIRS_A_TIME)

    def item_factors(self) -> Floats:
        return self._parameter("item_factors")


@dataclass
class _Side:
    """Users or items in training.

    Attributes:
        positives: this side's rows over the other's.
        factors: float32 (n, factors).
        ridges: float32 (n,), the pull of each row towards 0.
        gramian: float64 (factors, factors), of the factors as they are.
    """

    positives: Positives
    factors: Floats
    ridges: Floats
    gramian: Floats64


class _AlsTraining:
    """Half-steps: all users given the items, then all items given the users."""

    def __init__(self, positives: Positives, settings: AlsSettings, seed: int, workers: Workers) -> None:
        self.settings, self.workers = settings, workers
        self.epochs = settings.epochs
        self.targets = np.broadcast_to(np.float32(1), len(positives))  # takes no memory
        # Only items need a start, since users are solved first. From 0, conjugate gradients are at their best.
        users = np.zeros((positives.n_rows, settings.factors), np.float32)
        items = numpy_generator(seed, "initial factors").standard_normal(
            (positives.n_columns, settings.factors), np.float32
        )
        items *= np.float32(settings.initial_deviation / np.sqrt(settings.factors))
        self.users, self.items = self._side(positives, users), self._side(positives.transposed(), items)

    def _side(self, positives: Positives, factors: Floats) -> _Side:
        ridges = _ridges(self.settings, np.diff(positives.starts), positives.n_columns).astype(np.float32)
        return _Side(positives, factors, ridges, self._gramian(factors))

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        """Solve users, then items; the objective after that, for each positive."""
        del epoch
        how = HALF_STEP if self.settings.solver == "conjugate-gradient" else DIRECT
        self._solve(self.users, self.items, *how)
        progressed(0.5)
        self._solve(self.items, self.users, *how)
        return self._objective() / max(len(self.users.positives), 1)

    def finish(self) -> None:
        """Bring users up to date with the items as they are, so that folding in a user's history gives the user."""
        self.items.gramian = self._gramian(self.items.factors)  # after restore()
        how = LAST_STEP if self.settings.solver == "conjugate-gradient" else DIRECT
        self._solve(self.users, self.items, *how)

    def _solve(self, side: _Side, other: _Side, steps: int, close: float) -> None:
        """Solve all rows of a side, turned into the eigenvectors of the other's Gramian (see the kernel)."""
        from penchant.kernels.als import solve_rows

        k, width = self.settings.factors, padded(self.settings.factors)
        values, vectors = np.linalg.eigh(other.gramian)
        turn = np.zeros((k, width), np.float32)
        turn[:, :k] = vectors
        shared = np.zeros(width, np.float32)
        shared[:k] = self.settings.unobserved_weight * np.maximum(values, 0)
        turned = np.empty((len(other.factors), width), np.float32)

        def turn_rows(rows: slice) -> None:
            np.matmul(other.factors[rows], turn, out=turned[rows])

        def solve(rows: slice) -> None:
            data, found = side.positives, side.factors[rows] @ turn
            solve_rows(
                *(rows.start, data.starts, data.columns, data.weights, self.targets),
                *(turned, shared, side.ridges, steps, np.float32(close), found),
            )
            np.matmul(found, turn.T, out=side.factors[rows])

        share_rows(self.workers, len(other.factors), turn_rows)
        share_rows(self.workers, len(side.factors), solve)
        side.gramian = self._gramian(side.factors)

    def _gramian(self, factors: Floats) -> Floats64:
        """All products of two columns of factors, float64 (factors, factors)."""
        k = factors.shape[1]
        parts = np.zeros((GRAMIAN_PIECES, k, k))
        bounds = np.linspace(0, len(factors), GRAMIAN_PIECES + 1).astype(np.int64)

        def add(pieces: NDArray[np.int64]) -> None:
            for piece in pieces:
                for start in range(bounds[piece], bounds[piece + 1], ROWS_A_PIECE):
                    rows = factors[start : min(start + ROWS_A_PIECE, bounds[piece + 1])]
                    parts[piece] += rows.T @ rows

        self.workers.share(np.arange(GRAMIAN_PIECES), add)
        return parts.sum(axis=0)

    def _objective(self) -> float:
        from penchant.kernels.als import row_losses

        users, items = self.users, self.items
        losses = np.empty(len(users.factors))

        def measure(rows: slice) -> None:
            data = users.positives
            row_losses(
                *(rows.start, data.starts, data.columns, data.weights, self.targets),
                *(users.factors[rows], items.factors, losses[rows]),
            )

        share_rows(self.workers, len(users.factors), measure)
        total = losses.sum() + self.settings.unobserved_weight * (users.gramian * items.gramian).sum()
        for side in (users, items):
            squares = np.einsum("nf,nf->n", side.factors, side.factors)
            total += np.dot(side.ridges, squares.astype(np.float64))
        return float(total)

    def valid_loss(self) -> float | None:
        """None: scores are on no scale."""
        return None

    def snapshot(self) -> Floats:
        """A copy of the items; users follow from them."""
        return self.items.factors.copy()

    def restore(self, state: Floats) -> None:
        """Take back a copy."""
        self.items.factors = state


def _ridges(settings: Any, counts: NDArray[np.int64], n_others: int) -> Floats64:
    """The pull of rows with so many entries towards 0, float64."""
    pairs = counts + settings.unobserved_weight * n_others
    return settings.regularisation * pairs**settings.frequency_scaling
