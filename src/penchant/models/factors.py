"""Matrix factorisation by stochastic gradient descent: the plain dot product, and with biases and a range."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.models.base import Floats, Validation
from penchant.models.factorisation import Factorisation
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.folding import Prior
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.ranges import Squash, range_unit, spread_unit
from penchant.models.schedule import ScheduleName
from penchant.models.settings import RatingRange, Settings, setting
from penchant.models.sgd_training import TILED, SgdTraining, Start, row_width
from penchant.seeds import numpy_generator
from penchant.threads import Workers


@dataclass(frozen=True)
class DotSettings(Settings):
    """Settings of `dot`."""

    factors: int = setting(50, "How many numbers describe each user and each item.", low=1, search=(8, 256))
    epochs: int = setting(10, "How often every rating is learnt from.", low=1, search=(3, 40))
    learning_rate: float = setting(0.38, "Length of the steps at the start.", above=0, search=(0.02, 0.6))
    weight_decay: float = setting(0.023, "Pull of factors towards 0.", low=0, search=(0.001, 0.2))
    initial_deviation: float = setting(
        0.075, "Length of the random part of a row of factors at the start.", low=0, search=(0.01, 0.5)
    )
    schedule: ScheduleName = setting("linear", "How the learning rate changes.", search=("linear", "one-cycle"))


@dataclass(frozen=True)
class MfSettings(Settings):
    """Settings of `mf`."""

    factors: int = setting(50, "How many numbers describe each user and each item.", low=1, search=(8, 256))
    epochs: int = setting(10, "How often every rating is learnt from.", low=1, search=(3, 40))
    learning_rate: float = setting(0.04, "Length of the steps at the start.", above=0, search=(0.01, 0.3))
    bias_rate: float = setting(
        0.15, "The biases' learning rate, in multiples of the factors'.", above=0, search=(0.05, 1)
    )
    weight_decay: float = setting(0.06, "Pull of factors towards 0.", low=0, search=(0.005, 0.3))
    bias_decay: float = setting(0.004, "Pull of biases towards 0.", low=0, search=(0.001, 0.1))
    initial_deviation: float = setting(
        0.1, "Length of the random part of a row of factors at the start.", low=0, search=(0.01, 0.5)
    )
    rating_range: RatingRange = setting(
        "auto",
        "Range of the sigmoid that predictions pass; auto: a tenth beyond the scale on each side; none: no sigmoid.",
        search=("auto", "none"),
    )
    schedule: ScheduleName = setting("linear", "How the learning rate changes.", search=("linear", "one-cycle"))


class _BySteps(Factorisation):
    """Learnt by the SGD kernel."""

    @abstractmethod
    def _start(self, train: Interactions, seed: int) -> Start:
        """Initial factors, mean and range."""

    def _train(self, split: Split, options: FitOptions) -> FitLog:
        with Workers(options.n_threads) as workers:
            sgd = SgdTraining(self._start(split.train, options.seed), self.settings, split.train, options, workers)
            log = run_epochs(_FactorTraining(self, sgd, split), self.name, options)
            sgd.kept = None
            self.parameters |= sgd.arrays()
        return log

    def fit_memory(self, sizes: Sizes) -> Parts:
        """While it trains: tables of factors and a copy of the best. Before and after, both are not there yet."""
        table = FLOAT * row_width(self.settings.factors) * sizes.rows
        return {
            "the factors of users and items, and a copy of the best": 2 * table,
            "the ratings": TILED * sizes.train,
            "the distribution of users": Prior.memory(1 + self.settings.factors),
        }


@final
class Dot(_BySteps):
    """prediction = user factors . item factors, and nothing else (the notebook's DotProduct).

    Factors start around sqrt(mean / factors), so that a prediction starts at the mean. Starting around 0
    spends most of the epochs on finding the mean: fastai's ends there at a mean squared error of 1.30 after five
    epochs, this one at 0.78 (docs/benchmarks/fastai_notebook.md).
    """

    name = "dot"
    settings_class = DotSettings
    biased = False

    def _start(self, train: Interactions, seed: int) -> Start:
        unit = spread_unit(train.ratings)
        mean = float(train.ratings.mean(dtype=np.float64) / unit)
        level = np.float32(np.sqrt(max(mean, 0.0) / self.settings.factors))
        users, items = _random_factors(train, self.settings, seed)
        no_range = Squash.of("none", train.scale)
        return Start(unit, users + level, items + level, 0.0, no_range, self.biased, first_square=20.0)


@final
class Mf(_BySteps):
    """prediction = sigmoid(mean + user bias + item bias + user factors . item factors) into rating_range.

    Koren, Bell and Volinsky 2009, equation 5, squeezed into a range as fastai does.
    """

    name = "mf"
    settings_class = MfSettings
    biased = True

    def _start(self, train: Interactions, seed: int) -> Start:
        squash = Squash.of(self.settings.rating_range, train.scale)
        unit = spread_unit(train.ratings) if squash.is_none else range_unit(train.scale)
        squash = squash.in_units(unit)
        mean = squash.inverse(float(train.ratings.mean(dtype=np.float64) / unit))
        users, items = _random_factors(train, self.settings, seed)
        return Start(unit, users, items, mean, squash, self.biased, first_square=0.04)

    def item_biases(self) -> Floats:
        """What the bias alone moves an average user's prediction by, in rating steps."""
        mean = np.full(1, self._mean())
        return self._squash(mean + self._parameter("item_biases")) - self._squash(mean)


def _random_factors(train: Interactions, settings: Any, seed: int) -> tuple[Floats, Floats]:
    """Uniform around 0. Normal ones gain nothing, and drawing them took a tenth of a short fit."""
    generator = numpy_generator(seed, "initial factors")
    width = np.float32(np.sqrt(12) * settings.initial_deviation / np.sqrt(settings.factors))
    found = []
    for n in (train.n_users, train.n_items):
        factors = generator.random((n, settings.factors), np.float32)
        factors -= np.float32(0.5)
        factors *= width
        found.append(factors)
    return found[0], found[1]


class _FactorTraining:
    """Epochs of the SGD kernel, validated by the scores as they are."""

    def __init__(self, model: Factorisation, sgd: SgdTraining, split: Split) -> None:
        self.sgd = sgd
        self.epochs = sgd.epochs
        self.run_epoch = sgd.run_epoch
        self.snapshot = sgd.snapshot
        self.restore = sgd.restore
        self.validation = Validation(model, split)

    def valid_loss(self) -> float | None:
        return self.validation.loss(self.sgd.pair_scores)
