"""Matrix factorisation by stochastic gradient descent: the plain dot product, and with biases and a range."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from penchant.data.split import Split
from penchant.models.base import Explanation, Floats, Model, Rows, known_valid_loss
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.folding import Array, Prior, most_probable
from penchant.models.ranges import Squash
from penchant.models.schedule import SCHEDULES, ScheduleName
from penchant.models.settings import RatingRange, Settings, setting
from penchant.seeds import numpy_generator

STEPS_A_CALL = 1_000_000  # a kernel call cannot be interrupted, so it is kept short


@dataclass(frozen=True)
class DotSettings(Settings):
    """Settings of `dot`."""

    factors: int = setting(50, "How many numbers describe each user and each item.", low=1, search=(8, 256))
    epochs: int = setting(10, "How often every rating is learnt from.", low=1, search=(3, 40))
    learning_rate: float = setting(0.3, "Length of the steps at the start.", above=0, search=(0.02, 0.6))
    weight_decay: float = setting(0.01, "Pull of factors towards 0.", low=0, search=(0.001, 0.2))
    initial_deviation: float = setting(
        0.12, "Length of the random part of a row of factors at the start.", low=0, search=(0.01, 0.5)
    )
    schedule: ScheduleName = setting("linear", "How the learning rate changes.", search=("linear", "one-cycle"))


@dataclass(frozen=True)
class MfSettings(Settings):
    """Settings of `mf`."""

    factors: int = setting(50, "How many numbers describe each user and each item.", low=1, search=(8, 256))
    epochs: int = setting(10, "How often every rating is learnt from.", low=1, search=(3, 40))
    learning_rate: float = setting(0.04, "Length of the steps at the start.", above=0, search=(0.01, 0.3))
    bias_rate: float = setting(
        2.2, "The biases' learning rate, in multiples of the factors'.", above=0, search=(0.3, 5)
    )
    weight_decay: float = setting(0.04, "Pull of factors towards 0.", low=0, search=(0.005, 0.3))
    bias_decay: float = setting(0.01, "Pull of biases towards 0.", low=0, search=(0.001, 0.1))
    initial_deviation: float = setting(
        0.07, "Length of the random part of a row of factors at the start.", low=0, search=(0.01, 0.5)
    )
    rating_range: RatingRange = setting(
        "auto",
        "Range of the sigmoid that predictions pass; auto: a tenth beyond the scale on each side; none: no sigmoid.",
        search=("auto", "none"),
    )
    schedule: ScheduleName = setting("linear", "How the learning rate changes.", search=("linear", "one-cycle"))


class _Factorisation(Model):
    """What `dot` and `mf` share: a user vector of [bias,] factors, and z = mean + its product with the item's."""

    biased: ClassVar[bool]
    first_square: ClassVar[float]  # where Adagrad's accumulators of factors start
    first_bias_square: ClassVar[float]  # and those of biases

    @abstractmethod
    def _start(self, split: Split, seed: int) -> dict[str, Any]:
        """Initial user_factors, item_factors, user_biases, item_biases, mean and range."""

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        self.parameters |= self._start(split, options.seed)
        log = run_epochs(_FactorTraining(self, split, options.seed), self.name, options)
        noise = log.epochs[log.kept_epoch].train_loss
        everyone = np.arange(split.train.n_users, dtype=np.int32)
        self.parameters |= Prior.of(self.user_vectors(everyone), noise).pack()
        return log

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        p = self._parameter("user_factors")[user_rows]
        q = self._parameter("item_factors")[item_rows]
        z = np.einsum("nf,nf->n", p, q) + self._mean()
        z += self._parameter("user_biases")[user_rows] + self._parameter("item_biases")[item_rows]
        return self._squash(z)

    def user_vectors(self, user_rows: Rows) -> Floats:
        """[bias, factors] of each user, (n, 1 + factors); the bias is 0 in `dot`."""
        biases = self._parameter("user_biases")[user_rows, None]
        return np.concatenate((biases, self._parameter("user_factors")[user_rows]), axis=1)

    def scores_of(self, user_vectors: Floats) -> Floats:
        z = user_vectors[:, 1:] @ self._parameter("item_factors").T
        z += self._parameter("item_biases")
        z += user_vectors[:, :1] + self._mean()
        return self._squash(z)

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        q = self._parameter("item_factors")[item_rows].astype(np.float64)
        design = np.concatenate((np.ones((len(q), 1)), q), axis=1)
        offset = self._parameter("item_biases")[item_rows].astype(np.float64) + self._mean()

        def predict(vector: Array) -> tuple[Array, Array]:
            z = offset + design @ vector
            predictions, slopes = self._squash.with_slope(z)
            return predictions, slopes[:, None] * design

        prior = Prior.unpack(self.parameters)
        return most_probable(prior, predict, ratings).astype(np.float32)

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """The causes are added one after the other inside the sigmoid, so that their differences sum up."""
        causes = {
            "mean": float(self._mean()),
            "user": float(user_vector[0]),
            "item": float(self._parameter("item_biases")[item_row]),
            "match": float(user_vector[1:] @ self._parameter("item_factors")[item_row]),
        }
        if not self.biased:
            causes = {"match": causes["match"]}
        z = np.cumsum(list(causes.values()))
        steps = self._squash(z.astype(np.float32)).astype(np.float64)
        parts = dict(zip(causes, np.diff(steps, prepend=0.0).tolist(), strict=True))
        return Explanation(parts, float(self.scores_of(user_vector[None])[0, item_row]))

    def item_factors(self) -> Floats:
        return self._parameter("item_factors")

    def _mean(self) -> np.float32:
        return np.float32(self._parameter("mean")[0])

    @property
    def _squash(self) -> Squash:
        return Squash.unpack(self._parameter("rating_range"))


@final
class Dot(_Factorisation):
    """prediction = user factors . item factors, and nothing else (the notebook's DotProduct).

    Factors start around sqrt(mean / factors), so that a prediction starts at the mean. Starting around 0
    spends most of the epochs on finding the mean, and was measured at 1.3 instead of 0.75 of mean squared
    error after five epochs.
    """

    name = "dot"
    settings_class = DotSettings
    biased = False
    first_square = 20.0
    first_bias_square = 1.0

    def _start(self, split: Split, seed: int) -> dict[str, Any]:
        mean = float(split.train.ratings.mean(dtype=np.float64))
        level = np.float32(np.sqrt(max(mean, 0.0) / self.settings.factors))
        start = _random_factors(split, self.settings, seed)
        start["user_factors"] += level
        start["item_factors"] += level
        return start | {
            "mean": np.zeros(1, np.float32),
            "rating_range": Squash.of("none", split.train.scale).pack(),
        }


@final
class Mf(_Factorisation):
    """prediction = sigmoid(mean + user bias + item bias + user factors . item factors) into rating_range.

    Koren, Bell and Volinsky 2009, equation 5, squeezed into a range as fastai does.
    """

    name = "mf"
    settings_class = MfSettings
    biased = True
    first_square = 0.04
    first_bias_square = 50.0

    def _start(self, split: Split, seed: int) -> dict[str, Any]:
        mean = float(split.train.ratings.mean(dtype=np.float64))
        squash = Squash.of(self.settings.rating_range, split.train.scale)
        return _random_factors(split, self.settings, seed) | {
            "mean": np.array([squash.inverse(mean)], np.float32),
            "rating_range": squash.pack(),
        }

    def item_biases(self) -> Floats:
        """What the bias alone moves an average user's prediction by, in rating steps."""
        mean = np.full(1, self._mean())
        return self._squash(mean + self._parameter("item_biases")) - self._squash(mean)


def _random_factors(split: Split, settings: Any, seed: int) -> dict[str, Any]:
    generator = numpy_generator(seed, "initial factors")
    deviation = np.float32(settings.initial_deviation / np.sqrt(settings.factors))
    users, items, k = split.train.n_users, split.train.n_items, settings.factors
    return {
        "user_factors": generator.standard_normal((users, k), np.float32) * deviation,
        "item_factors": generator.standard_normal((items, k), np.float32) * deviation,
        "user_biases": np.zeros(users, np.float32),
        "item_biases": np.zeros(items, np.float32),
    }


class _FactorTraining:
    """Epochs of the SGD kernel over freshly shuffled ratings."""

    def __init__(self, model: _Factorisation, split: Split, seed: int) -> None:
        self.model = model
        self.split = split
        self.epochs: int = model.settings.epochs
        self.generator = numpy_generator(seed, "order of ratings")
        users, items = split.train.n_users, split.train.n_items
        self.squares = {
            "user": np.full(users, model.first_square, np.float32),
            "item": np.full(items, model.first_square, np.float32),
            "user_bias": np.full(users, model.first_bias_square, np.float32),
            "item_bias": np.full(items, model.first_bias_square, np.float32),
        }

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        order = self.generator.permutation(len(self.split.train)).astype(np.int32)
        total = 0.0
        for start in range(0, len(order), STEPS_A_CALL):
            part = order[start : start + STEPS_A_CALL]
            total += self._steps(part, epoch, start / len(order), (start + len(part)) / len(order))
            progressed((start + len(part)) / len(order))
        return total / len(order)

    def _steps(self, order: Rows, epoch: int, begin: float, end: float) -> float:
        from penchant.kernels.sgd import sgd_steps  # numba is loaded only to train

        train, settings, arrays = self.split.train, self.model.settings, self.model.parameters
        schedule = SCHEDULES[settings.schedule]
        rate_from, rate_to = (
            np.float32(settings.learning_rate * schedule((epoch + part) / self.epochs)) for part in (begin, end)
        )
        low, high = arrays["rating_range"]
        return float(
            sgd_steps(
                order,
                train.user_rows,
                train.item_rows,
                train.ratings,
                arrays["user_factors"],
                arrays["item_factors"],
                arrays["user_biases"],
                arrays["item_biases"],
                self.squares["user"],
                self.squares["item"],
                self.squares["user_bias"],
                self.squares["item_bias"],
                arrays["mean"][0],
                low,
                high,
                self.model.biased,
                not np.isnan(low),
                rate_from,
                rate_to,
                np.float32(settings.bias_rate if self.model.biased else 0),
                np.float32(settings.weight_decay),
                np.float32(settings.bias_decay if self.model.biased else 0),
            )
        )

    def valid_loss(self) -> float | None:
        return known_valid_loss(self.model, self.split)

    def snapshot(self) -> dict[str, Any]:
        return {name: array.copy() for name, array in self.model.parameters.items()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.parameters = dict(state)
