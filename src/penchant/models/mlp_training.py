"""Training of `mlp` by kernels and matrix products, parts of a batch on several threads; torch is not needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.split import Split
from penchant.models.adam import Adam
from penchant.models.dense import Dense, Layer, Noise
from penchant.models.fitting import FitOptions
from penchant.models.machine_training import MachineTrainer
from penchant.models.ranges import Squash, range_unit
from penchant.models.schedule import SCHEDULES, one_cycle_momentum
from penchant.seeds import numpy_generator
from penchant.threads import Workers

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Numbers = NDArray[np.int64]

PART = 256  # ratings of a batch that are worked on at once; the result depends on it, and not on the threads
EPOCH = 20  # bytes of a rating in an epoch: an order, and the ratings in it
FIRST_SQUARE = 1.0  # where the embeddings' Adagrad accumulators start


def embedding_size(n: int) -> int:
    """Numbers in the embedding of one of n things: min(600, 1.6 n**0.56) (fastai's rule, found by trial)."""
    return min(600, round(1.6 * n**0.56))


class MlpTrainer:
    """Epochs of an `mlp`: Adam with decoupled decay for the layers, lazy Adagrad for the embeddings.

    Only the rows of embeddings that a batch names are read or written. A dense optimiser over all rows spends
    nearly all of its time on rows that have no gradient.

    A batch is worked on in parts of PART ratings, each by one thread, and their gradients are added in order: the
    result is the same for any number of threads. With normalisation over the batch there is one part.
    """

    def __init__(
        self, settings: Any, split: Split, options: FitOptions, workers: Workers, machine: MachineTrainer | None = None
    ) -> None:
        self.settings = settings
        self.train = split.train
        self.workers = workers
        self.machine = machine
        self.order = numpy_generator(options.seed, "order of ratings")
        generator = numpy_generator(options.seed, "initial embeddings")
        self.users = self._embedding(self.train.n_users, generator)
        self.items = self._embedding(self.train.n_items, generator)
        self.user_squares = np.full(len(self.users), FIRST_SQUARE, np.float32)
        self.item_squares = np.full(len(self.items), FIRST_SQUARE, np.float32)
        self.squash = Squash.of(settings.rating_range, self.train.scale)
        unit = np.float32(1) if self.squash.is_none else range_unit(self.train.scale)
        self.weight_of_errors = 2 / unit**2  # inside a range, sums have no unit, and what moves them should have none
        self.network = self._layers(options.seed)
        self.adam = Adam(self.network.weights, settings.weight_decay)
        self.seeds = numpy_generator(options.seed, "dropout").integers(
            2**63, size=1 + len(settings.layers), dtype=np.uint64
        )
        self.part = settings.batch_size if settings.batch_normalisation else min(PART, settings.batch_size)
        self._make_room(min(settings.batch_size, len(self.train)))

    def _embedding(self, n: int, generator: np.random.Generator) -> Floats:
        table = generator.standard_normal((n, embedding_size(n)), np.float32)
        table *= np.float32(self.settings.initial_deviation)
        return table

    def _layers(self, seed: int) -> Dense:
        mean = self.squash.inverse(float(self.train.ratings.mean(dtype=np.float64)))
        widths = (self.users.shape[1] + self.items.shape[1], *self.settings.layers)
        return Dense(widths, self.settings.batch_normalisation, mean, numpy_generator(seed, "initial layers"))

    def _make_room(self, batch: int) -> None:
        """What a batch is worked on in, once for all."""
        parts = -(-batch // self.part)
        self.inputs = np.empty((batch, self.users.shape[1] + self.items.shape[1]), np.float32)
        self.input_gradients = np.empty_like(self.inputs)
        self.gradients = np.empty((parts, len(self.network.weights)), np.float32)
        self.layer_gradients: list[list[Layer]] = [self.network.views(vector) for vector in self.gradients]
        self.squared = np.zeros(parts)
        if self.machine is not None:
            self.gathered = self.machine.room(batch)

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        """One pass over the shuffled ratings; the mean squared error before each step."""
        n, size = len(self.train), self.settings.batch_size
        order = self.order.permutation(n)
        users, items = self.train.user_rows[order], self.train.item_rows[order]
        ratings = self.train.ratings[order]
        schedule, total = SCHEDULES[self.settings.schedule], 0.0
        for step, start in enumerate(range(0, n, size)):
            start = self._not_one_alone(start, n)
            part = slice(start, start + size)
            progress = (epoch + step * size / n) / self.settings.epochs
            if self.settings.schedule == "one-cycle":
                self.adam.momentum = one_cycle_momentum(progress)
            batch = users[part], items[part], ratings[part]
            total += self._step(*batch, epoch * n + start, schedule(progress), last=start + size >= n)
            if step % 64 == 63:
                progressed(min((start + size) / n, 1.0))
        return total / n

    def _not_one_alone(self, start: int, n: int) -> int:
        """Batch normalisation has no variance of one rating: the last batch then has two."""
        return start - 1 if self.settings.batch_normalisation and n - start == 1 and start else start

    def _step(self, users: Rows, items: Rows, ratings: Floats, first: int, scale: float, *, last: bool = True) -> float:
        """Learn from one batch; `first` is its first rating's number. Returns the sum of squared errors."""
        n, parts = len(ratings), -(-len(ratings) // self.part)
        self.workers.share(np.arange(parts), partial(self._learn_parts, users, items, ratings, first))
        gradient = self.gradients[0]
        for other in self.gradients[1:parts]:
            gradient += other
        gradient *= np.float32(1 / n)
        self.adam.step(gradient, self.settings.learning_rate * scale)
        self.workers.share(np.arange(2), partial(self._move, users, items, self.settings.embedding_rate * scale))
        if self.machine is not None:
            of_users, of_items = (one[:n] for one in self.gathered)
            self.workers.share(np.arange(2), partial(self.machine.collect, users, items, of_users, of_items))
            self.machine.batch_done(n, scale, self.workers, last=last)
        return float(self.squared[:parts].sum())

    def _learn_parts(self, users: Rows, items: Rows, ratings: Floats, first: int, parts: Numbers) -> None:
        for part in parts:
            self._learn(users, items, ratings, first, int(part))

    def _learn(self, users: Rows, items: Rows, ratings: Floats, first: int, part: int) -> None:
        """There and back with a part of a batch: gradients of the layers (sums) and of the embeddings (each)."""
        from penchant.kernels.network import gather_rows

        at = slice(part * self.part, min((part + 1) * self.part, len(ratings)))
        x = self.inputs[at]
        gather_rows(users[at], items[at], self.users, self.items, x)
        embeddings = self._noise(self.settings.embedding_dropout, self.seeds[-1:], first + at.start)
        layers = self._noise(self.settings.dropout, self.seeds[:-1], first + at.start)
        embeddings.apply(x, 0)
        z, last, steps = self.network.forward(x, layers)
        if self.machine is not None:
            gathered = [one[at] for one in self.gathered]
            z = z + self.machine.forward(users[at], items[at], *gathered)
        predictions, slopes = self._squeeze(z)
        errors = predictions - ratings[at]
        self.squared[part] = np.dot(errors, errors)
        slopes *= self.weight_of_errors * errors
        if self.machine is not None:
            self.machine.backward(slopes, *gathered)
        back = self.input_gradients[at]
        self.network.backward(slopes, last, steps, layers, self.layer_gradients[part], back)
        embeddings.apply(back, 0)

    @staticmethod
    def _noise(probability: float, seeds: NDArray[np.uint64], first: int) -> Noise:
        return Noise(round(256 * probability), seeds, first)

    def _squeeze(self, z: Floats) -> tuple[Floats, Floats]:
        """Predictions and their derivatives by the last sums."""
        if self.squash.is_none:
            return z, np.ones_like(z)
        span = self.squash.high - self.squash.low
        with np.errstate(over="ignore"):
            s = np.float32(1) / (np.float32(1) + np.exp(-z))
        return self.squash.low + span * s, span * s * (np.float32(1) - s)

    def _move(self, users: Rows, items: Rows, rate: float, sides: Numbers) -> None:
        """A step of the embeddings of users (side 0) and items (side 1)."""
        from penchant.kernels.network import step_rows

        decay = np.float32(self.settings.embedding_decay)
        tables = (users, self.users, self.user_squares, 0), (items, self.items, self.item_squares, self.users.shape[1])
        for side in sides:
            rows, table, squares, column = tables[side]
            step_rows(rows, table, squares, self.input_gradients, column, np.float32(rate), decay)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Embeddings and layers, batch normalisations folded into the layer after them."""
        arrays = {
            "user_embeddings": self.users.copy(),
            "item_embeddings": self.items.copy(),
            "rating_range": self.squash.pack(),
        }
        for number, (weight, bias) in enumerate(self.network.folded()):
            arrays |= {f"layer/{number}/weight": weight, f"layer/{number}/bias": bias}
        return arrays if self.machine is None else arrays | self.machine.arrays()

    def state(self) -> Any:
        """A copy of what is trained."""
        averages = [(average.mean.copy(), average.variance.copy()) for average in self.network.averages]
        machine = None if self.machine is None else self.machine.state()
        return self.users.copy(), self.items.copy(), self.network.weights.copy(), averages, machine

    def load(self, state: Any) -> None:
        """Take back a copy."""
        users, items, weights, averages, machine = state
        if self.machine is not None:
            self.machine.load(machine)
        for mine, kept in ((self.users, users), (self.items, items), (self.network.weights, weights)):
            np.copyto(mine, kept)
        for average, (mean, variance) in zip(self.network.averages, averages, strict=True):
            average.mean, average.variance = mean.copy(), variance.copy()
