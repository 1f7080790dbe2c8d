"""Implicit-feedback factorisation by stochastic gradient descent: `bpr`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.errors import UnsupportedError
from penchant.models.base import PAIRS_A_TIME, Explanation, Floats, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.preferences import WEIGHTING, Weighting, weigh
from penchant.models.products import BiasedPreferences
from penchant.models.schedule import SCHEDULES, ScheduleName
from penchant.models.settings import Settings, setting
from penchant.models.sgd_training import TILED, Tiles, count_blocks, row_width
from penchant.seeds import numpy_generator
from penchant.threads import Workers

Floats64 = NDArray[np.float64]
Loss = Literal["softmax", "bpr"]

FEWEST_IN_A_BLOCK = 32  # items that negatives are drawn from, where there are so many
# How often the loss of pairs counts, so that the same learning_rate and weight_decay suit both losses: few drawn items
# are near a positive, and so its pull is a fraction of what it is in the softmax.
PAIRS_COUNT = 8
FIRST_SQUARE = 1.0  # where the accumulators of Adagrad start
BIAS_RATE = 0.5  # the biases' learning rate, in multiples of the factors'
ENTRIES_A_TIME = 65_536  # items times factors, or times a history, while somebody is folded in
NEWTON_STEPS, HALVINGS = 50, 30
FAR = 30.0  # differences of scores from which log(1 + exp(x)) is x, but for a part of 10^14
CLOSE = 1e-10  # a step of that part of the vector is none


@dataclass(frozen=True)
class BprSettings(Settings):
    """Settings of `bpr`."""

    factors: int = setting(64, "How many numbers describe each user and each item.", low=1, search=(16, 256))
    epochs: int = setting(20, "How often every interaction is learnt from.", low=1, search=(5, 60))
    learning_rate: float = setting(0.2, "Length of the steps at the start.", above=0, search=(0.03, 0.5))
    weight_decay: float = setting(0.13, "Pull of factors towards 0.", above=0, search=(0.01, 0.3))
    negatives: int = setting(32, "How many items are drawn against each that was taken.", low=1, search=(4, 128))
    loss: Loss = setting(
        "softmax",
        "How an item stands against those drawn: as the one of them that is taken, or before each (bpr).",
        search=("softmax", "bpr"),
    )
    initial_deviation: float = setting(
        0.2, "Length of the random part of a row of factors at the start.", above=0, search=(0.01, 0.5)
    )
    weighting: Weighting = setting("log", WEIGHTING, search=("linear", "binary", "log"))
    schedule: ScheduleName = setting("linear", "How the learning rate changes.", search=("linear", "one-cycle"))


@final
class Bpr(BiasedPreferences):
    """score = item bias + user factors . item factors, higher for what a user takes than for what not.

    What is minimised is the sum over all taken (u, i) of

        weight * loss(u, i) + weight_decay / 2 * (|p_u|^2 + |q_i|^2)

    where the loss is that of an item against drawn ones, as the kernel has it: `softmax`, or PAIRS_COUNT times `bpr`.
    They are drawn evenly from all others, what the user took included. The train loss is the mean of weight * loss,
    each taken just before the model learnt from it.

    A new user is the minimum over p of the same sum, the items held still, with the loss that is expected over
    negatives: -log of the softmax over all items, or PAIRS_COUNT times the mean over all others of
    log(1 + exp(s_j - s_i)).

    `parameters`, all float32: "user_factors" (users, factors), "item_factors" (items, factors), "item_biases" (items,),
    "average" (factors,), "weighted" (1,).
    """

    name = "bpr"
    settings_class = BprSettings
    memory_remedy = "Use fewer --factors."

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        train = split.train
        self.parameters["weighted"] = np.array([train.is_implicit], np.float32)
        weights = self._counts(weigh(train.ratings, self._weighting if train.is_implicit else "binary"))
        with Workers(options.n_threads) as workers:
            training = _BprTraining(replace(train, ratings=weights), self.settings, options.seed, workers)
            log = run_epochs(training, self.name, options)
        factors = int(self.settings.factors)
        users = np.ascontiguousarray(training.users[:, :factors])
        self.parameters |= {
            "user_factors": users,
            "item_factors": np.ascontiguousarray(training.items[:, :factors]),
            "item_biases": training.items[:, training.k].copy(),
            "average": users.mean(axis=0, dtype=np.float64).astype(np.float32),
        }
        return log

    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        return self._newcomer(item_rows, weights).most_probable().astype(np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """Where the sum that folding in minimises has no slope, the vector is a sum over the history:

            p = 1 / (weight_decay * n) * sum over taken i of weight_i * sum over all j of c_ij (q_i - q_j)

        with c_ij the chance of j (softmax), or how far j is from being behind i (bpr). An item of the history adds its
        summand's product with the item's factors, and a part by weight of the item's bias, which is nobody's doing.
        """
        weights = self._weights(ratings)
        if not len(item_rows):
            return np.empty(0)
        item = self._parameter("item_factors")[item_row].astype(np.float64)
        bias = float(self._parameter("item_biases")[item_row])
        shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
        return self._newcomer(item_rows, weights).pulls(item) + bias * shares

    def _newcomer(self, item_rows: Rows, weights: Floats) -> _Newcomer:
        kind = _SoftmaxNewcomer if self.settings.loss == "softmax" else _PairsNewcomer
        return kind(
            self._parameter("item_factors"),
            self._parameter("item_biases"),
            item_rows,
            self._counts(weights).astype(np.float64),
            self.settings.weight_decay * len(item_rows),
        )

    def _counts(self, weights: Floats) -> Floats:
        return weights if self.settings.loss == "softmax" else weights * np.float32(PAIRS_COUNT)

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        k = self.settings.factors
        return {
            "user_factors": (n_users, k),
            "item_factors": (n_items, k),
            "item_biases": (n_items,),
            "average": (k,),
            "weighted": (1,),
        }

    def fit_memory(self, sizes: Sizes) -> Parts:
        """While factors are put back after an epoch: those before it, those of it, and one side of those after it."""
        row = FLOAT * row_width(self.settings.factors)
        return {
            "the factors of users and items, and a copy of one side": row
            * (sizes.rows + max(sizes.users, sizes.items)),
            "the interactions and what they count": (TILED + FLOAT) * sizes.train,
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return FLOAT * int(self.settings.factors) * sizes.rows

    def block_memory(self, sizes: Sizes) -> int:
        """Factors of the users and of the items of some pairs."""
        return 2 * FLOAT * int(self.settings.factors) * min(sizes.valid, PAIRS_A_TIME)

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        bias = float(self._parameter("item_biases")[item_row])
        match = float(user_vector @ self._parameter("item_factors")[item_row])
        return Explanation({"item": bias, "match": match}, float(self.scores_of(user_vector[None])[0, item_row]))

    def item_factors(self) -> Floats:
        return self._parameter("item_factors")

    def item_biases(self) -> Floats:
        raise UnsupportedError(
            f"Item biases of a {self.name} model are not on a scale of ratings: they say how often items are taken.",
            remedy="Ask why a user has a score: --user ID --item NAME.",
        )


class _BprTraining:
    """Epochs over tiles that are dealt anew for each, so that in time every item is drawn against every other."""

    def __init__(self, train: Interactions, settings: BprSettings, seed: int, workers: Workers) -> None:
        """`train` has what interactions count as its ratings."""
        self.train, self.settings, self.workers = train, settings, workers
        self.epochs = settings.epochs
        self.generator = numpy_generator(seed, "order of interactions")
        width = row_width(settings.factors)
        self.k = -(-settings.factors // 8) * 8
        self.blocks = count_blocks(train.n_users, train.n_items, width)
        while self.blocks > 1 and train.n_items < FEWEST_IN_A_BLOCK * self.blocks:
            self.blocks //= 2
        start = numpy_generator(seed, "initial factors")
        self.users, self.items = (self._table(n, width, start) for n in (train.n_users, train.n_items))

    def _table(self, n: int, width: int, generator: np.random.Generator) -> Floats:
        """Rows as the kernel has them, in the order of the data."""
        factors = self.settings.factors
        table = np.zeros((n, width), np.float32)
        table[:, :factors] = generator.random((n, factors), np.float32) - np.float32(0.5)
        table[:, :factors] *= np.float32(np.sqrt(12 / factors) * self.settings.initial_deviation)
        table[:, self.k + 1] = FIRST_SQUARE
        return table

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        """One pass over all tiles; the mean loss before each step."""
        schedule, rate = SCHEDULES[self.settings.schedule], self.settings.learning_rate
        tiles = Tiles.of(self.train, self.blocks, self.generator, self.workers)
        users, items = _dealt(self.users, tiles.users.places), _dealt(self.items, tiles.items.places)
        strata, seed = tiles.strata(self.generator), np.uint64(self.generator.integers(2**63))
        losses = np.zeros(len(tiles.starts))
        for number, some in enumerate(strata):
            begin, end = ((epoch + at / len(strata)) / self.epochs for at in (number, number + 1))
            rates = np.float32(rate * schedule(begin)), np.float32(rate * schedule(end))
            self.workers.share(some, partial(self._run_tiles, tiles, users, items, rates, seed, losses))
            progressed((number + 1) / len(strata))
        self.users, self.items = users[tiles.users.places], items[tiles.items.places]
        return float(losses.sum()) / len(self.train)

    def _run_tiles(
        self,
        tiles: Tiles,
        users: Floats,
        items: Floats,
        rates: tuple[np.float32, np.float32],
        seed: np.uint64,
        losses: Floats64,
        some: NDArray[np.int64],
    ) -> None:
        from penchant.kernels.bpr import rank_tiles  # numba is loaded only to train

        settings = self.settings
        rank_tiles(
            *(some, tiles.starts, tiles.ends, tiles.user_places, tiles.item_places, tiles.ratings),
            np.append(0, np.cumsum(np.bincount(tiles.items.blocks, minlength=tiles.blocks))),
            *(users, items, self.k, settings.negatives, settings.loss == "softmax", *rates),
            *(np.float32(BIAS_RATE), np.float32(settings.weight_decay), seed, losses),
        )

    def valid_loss(self) -> float | None:
        """None: scores are on no scale."""
        return None

    def snapshot(self) -> tuple[Floats, Floats]:
        """The tables themselves: an epoch makes new ones."""
        return self.users, self.items

    def restore(self, state: tuple[Floats, Floats]) -> None:
        """Take back tables."""
        self.users, self.items = state


def _dealt(table: Floats, places: Rows) -> Floats:
    """The rows of a table where they are to lie."""
    found = np.empty_like(table)
    found[places] = table
    return found


# --- folding in -------------------------------------------------------------------------------------


class _Point(NamedTuple):
    """What is minimised for a newcomer, at one vector: its value, gradient (k,) and second derivatives (k, k)."""

    value: float
    gradient: Floats64
    curvature: Floats64


@dataclass
class _Newcomer(ABC):
    """Somebody to be folded in: a convex function of their vector, and its minimum by Newton's method.

    Attributes:
        factors, biases: of all items, float32 (items, k) and (items,).
        taken: int32 (n,), the rows of the history, at least one.
        weights: float64 (n,), what each counts.
        ridge: the pull of the vector towards 0.
    """

    factors: Floats
    biases: Floats
    taken: Rows
    weights: Floats64
    ridge: float

    @abstractmethod
    def at(self, vector: Floats64) -> _Point:
        """What is minimised, at a vector."""

    @abstractmethod
    def pulls(self, item: Floats64) -> Floats64:
        """What each item of the history adds to the product of the minimum with an item's factors, (n,)."""

    def most_probable(self) -> Floats64:
        """The minimum, (k,)."""
        vector = np.zeros(self.factors.shape[1])
        point = self.at(vector)
        for _ in range(NEWTON_STEPS):
            step = np.linalg.solve(point.curvature, point.gradient)
            for halving in range(HALVINGS):
                trial = vector - step * 0.5**halving
                found = self.at(trial)
                if found.value <= point.value + CLOSE * abs(point.value):  # or rounding would stop it
                    break
            vector, point = trial, found
            if np.abs(step).max() <= CLOSE * np.abs(vector).max():
                break
        return vector

    def _chunks(self) -> Iterator[tuple[slice, Floats64]]:
        """All items, some at a time: which, and their factors in float64."""
        n, k = self.factors.shape
        at_once = max(1, ENTRIES_A_TIME // max(k, len(self.taken)))
        for start in range(0, n, at_once):
            rows = slice(start, min(start + at_once, n))
            yield rows, self.factors[rows].astype(np.float64)

    def _scores(self, vector: Floats64) -> Floats64:
        scores = self.biases.astype(np.float64)
        for rows, q in self._chunks():
            scores[rows] += q @ vector
        return scores

    def _with_ridge(self, vector: Floats64, value: float, gradient: Floats64, curvature: Floats64) -> _Point:
        curvature.flat[:: len(vector) + 1] += self.ridge
        return _Point(value + self.ridge / 2 * float(vector @ vector), gradient + self.ridge * vector, curvature)


class _SoftmaxNewcomer(_Newcomer):
    """sum over taken i of weight_i (log of the sum over all j of exp(s_j) - s_i) + ridge / 2 |p|^2."""

    def at(self, vector: Floats64) -> _Point:
        chances, log_sum, scores = self._chances(vector)
        mean, square = np.zeros_like(vector), np.zeros((len(vector), len(vector)))
        for rows, q in self._chunks():
            weighted = chances[rows, None] * q
            mean += weighted.sum(axis=0)
            square += weighted.T @ q
        total = float(self.weights.sum())
        own = self.weights @ self.factors[self.taken].astype(np.float64)
        value = total * log_sum - float(self.weights @ scores[self.taken])
        return self._with_ridge(vector, value, total * mean - own, total * (square - np.outer(mean, mean)))

    def _chances(self, vector: Floats64) -> tuple[Floats64, float, Floats64]:
        """Of all items their chances, the log of the sum of exp(score), and the scores."""
        scores = self._scores(vector)
        most = scores.max()
        chances = np.exp(scores - most)
        total = chances.sum()
        return chances / total, float(most + np.log(total)), scores

    def pulls(self, item: Floats64) -> Floats64:
        chances, _, _ = self._chances(self.most_probable())
        mean = sum(float(chances[rows] @ (q @ item)) for rows, q in self._chunks())
        own = self.factors[self.taken].astype(np.float64) @ item
        return self.weights * (own - mean) / self.ridge


class _PairsNewcomer(_Newcomer):
    """sum over taken i of weight_i times the mean over other j of log(1 + exp(s_j - s_i)), + ridge / 2 |p|^2.

    j = i is summed too: it adds the same for every vector.
    """

    def at(self, vector: Floats64) -> _Point:
        k = len(vector)
        value, slope, cross = 0.0, np.zeros(k), np.zeros((k, k))
        curvature = np.zeros((k, k))
        own = self.factors[self.taken].astype(np.float64)
        of_own, bent_own = np.zeros(len(own)), np.zeros(len(own))
        for q, ahead, shares in self._ahead(vector):
            behind = 1 / (1 + np.exp(np.minimum(ahead, FAR)))
            pushed = shares * (1 - behind)  # derivatives by s_j - s_i, (n, items of the chunk)
            bent = pushed * behind
            value += float((shares * np.where(ahead > FAR, ahead, -np.log(behind))).sum())
            slope += pushed.sum(axis=0) @ q
            of_own += pushed.sum(axis=1)
            curvature += (bent.sum(axis=0)[:, None] * q).T @ q
            bent_own += bent.sum(axis=1)
            cross += own.T @ (bent @ q)
        curvature += (bent_own[:, None] * own).T @ own - cross - cross.T
        return self._with_ridge(vector, value, slope - of_own @ own, curvature)

    def _ahead(self, vector: Floats64) -> Iterator[tuple[Floats64, Floats64, Floats64]]:
        """Some items at a time: their factors, s_j - s_i (n, items), and what each pair of row i counts, (n, 1)."""
        scores = self._scores(vector)
        shares = self.weights[:, None] / max(len(scores) - 1, 1)
        for rows, q in self._chunks():
            yield q, scores[rows] - scores[self.taken, None], shares

    def pulls(self, item: Floats64) -> Floats64:
        own = self.factors[self.taken].astype(np.float64) @ item
        found = np.zeros(len(own))
        for q, ahead, shares in self._ahead(self.most_probable()):
            pushed = shares * (1 - 1 / (1 + np.exp(np.minimum(ahead, FAR))))
            found += pushed.sum(axis=1) * own - pushed @ (q @ item)
        return found / self.ridge
