"""Biased factorisation of ratings by alternating least squares: `explicit-als`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions, stable_order
from penchant.data.split import Split
from penchant.models.base import Floats, Rows, Validation
from penchant.models.factorisation import Factorisation
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.folding import Prior
from penchant.models.least_squares import DIRECT, HALF_STEP, SOLVING, Solver, padded, share_rows
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.ranges import Squash, spread_unit
from penchant.models.settings import Settings, setting
from penchant.seeds import numpy_generator
from penchant.threads import Workers

BOTH_ORDERS = 32  # bytes of a rating while it is sorted by user and by item, and has a target


@dataclass(frozen=True)
class ExplicitAlsSettings(Settings):
    """Settings of `explicit-als`."""

    factors: int = setting(64, "How many numbers describe each user and each item.", low=1, search=(8, 128))
    epochs: int = setting(12, "How often users and items are solved in turn.", low=1, search=(4, 24))
    regularisation: float = setting(0.4, "Pull of factors towards 0.", above=0, search=(0.02, 2))
    bias_regularisation: float = setting(0.4, "Pull of biases towards 0.", above=0, search=(0.02, 2))
    frequency_scaling: float = setting(
        0.7,
        "How the pull grows with the ratings of a user or item: 1 in proportion, 0 not at all.",
        low=0,
        search=(0.0, 1.0),
    )
    initial_deviation: float = setting(0.1, "Length of a row of factors at the start.", above=0, search=(0.01, 0.5))
    solver: Solver = setting("cholesky", SOLVING, search=("conjugate-gradient", "cholesky"))


@final
class ExplicitAls(Factorisation):
    """score = mean + user bias + item bias + user factors . item factors, by least squares in turn.

    What is minimised over all ratings r of user u for item i (Zhou, Wilkinson, Schreiber and Pan 2008, "Large-scale
    parallel collaborative filtering for the Netflix prize", section 3, whose weighted regularisation has a
    frequency_scaling of 1; with the biases of Koren, Bell and Volinsky 2009, equation 5):

        sum of (r - mean - b_u - b_i - p_u . q_i)^2
        + sum over u of n_u^frequency_scaling * (regularisation * |p_u|^2 + bias_regularisation * b_u^2)
        + the same over i

    with n_u ratings of user u, r in units in which their standard deviation is 1.04, that of half stars, so that
    settings mean the same on every scale. A bias is solved together with its factors: it is one more factor, against a
    constant.
    """

    name = "explicit-als"
    settings_class = ExplicitAlsSettings
    biased = True

    def _train(self, split: Split, options: FitOptions) -> FitLog:
        with Workers(options.n_threads) as workers:
            training = _Training(self, split, options.seed, workers)
            log = run_epochs(training, self.name, options)
        users, items = training.users.factors, training.items.factors
        unit = training.rating_unit
        self.parameters |= {
            "user_factors": users[:, 1:] * np.sqrt(unit),
            "item_factors": items[:, 1:] * np.sqrt(unit),
            "user_biases": users[:, 0] * (training.bias_unit * unit),
            "item_biases": items[:, 0] * (training.bias_unit * unit),
            "mean": np.array([training.mean * unit], np.float32),
            "rating_range": Squash.of("none", split.train.scale).pack(),
        }
        return log

    def fit_memory(self, sizes: Sizes) -> Parts:
        row = FLOAT * (1 + int(self.settings.factors))
        return {
            "the ratings by user and by item": BOTH_ORDERS * sizes.train,
            "the factors of users and items, and a copy": 2 * row * sizes.rows,
            "the factors as they are solved against": FLOAT
            * padded(1 + self.settings.factors)
            * max(sizes.users, sizes.items),
            "the distribution of users": Prior.memory(1 + self.settings.factors),
        }


@dataclass
class _Side:
    """Users or items in training.

    Attributes:
        starts: int64 (n + 1,); row r has the ratings starts[r] to starts[r + 1].
        columns: int32, the other side's row of each rating.
        residuals: float32, each rating less the mean, in rating units.
        factors: float32 (n, 1 + factors): a bias in units, and factors.
        ridges: float32 (n,), the pull of each row towards 0.
    """

    starts: NDArray[np.int64]
    columns: Rows
    residuals: Floats
    factors: Floats
    ridges: Floats


class _Training:
    """Half-steps: all users given the items, then all items given the users.

    A row has one pull for all of its numbers. So biases are kept in such units that the pull of factors is theirs: a
    bias is `bias_unit` times the number that is solved for.
    """

    def __init__(self, model: ExplicitAls, split: Split, seed: int, workers: Workers) -> None:
        self.settings, self.workers = model.settings, workers
        self.epochs = self.settings.epochs
        self.bias_unit = np.float32(np.sqrt(self.settings.regularisation / self.settings.bias_regularisation))
        train = split.train
        self.rating_unit = spread_unit(train.ratings)
        self.mean = np.float32(train.ratings.mean(dtype=np.float64) / self.rating_unit)
        self.validation = Validation(model, split)
        k = self.settings.factors
        # Only items need a start, since users are solved first.
        items = np.zeros((train.n_items, 1 + k), np.float32)
        items[:, 1:] = numpy_generator(seed, "initial factors").standard_normal((train.n_items, k), np.float32)
        items *= np.float32(self.settings.initial_deviation / np.sqrt(k))
        users = np.zeros((train.n_users, 1 + k), np.float32)
        self.users = self._side(train, train.user_rows, train.item_rows, users)
        self.items = self._side(train, train.item_rows, train.user_rows, items)
        self.ones = np.broadcast_to(np.float32(1), len(train))  # takes no memory

    def _side(self, train: Interactions, own: Rows, others: Rows, factors: Floats) -> _Side:
        order = stable_order(own)
        counts = np.bincount(own, minlength=len(factors))
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        pulls = self.settings.regularisation * np.maximum(counts, 1.0) ** self.settings.frequency_scaling
        residuals = np.take(train.ratings, order)
        residuals /= self.rating_unit
        residuals -= self.mean
        return _Side(starts, np.take(others, order), residuals, factors, pulls.astype(np.float32))

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        """Solve users, then items; the mean squared error after that."""
        del epoch
        how = HALF_STEP if self.settings.solver == "conjugate-gradient" else DIRECT
        self._solve(self.users, self.items, *how)
        progressed(0.5)
        self._solve(self.items, self.users, *how)
        return self._error()

    def _against(self, side: _Side) -> tuple[Floats, Floats]:
        """What the other side is solved against: rows as wide as the kernel wants, and each rating's target."""
        k = self.settings.factors
        rows = np.zeros((len(side.factors), padded(1 + k)), np.float32)
        rows[:, 0] = self.bias_unit
        rows[:, 1 : 1 + k] = side.factors[:, 1:]
        return rows, self.bias_unit * side.factors[:, 0]

    def _solve(self, side: _Side, other: _Side, steps: int, close: float) -> None:
        """Solve all rows of a side; without unobserved pairs there is nothing that rows share."""
        from penchant.kernels.als import solve_rows

        rows_of_others, biases = self._against(other)
        targets = side.residuals - biases[side.columns]
        width, nothing = 1 + self.settings.factors, np.zeros(rows_of_others.shape[1], np.float32)

        def solve(rows: slice) -> None:
            found = np.zeros((rows.stop - rows.start, len(nothing)), np.float32)
            found[:, :width] = side.factors[rows]
            solve_rows(
                *(rows.start, side.starts, side.columns, self.ones, targets),
                *(rows_of_others, nothing, side.ridges, steps, np.float32(close), found),
            )
            side.factors[rows] = found[:, :width]

        share_rows(self.workers, len(side.factors), solve)

    def _error(self) -> float:
        """The mean squared error of training."""
        from penchant.kernels.als import row_losses

        users, (rows_of_items, biases) = self.users, self._against(self.items)
        targets, losses = users.residuals - biases[users.columns], np.empty(len(users.factors))
        width = 1 + self.settings.factors

        def measure(rows: slice) -> None:
            own = np.zeros((rows.stop - rows.start, rows_of_items.shape[1]), np.float32)
            own[:, :width] = users.factors[rows]
            row_losses(rows.start, users.starts, users.columns, self.ones, targets, own, rows_of_items, losses[rows])

        share_rows(self.workers, len(users.factors), measure)
        return float(losses.sum()) / max(len(targets), 1) * float(self.rating_unit) ** 2

    def valid_loss(self) -> float | None:
        """The mean squared error of the validation ratings."""
        return self.validation.loss(self._pair_scores)

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        p, q = self.users.factors[user_rows], self.items.factors[item_rows]
        scores = np.einsum("nf,nf->n", p[:, 1:], q[:, 1:]) + self.mean
        scores += self.bias_unit * (p[:, 0] + q[:, 0])
        return scores * self.rating_unit

    def snapshot(self) -> tuple[Floats, Floats]:
        """Copies of both sides."""
        return self.users.factors.copy(), self.items.factors.copy()

    def restore(self, state: tuple[Floats, Floats]) -> None:
        """Take back copies."""
        self.users.factors, self.items.factors = state
