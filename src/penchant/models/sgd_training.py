"""Training by the SGD kernel: ratings in tiles, tiles over threads, the same result for any number of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.models.fitting import FitOptions
from penchant.models.ranges import Squash
from penchant.models.schedule import SCHEDULES
from penchant.seeds import numpy_generator
from penchant.threads import Workers

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

FEWEST_BLOCKS, MOST_BLOCKS = 4, 64
BYTES_OF_A_BLOCK = 1_250_000  # of rows: what one tile touches should stay in a core's own cache
TILED = 12  # bytes of a rating in tiles: user, item, rating
PAIRS_A_TIME = 8_192  # that a thread scores in validation
ROW_UNIT = 16  # floats in a cache line


@dataclass(frozen=True)
class Start:
    """Where a factorisation starts, for ratings that are divided by a unit.

    Attributes:
        unit: see `ranges.range_unit`.
        user_factors, item_factors: float32 (n, k).
        mean: added to every z.
        squash: the range.
        biased: whether there are biases.
        first_square: where the accumulators start.
    """

    unit: np.float32
    user_factors: Floats
    item_factors: Floats
    mean: float
    squash: Squash
    biased: bool
    first_square: float


@dataclass(frozen=True)
class Deal:
    """Rows in blocks: dealt out by falling counts, to and fro, as cards would be for even hands.

    Attributes:
        blocks: int32 (n,), the block of each row.
        places: int32 (n,), where the row lies in a table that has block after block.
    """

    blocks: Rows
    places: Rows

    @classmethod
    def of(cls, counts: NDArray[np.int64], blocks: int, generator: np.random.Generator) -> Self:
        """Blocks of nearly as many rows, and of about as many ratings."""
        shuffled = generator.permutation(len(counts))
        ranked = shuffled[np.argsort(-counts[shuffled], kind="stable")]
        turns = np.arange(len(counts)) % (2 * blocks)
        hands = np.where(turns < blocks, turns, 2 * blocks - 1 - turns)
        dealt, places = np.empty(len(counts), np.int32), np.empty(len(counts), np.int32)
        dealt[ranked] = hands
        places[ranked[np.argsort(hands, kind="stable")]] = np.arange(len(counts))
        return cls(dealt, places)


@dataclass(frozen=True)
class Tiles:
    """Ratings in the order of tiles, and each tile in parts, one for each round.

    An epoch of few tiles in one round was measured at 0.002 more of mean squared error on ml-latest-small: each user
    would meet a quarter of the items at a time. Two rounds are as good as a random order. Where there are many tiles,
    a second round gains nothing, and costs the way of all factors through the cache once more.

    Attributes:
        blocks: of users and of items.
        rounds: how often an epoch goes over all tiles, each time with a part of their ratings.
        starts, ends: int64 (rounds * blocks * blocks,); part r of the tile of user block b and item block c is at
            (r * blocks + b) * blocks + c.
        users, items: which block each row is in, and where in it.
        user_places, item_places, ratings: (n,).
    """

    blocks: int
    rounds: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    users: Deal
    items: Deal
    user_places: Rows
    item_places: Rows
    ratings: Floats

    @classmethod
    def of(cls, train: Interactions, blocks: int, generator: np.random.Generator, pool: Workers) -> Self:
        """Blocks of about equally many ratings; within a tile the order is random, once for all epochs."""
        from penchant.kernels.tiles import count_tiles, fill_tiles, shuffle_tiles

        users, items = (Deal.of(counts, blocks, generator) for counts in (train.user_counts, train.item_counts))
        counts = count_tiles(train.user_rows, train.item_rows, users.blocks, items.blocks, blocks)
        starts = np.append(0, np.cumsum(counts))
        user_places, item_places = np.empty(len(train), np.int32), np.empty(len(train), np.int32)
        columns = user_places, item_places, np.empty(len(train), np.float32)
        fill_tiles(
            train.user_rows, train.item_rows, train.ratings, users.blocks, items.blocks, users.places, items.places,
            blocks, starts[:-1].copy(), *columns,
        )  # fmt: skip
        seed = np.uint64(generator.integers(2**63))
        pool.share(np.arange(blocks * blocks), lambda tiles: shuffle_tiles(tiles, starts, seed, *columns))
        rounds = 2 if blocks <= FEWEST_BLOCKS else 1
        parts = starts[:-1] + counts * np.arange(rounds + 1)[:, None] // rounds  # (rounds + 1, tiles)
        return cls(blocks, rounds, parts[:-1].ravel(), parts[1:].ravel(), users, items, *columns)

    def stratum(self, part: int, number: int) -> NDArray[np.int64]:
        """Tiles of which no two share a user block or an item block."""
        users = np.arange(self.blocks)
        return (part * self.blocks + users) * self.blocks + (users + number) % self.blocks

    def strata(self, generator: np.random.Generator) -> list[NDArray[np.int64]]:
        """All tiles, one stratum after the other, in a random order within each round."""
        parts = range(self.rounds)
        return [self.stratum(part, int(number)) for part in parts for number in generator.permutation(self.blocks)]


def count_blocks(n_users: int, n_items: int, width: int) -> int:
    """A power of two that depends on the data alone, never on the machine: the result depends on it."""
    wanted = (n_users + n_items) * width * 4 / BYTES_OF_A_BLOCK
    blocks = min(max(FEWEST_BLOCKS, 1 << int(np.ceil(np.log2(max(wanted, 1))))), MOST_BLOCKS)
    while blocks > min(n_users, n_items):
        blocks //= 2
    return max(blocks, 1)


class SgdTraining:
    """Epochs over tiles, by some workers. Inside, ratings are in units; what is told is as they were given."""

    def __init__(self, start: Start, settings: Any, train: Interactions, options: FitOptions, workers: Workers) -> None:
        self.unit, self.squash, self.biased = start.unit, start.squash, start.biased
        self.mean = np.float32(start.mean)
        self.settings = settings
        self.epochs: int = settings.epochs
        self.factors = start.user_factors.shape[1]
        self.k = _up(self.factors, 8)
        self.workers = workers
        self.generator = numpy_generator(options.seed, "order of ratings")
        width = row_width(self.factors)
        blocks = count_blocks(train.n_users, train.n_items, width)
        self.tiles = Tiles.of(train, blocks, self.generator, workers)
        np.divide(self.tiles.ratings, self.unit, out=self.tiles.ratings)
        self.users = self._table(start.user_factors, self.tiles.users, width, start.first_square)
        self.items = self._table(start.item_factors, self.tiles.items, width, start.first_square)
        self.kept: tuple[Floats, Floats] | None = None
        self.errors = np.zeros(len(self.tiles.starts))

    def _table(self, factors: Floats, deal: Deal, width: int, first_square: float) -> Floats:
        table = np.zeros((len(factors), width), np.float32)
        table[deal.places, : self.factors] = factors
        table[:, self.k + 1] = first_square
        return table

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        """One pass over all tiles, in a new order of strata; the mean squared error before each step."""
        schedule, rate = SCHEDULES[self.settings.schedule], self.settings.learning_rate
        strata = self.tiles.strata(self.generator)
        for number, tiles in enumerate(strata):
            begin, end = ((epoch + at / len(strata)) / self.epochs for at in (number, number + 1))
            work = partial(self._run_tiles, rate_from=rate * schedule(begin), rate_to=rate * schedule(end))
            self.workers.share(tiles, work)
            progressed((number + 1) / len(strata))
        return float(self.errors.sum()) / len(self.tiles.ratings) * float(self.unit) ** 2

    def _run_tiles(self, tiles: NDArray[np.int64], rate_from: float, rate_to: float) -> None:
        from penchant.kernels.sgd import sgd_tiles  # numba is loaded only to train

        settings, squash, ratings = self.settings, self.squash, self.tiles
        sgd_tiles(
            tiles,
            ratings.starts,
            ratings.ends,
            ratings.user_places,
            ratings.item_places,
            ratings.ratings,
            self.users,
            self.items,
            self.k,
            self.mean,
            squash.low,
            squash.high - squash.low,
            not squash.is_none,
            np.float32(rate_from),
            np.float32(rate_to),
            np.float32(settings.bias_rate if self.biased else 0),
            np.float32(settings.weight_decay),
            np.float32(settings.bias_decay if self.biased else 0),
            self.errors,
        )

    def pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        """Scores of pairs as they are now, float32 (n,)."""
        from penchant.kernels.sgd import pair_sums

        scores = np.empty(len(user_rows), np.float32)

        def score(parts: NDArray[np.int64]) -> None:
            for start in parts * PAIRS_A_TIME:
                part = slice(start, start + PAIRS_A_TIME)
                places = self.tiles.users.places[user_rows[part]], self.tiles.items.places[item_rows[part]]
                sums = pair_sums(*places, self.users, self.items, self.k, self.mean)
                scores[part] = self.squash(sums) * self.unit

        self.workers.share(np.arange(-(-len(scores) // PAIRS_A_TIME)), score)
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What has been learnt, in the shapes of the model."""
        users, items = self.tiles.users.places, self.tiles.items.places
        unit = self.unit if self.squash.is_none else np.float32(1)  # inside a range, sums have no unit
        root = np.sqrt(unit)
        return {
            "user_factors": self.users[users, : self.factors] * root,
            "item_factors": self.items[items, : self.factors] * root,
            "user_biases": self.users[users, self.k] * unit,
            "item_biases": self.items[items, self.k] * unit,
            "mean": np.array([self.mean * unit]),
            "rating_range": self.squash.in_units(1 / self.unit).pack(),
        }

    def snapshot(self) -> tuple[Floats, Floats]:
        """A copy of what has been learnt; it takes the place of the copy before."""
        if self.kept is None:
            self.kept = np.empty_like(self.users), np.empty_like(self.items)
        np.copyto(self.kept[0], self.users)
        np.copyto(self.kept[1], self.items)
        return self.kept

    def restore(self, state: tuple[Floats, Floats]) -> None:
        """Take back a copy."""
        np.copyto(self.users, state[0])
        np.copyto(self.items, state[1])


def row_width(factors: int) -> int:
    """Floats in a row of a table: factors filled up for the kernel, a bias, an accumulator, in whole cache lines."""
    return _up(_up(factors, 8) + 2, ROW_UNIT)


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
