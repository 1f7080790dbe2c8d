"""Training `bayes`: chains side by side, what they have in common averaged, some of their samples kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Context
from penchant.data.split import Split
from penchant.metrics import mse
from penchant.models.averaging import AverageFactors
from penchant.models.designing import ITEMS, make_design
from penchant.models.fitting import FitOptions
from penchant.models.gibbs_sampling import Chain
from penchant.models.ordinal import Latent, Steps, distinct_steps
from penchant.models.posterior import KEPT, Posterior, compile_sample
from penchant.seeds import numpy_generator
from penchant.threads import Workers

if TYPE_CHECKING:
    from penchant.models.bayes import Bayes

ROUNDS = 10  # a fit is shown in so many epochs
LOOKED_AT = 5_000  # training ratings, for how uncertain scores are
TAKEN_EVERY = 2  # sweeps: one resembles the last, and to average it costs an eighth of it


class BayesTraining:
    """Epochs of some sweeps of every chain; the model has the average of all samples after each."""

    def __init__(self, model: Bayes, split: Split, options: FitOptions) -> None:
        self.model, self.split, self.settings = model, split, model.settings
        self.design, self.coding, order = make_design(split.train, model.wanted())
        ratings = split.train.ratings[order]
        self.mean = float(ratings.mean(dtype=np.float64))
        self.deviation = float(ratings.std(dtype=np.float64)) or 1.0
        standard = self._standard(ratings)
        self.steps = distinct_steps(ratings)
        self.chains = [
            Chain(self.design, standard, self.settings.factors, numpy_generator(options.seed, f"chain {number}"))
            for number in range(self.settings.chains)
        ]
        self.latent = [self._latent(standard, options.seed, number) for number in range(len(self.chains))]
        self.cuts, self.centres = np.zeros(max(len(self.steps) - 1, 0)), np.zeros(len(self.steps))
        self.average = AverageFactors(np.sqrt(self._rating_counts() + 1.0), self.settings.averaged_factors)
        self.biases = np.zeros(self.coding.starts[-1])
        self.noise = np.zeros(self.coding.n_users + 1)
        self.level = 0.0
        self.kept: list[Posterior] = []
        self.latest: Posterior  # while none is kept
        self.swept = 0
        self.workers = Workers(options.n_threads)
        kept_sweeps = self.settings.sweeps - self.settings.burn_in
        self.epochs = min(ROUNDS, kept_sweeps)
        self._keep_at = self._sweeps_to_keep(kept_sweeps)

    def __enter__(self) -> Self:
        self.workers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.workers.__exit__(*error)

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        kept_sweeps = self.settings.sweeps - self.settings.burn_in
        last = self.settings.burn_in + kept_sweeps * (epoch + 1) // self.epochs
        first = self.swept
        numbers = np.arange(len(self.chains))
        while self.swept < last:
            self.workers.share(numbers, self._sweep)
            since = self.swept - self.settings.burn_in
            if since >= 0 and (since % TAKEN_EVERY == 0 or since in self._keep_at):
                self._take(keep=since in self._keep_at)
            self.swept += 1
            progressed((self.swept - first) / (last - first))
        self._teach()
        squares = [np.mean(chain.errors**2, dtype=np.float64) for chain in self.chains]
        return float(np.mean(squares)) * self.deviation**2

    def _standard(self, ratings: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((ratings - np.float32(self.mean)) / np.float32(self.deviation)).astype(np.float32)

    def _latent(self, standard: NDArray[np.float32], seed: int, number: int) -> Latent | None:
        if self.settings.likelihood == "gaussian":
            return None
        return Latent(standard, self._standard(self.steps), numpy_generator(seed, f"latent values {number}"))

    def valid_loss(self) -> float | None:
        valid = self.split.valid
        if valid is None or not len(valid):
            return None
        users, items = self.split.valid_user_rows, self.split.valid_item_rows
        predictions = self.model.predict(users, items, Context.of(valid, users, items))
        return mse(predictions, valid.ratings)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        return dict(self.model.parameters)

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        self.model.learn(state, self.coding)

    def _sweep(self, numbers: NDArray[np.int64]) -> None:
        for number in numbers:
            self.chains[number].sweep()
            latent = self.latent[number]
            if latent is not None:
                latent.sample(self.chains[number])

    def _take(self, keep: bool) -> None:
        """Take the chains' states into the averages, in their order, which the result depends on."""
        for chain, latent in zip(self.chains, self.latent, strict=True):
            sample = chain.sample().scaled(self.mean, self.deviation)
            compiled = compile_sample(sample, self.design, self.coding)
            self.average.add(compiled.factors.T)
            self.biases += compiled.biases
            self.level += compiled.level
            self.noise[:-1] += 1 / sample.user_precisions
            self.noise[-1] += sample.noise
            if latent is not None:
                self.cuts += latent.cuts[1:-1] * self.deviation + self.mean
                self.centres += latent.centres() * self.deviation + self.mean
            if keep:
                self.kept.append(Posterior.of(sample, compiled, self.design))
            elif not self.kept:
                self.latest = Posterior.of(sample, compiled, self.design)

    def _teach(self) -> None:
        """Give the model what there is so far."""
        n, coding, posterior = self.average.n, self.coding, Posterior.joined(self.kept or [self.latest])
        arrays: dict[str, NDArray[Any]] = {
            "level": np.array([self.level / n], np.float32),
            "biases": (self.biases / n).astype(np.float32),
            "factors": self.average.result().astype(KEPT),
            "user_noise": (self.noise / n).astype(np.float32),
            "item_counts": self.split.train.item_counts.astype(np.float32),
            **({} if coding.days is None else {"days": coding.days}),
            **posterior.pack(),
            **self._steps(n).pack(),
            "uncertainty": self._uncertainty(posterior),
        }
        self.model.learn(arrays, coding)
        self.model.learn({**arrays, "centre": self._centre()}, coding)

    def _steps(self, n: int) -> Steps:
        if self.settings.likelihood == "gaussian":
            return Steps.halfway(self.steps)
        return Steps(self.steps, (self.cuts / n).astype(np.float32), (self.centres / n).astype(np.float32))

    def _uncertainty(self, posterior: Posterior) -> NDArray[np.float32]:
        """The mean variance of training scores over samples, float32 (1,)."""
        train = self.split.train
        some = np.linspace(0, len(train) - 1, min(len(train), LOOKED_AT)).astype(np.int64)
        times = None if train.times is None else train.times[some]
        rows = self.coding.rows(train.user_rows[some], train.item_rows[some], times)
        return np.array([posterior.scores(rows).var(axis=0).mean()], np.float32)

    def _centre(self) -> NDArray[np.float32]:
        """The vector of the average user of a rating, and bias and factors of its average item."""
        train, model = self.split.train, self.model
        vectors = model.user_vectors(np.arange(train.n_users, dtype=np.int32))[:, 1:]
        users = np.average(vectors, 0, train.user_counts)
        items = self.coding.rows_of(ITEMS)
        own = np.concatenate((model._biases[items, None], model._factors[items]), axis=1)
        return np.stack((users, np.average(own, 0, train.item_counts))).astype(np.float32)

    def _rating_counts(self) -> NDArray[np.float64]:
        """Ratings of each row, 0 for what is not known."""
        counts = np.zeros(self.coding.starts[-1])
        for block, rows in enumerate(self.design.rows):
            first, n_rows = self.coding.starts[block], self.design.blocks[block].n_rows
            counts[first : first + n_rows] = np.bincount(rows, minlength=n_rows)
        return counts

    def _sweeps_to_keep(self, kept_sweeps: int) -> set[int]:
        of_each = max(1, min(kept_sweeps, self.settings.samples // len(self.chains)))
        return {int((number + 0.5) * kept_sweeps / of_each) for number in range(of_each)}
