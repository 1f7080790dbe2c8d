"""Training of the factorisation machine beside the network of `mlp`: sets of what was rated, and columns.

The machine and the network are added before the sigmoid and learn together (DeepFM, Guo et al. 2017). Its features are
those of SVD++ (Koren 2008, section 4.2), for items as well ("flipped", Rendle, Zhang and Koren 2019), and columns. No
user or item has factors of its own here: with them ml-latest-small is learnt by heart in a few epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.features import Feature
from penchant.data.interactions import Interactions
from penchant.models.adam import Adam
from penchant.models.biases import Biases
from penchant.models.ranges import Squash
from penchant.seeds import numpy_generator
from penchant.threads import Workers

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Numbers = NDArray[np.int64]

START = 0.01  # deviation of factors at the start
EPSILON = 1e-8  # of Adam: gradients of what few have are small
MOST_STEPS = 80  # an epoch: each goes over all sets, and a step a batch would grow with the square of the ratings
ROWS_A_TIME = 512


@dataclass(frozen=True)
class Sets:
    """A set of members for each row, and for each member the rows that have it.

    Attributes:
        starts, members, values: int64 (rows + 1,), int32 and float32 (entries,); row by row.
        back: the same, member by member.
    """

    starts: NDArray[np.int64]
    members: Rows
    values: Floats
    back: Sets | None = None

    @classmethod
    def of(cls, rows: Rows, members: Rows, values: Floats, n_rows: int, n_members: int) -> Sets:
        """From entries in any order."""
        back = cls._one_way(members, rows, values, n_members)
        there = cls._one_way(rows, members, values, n_rows)
        return cls(there.starts, there.members, there.values, back)

    @classmethod
    def _one_way(cls, rows: Rows, members: Rows, values: Floats, n_rows: int) -> Sets:
        order = np.argsort(rows, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=n_rows)))).astype(np.int64)
        return cls(starts, members[order], values[order])

    @classmethod
    def of_columns(cls, features: Sequence[Feature], table: Any, n_rows: int) -> Sets:
        """The members of several features side by side, each divided by the root of how many the row has."""
        rows, members, values, after = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)], 0
        for feature in features:
            own, of = feature.entries(table)
            rows.append(own)
            members.append(of + np.int32(after))
            values.append((1 / np.sqrt(np.bincount(own, minlength=n_rows)[own])).astype(np.float32))
            after += len(feature.members)
        return cls.of(np.concatenate(rows), np.concatenate(members), np.concatenate(values), n_rows, after)

    @property
    def n_rows(self) -> int:
        """How many rows."""
        return len(self.starts) - 1

    @property
    def back_again(self) -> Sets:
        """For each member the rows that have it."""
        assert self.back is not None
        return self.back


class Side:
    """Users, or items, in the machine: sums over their sets, and the gradients that come back.

    Attributes:
        sets: of the other side; a row's are those whom it has a rating with.
        columns: of the side's table.
        scales: one over the root of a set's size without a pair that is learnt from; 0 where no history is wanted.
        table, column_table: [bias, factors] of members of the two; views of the machine's weights.
        sums, rest: of each row, over sets (not scaled) and over columns.
    """

    def __init__(self, sets: Sets, columns: Sets, history: bool, width: int) -> None:
        self.sets, self.columns = sets, columns
        sizes = np.diff(sets.starts)
        self.scales = (history / np.sqrt(np.maximum(sizes - 1, 1))).astype(np.float32)
        self.served_scales = (history / np.sqrt(np.maximum(sizes, 1))).astype(np.float32)
        self.sums, self.rest, self.of_sums, self.of_rest = np.zeros((4, sets.n_rows, width), np.float32)

    @property
    def sizes(self) -> tuple[int, int]:
        """Members of both kinds."""
        return self.sets.back_again.n_rows, self.columns.back_again.n_rows

    def bind(self, weights: Floats, gradients: Floats) -> None:
        """Take this side's rows of all weights and gradients, (members of both kinds, d)."""
        n = self.sizes[0]
        self.table, self.column_table = weights[:n], weights[n:]
        self.of_table, self.of_columns = gradients[:n], gradients[n:]

    def served(self) -> Floats:
        """What each row is when nothing is left out of its set."""
        result: Floats = self.sums * self.served_scales[:, None] + self.rest
        return result


class MachineTrainer:
    """Steps of the machine: Adam over all of its weights, after every batch or, with many ratings, every few.

    Args:
        biases: damped, which the machine starts from.
        squash: what its sums pass.
        columns: features of users and of items.
    """

    def __init__(
        self,
        settings: Any,
        train: Interactions,
        biases: Biases,
        squash: Squash,
        seed: int,
        columns: tuple[Sequence[Feature], Sequence[Feature]],
    ) -> None:
        self.settings, self.train = settings, train
        self.width = 1 + int(settings.factors)
        self.slope = squash.slope(biases.mean)
        self.user_biases = (biases.user_biases / self.slope).astype(np.float32)
        self.item_biases = (biases.item_biases / self.slope).astype(np.float32)
        users, items = train.user_rows, train.item_rows
        ones = np.ones(len(train), np.float32)
        rated = Sets.of(users, items, ones, train.n_users, train.n_items)
        raters = Sets(rated.back_again.starts, rated.back_again.members, ones, rated)
        found = self._columns(*columns)
        self.users, self.items = (
            Side(sets, columns, settings.history, self.width)
            for sets, columns in zip((rated, raters), found, strict=True)
        )
        self._make_weights(seed)
        self.every = -(-len(train) // (MOST_STEPS * int(settings.batch_size)))
        self.batches = self.ratings = 0
        self.refresh(None)

    def _columns(self, of_users: Sequence[Feature], of_items: Sequence[Feature]) -> tuple[Sets, Sets]:
        return (
            Sets.of_columns(of_users, self.train.user_table, self.train.n_users),
            Sets.of_columns(of_items, self.train.item_table, self.train.n_items),
        )

    def _make_weights(self, seed: int) -> None:
        n_users, n_items = (sum(side.sizes) for side in (self.users, self.items))
        start = numpy_generator(seed, "initial factors of sets").standard_normal((n_users + n_items, self.width))
        self.weights = (START * start).astype(np.float32)
        self.weights[:, 0] = 0
        self.gradients = np.zeros_like(self.weights)
        self.users.bind(self.weights[:n_users], self.gradients[:n_users])
        self.items.bind(self.weights[n_users:], self.gradients[n_users:])
        self.adam = Adam(self.weights.reshape(-1), 0.0)
        self.adam.epsilon = EPSILON

    def room(self, n: int) -> tuple[Floats, Floats]:
        """Where a batch of n pairs is gathered: a row of each side."""
        return np.empty((n, self.width), np.float32), np.empty((n, self.width), np.float32)

    def forward(self, users: Rows, items: Rows, of_users: Floats, of_items: Floats) -> Floats:
        """The machine's sums of pairs, (n,), each learnt from: it is left out of its sets."""
        from penchant.kernels.sets import gather_without

        one, other = self.users, self.items
        gather_without(users, items, one.sums, one.table, one.scales, one.rest, of_users)
        gather_without(items, users, other.sums, other.table, other.scales, other.rest, of_items)
        sums: Floats = np.einsum("nf,nf->n", of_users[:, 1:], of_items[:, 1:])
        sums += of_users[:, 0] + of_items[:, 0]
        sums += self.user_biases[users] + self.item_biases[items]
        return sums

    def backward(self, slopes: Floats, of_users: Floats, of_items: Floats) -> None:
        """Turn what was gathered into gradients, in place."""
        of_users[:, 1:], of_items[:, 1:] = of_items[:, 1:].copy(), of_users[:, 1:].copy()
        for gathered in (of_users, of_items):
            gathered[:, 0] = 1
            gathered *= slopes[:, None]

    def collect(self, users: Rows, items: Rows, of_users: Floats, of_items: Floats, sides: Numbers) -> None:
        """Add the gradients of a batch to what is waiting for a step, of users (side 0) and items (side 1)."""
        from penchant.kernels.sets import scatter_without

        both = (self.users, users, items, of_users), (self.items, items, users, of_items)
        for number in sides:
            side, rows, others, gradients = both[number]
            scatter_without(rows, others, gradients, side.scales, side.of_sums, side.of_table, side.of_rest)

    def batch_done(self, n: int, scale: float, workers: Workers, *, last: bool) -> None:
        """Make a step if it is time for one."""
        self.batches, self.ratings = self.batches + 1, self.ratings + n
        if self.batches % self.every and not last:
            return
        for side in (self.users, self.items):
            _add(side.sets.back_again, side.of_sums, side.of_table, workers)
            _add(side.columns.back_again, side.of_rest, side.of_columns, workers)
            side.of_sums[:] = 0
            side.of_rest[:] = 0
        self.gradients *= np.float32(1 / self.ratings)
        self.gradients += np.float32(2 * self.settings.feature_decay) * self.weights
        self.adam.step(self.gradients.reshape(-1), self.settings.feature_rate * scale)
        self.gradients[:] = 0
        self.batches = self.ratings = 0
        self.refresh(workers)

    def refresh(self, workers: Workers | None) -> None:
        """Bring the sums over sets up to date with the weights."""
        for side in (self.users, self.items):
            side.sums[:] = 0
            side.rest[:] = 0
            _add(side.sets, side.table, side.sums, workers)
            _add(side.columns, side.column_table, side.rest, workers)

    def arrays(self) -> dict[str, Floats]:
        """[bias, factors] of users, of items, and of what a new user is made of (penchant.models.machine)."""
        users, items = self.users.served(), self.items.served()
        users[:, 0] += self.user_biases
        items[:, 0] += self.item_biases
        history = np.float32(self.settings.history)
        average = self.users.rest.mean(axis=0, dtype=np.float64).astype(np.float32)
        rated = np.concatenate((self.users.table * history, average[None]))
        return {"machine/users": users, "machine/items": items, "machine/rated": rated}

    def state(self) -> Floats:
        """A copy of what is trained."""
        return self.weights.copy()

    def load(self, state: Floats) -> None:
        """Take back a copy."""
        np.copyto(self.weights, state)
        self.refresh(None)


def _add(sets: Sets, table: Floats, out: Floats, workers: Workers | None) -> None:
    """Add up over sets, rows shared out to threads."""
    from penchant.kernels.sets import add_members

    def some(blocks: Numbers) -> None:
        for block in blocks:
            first = int(block) * ROWS_A_TIME
            last = min(first + ROWS_A_TIME, sets.n_rows)
            add_members(first, last, sets.starts, sets.members, sets.values, table, out)

    blocks = np.arange(-(-sets.n_rows // ROWS_A_TIME))
    if workers is None:
        some(blocks)
    else:
        workers.share(blocks, some)
