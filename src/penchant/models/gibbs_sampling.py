"""A chain of Gibbs sweeps over a factorisation machine with blocks.

The model of a rating (Rendle 2010, equation 1; its priors as in Freudenthaler, Schmidt-Thieme and Rendle 2011):

    rating = level + sum of w_j x_j + sum over j < l of (v_j . v_l) x_j x_l + noise
    noise ~ Normal(0, 1 / precision of its user)
    precision of a user ~ Gamma(shape nu / 2, rate nu * variance / 2)
    w_j, v_jf ~ Normal(mean, 1 / precision) of the group of j and of f
    their precisions ~ Gamma(1/2, 1/200), the variance ~ Gamma(1/2, 1/2), means ~ Normal(0, 1 / precision)
    level ~ Normal(mean rating, 1)

Everything but `factors` is sampled, each from its distribution given all others, so that nothing else needs tuning; nu
from those of NU. Ratings should have a variance of about 1, which these priors are for. That some users rate more
erratically than others, which others' factorisation machines do not know, is worth 0.001 of mean squared error on
ml-latest-small, and intervals that are as wide as each user needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penchant.kernels import gibbs, row_sums
from penchant.models.blocks import Block, Design

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

INITIAL_DEVIATIONS = 0.2, 0.1  # of rows' own features, and of those that rows share
# Sweeps before the first stretch. Factors begin at random and agree with nothing yet: stretched at once they shrink,
# and then take long to grow. Without features of tables and history that cost 0.005 of root mean squared error.
STRETCH_AFTER = 5
# Shapes and rates of Gamma distributions: of the noise's variance, and of the precisions of groups of features. A rate
# of 1/2 for the latter, as others have it, expects factors of about 1; it was measured at 0.003 more of mean squared
# error.
NOISE_PRIOR = 0.5, 0.5
FEATURE_PRIOR = 0.5, 0.005
NU = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0])


@dataclass(frozen=True, eq=False)
class Sample:
    """One state of a chain, as rows of blocks see it.

    Attributes:
        level: what every score begins with.
        user_precisions: float64 (users,), one over the variance of a user's ratings around their scores.
        noise: the variance of a new user's ratings around their scores.
        row_biases: float64 (rows,), what each row adds by itself: its weights, and the products of its own features.
        factors: float32 (factors, rows).
        weights, features: float32 (features,) and (factors, features).
        means, precisions: float64 (factors + 1, groups), of factors and, last, of weights.
    """

    level: float
    user_precisions: Doubles
    noise: float
    row_biases: Doubles
    factors: Floats
    weights: Floats
    features: Floats
    means: Doubles
    precisions: Doubles

    def scaled(self, mean: float, deviation: float) -> Sample:
        """The same for ratings times `deviation` plus `mean`."""
        root = np.sqrt(deviation)
        of_rows = np.append(np.full(len(self.factors), root), deviation)[:, None]  # of factors and, last, of weights
        return Sample(
            self.level * deviation + mean,
            self.user_precisions / deviation**2,
            self.noise * deviation**2,
            self.row_biases * deviation,
            self.factors * np.float32(root),
            self.weights * np.float32(deviation),
            self.features * np.float32(root),
            self.means * of_rows,
            self.precisions / of_rows**2,
        )


class Chain:
    """The state of a sampler, moved on by `sweep`.

    Args:
        design: ratings should lie in the order of the first block's rows, which is faster.
        ratings: float32 (n,).
        factors: how many.
        generator: all that is random comes from it.
        centre: the mean of the level's prior; None for the mean rating.
        feature_prior: shape and rate of the precisions of groups of features.
    """

    def __init__(
        self,
        design: Design,
        ratings: Floats,
        factors: int,
        generator: np.random.Generator,
        centre: float | None = None,
        feature_prior: tuple[float, float] = FEATURE_PRIOR,
    ) -> None:
        self.design, self.generator, self.k = design, generator, factors
        self._starts = design.row_starts
        self._feature_prior = feature_prior
        self._centre = float(ratings.mean(dtype=np.float64)) if centre is None else centre
        self.level, self._variance, self._nu = self._centre, 1.0, 4.0
        self.user_precisions = np.ones(design.blocks[0].n_rows)
        self._user_counts = np.bincount(design.rows[0], minlength=len(self.user_precisions))
        self.weights = np.zeros(design.n_features, np.float32)
        self.features = generator.standard_normal((factors, design.n_features), np.float32)
        self.features *= _initial_deviations(design)
        groups = len(design.group_bounds) - 1
        self.means, self.precisions = np.zeros((factors + 1, groups)), np.ones((factors + 1, groups))
        self.row_weights, self.within = np.zeros(design.n_rows), np.zeros(design.n_rows)
        self.factors = np.zeros((factors, design.n_rows), np.float32)
        self._sums = np.zeros((design.n_rows, row_sums.N_SUMS), np.float32)
        self._fill_rows()
        scores = np.zeros(len(ratings))
        self.add_scores(self.design.numbered_rows, scores)
        self.errors = (ratings - scores).astype(np.float32)
        self._swept = 0
        self._q = np.empty(len(ratings), np.float32)
        self.rating_precisions = np.empty(len(ratings), np.float32)

    def _fill_rows(self) -> None:
        for number, block in enumerate(self.design.blocks):
            rows, features = self._rows_of(number), self._features_of(number)
            for factor in range(self.k):
                sums = block.row_sums(self.features[factor, features])
                self.factors[factor, rows] = sums
                self.within[rows] += (sums**2 - block.row_squares(self.features[factor, features])) / 2

    def sweep(self) -> None:
        """Sample everything once."""
        self._sample_precisions()
        self._sample_level()
        self._sample_priors()
        normals = self.generator.standard_normal(self.design.n_features, np.float32)
        for number, block in enumerate(self.design.blocks):
            self._sample_weights(number, block, normals)
        for factor in range(self.k):
            self.generator.standard_normal(out=normals, dtype=np.float32)
            row_sums.gather_factor(self._q, self.design.numbered_rows, self.factors[factor])
            for number, block in enumerate(self.design.blocks):
                self._sample_factor(factor, number, block, normals)
        self._swept += 1

    def sample(self) -> Sample:
        """A copy of the state."""
        return Sample(
            self.level,
            self.user_precisions.copy(),
            # of 1 / precision, whose expectation is infinite below 2; no user's noise is that wild
            self._variance * self._nu / max(self._nu - 2, 1),
            self.row_weights + self.within,
            self.factors.copy(),
            self.weights.copy(),
            self.features.copy(),
            self.means.copy(),
            self.precisions.copy(),
        )

    def add_scores(self, rows: NDArray[np.int32], scores: Doubles) -> None:
        """Add the scores of pairs as they are now.

        Args:
            rows: int32 (blocks, n), rows of all blocks numbered through.
            scores: float64 (n,), added to.
        """
        biases = self.row_weights + self.within
        row_sums.score_rows(scores, rows, biases, np.ascontiguousarray(self.factors.T), self.level)

    def _rows_of(self, number: int) -> slice:
        return slice(int(self._starts[number]), int(self._starts[number + 1]))

    def _features_of(self, number: int) -> slice:
        return slice(int(self.design.feature_starts[number]), int(self.design.feature_starts[number + 1]))

    def _groups_of(self, number: int) -> slice:
        return slice(int(self.design.group_starts[number]), int(self.design.group_starts[number + 1]))

    def _sample_precisions(self) -> None:
        """The noise of each user, then how it is distributed over users (Geweke 1993, section 2)."""
        users, n_users = self.design.rows[0], len(self.user_precisions)
        squares = row_sums.squares_of_rows(self.errors, users, n_users)
        rate = (self._nu * self._variance + squares) / 2
        self.user_precisions = self.generator.gamma((self._nu + self._user_counts) / 2) / rate
        total, logs = self.user_precisions.sum(), np.log(self.user_precisions).sum()
        shape, rate_of_variance = NOISE_PRIOR[0] + self._nu * n_users / 2, NOISE_PRIOR[1] + self._nu * total / 2
        self._variance = float(self.generator.gamma(shape) / rate_of_variance)
        self._nu = self._sample_nu(float(total), float(logs), n_users)
        row_sums.spread_precisions(
            self.user_precisions, users, self.design.numbered_rows, self.rating_precisions, self._sums
        )

    def _sample_nu(self, total: float, logs: float, n_users: int) -> float:
        shapes, rates = NU / 2, NU * self._variance / 2
        log_gamma = np.array([math.lgamma(shape) for shape in shapes])
        likelihood = n_users * (shapes * np.log(rates) - log_gamma) + (shapes - 1) * logs - rates * total
        chances = np.cumsum(np.exp(likelihood - likelihood.max()))
        return float(NU[np.searchsorted(chances, self.generator.random() * chances[-1])])

    def _sample_level(self) -> None:
        weight = float(self.rating_precisions.sum(dtype=np.float64))
        total = weight + 1.0
        pull = float(np.dot(self.rating_precisions, self.errors)) + weight * self.level + self._centre
        level = pull / total + self.generator.standard_normal() / np.sqrt(total)
        self.errors -= np.float32(level - self.level)
        self.level = float(level)

    def _sample_priors(self) -> None:
        bounds = self.design.group_bounds
        own = row_sums.moments(self.features, bounds, self.means[:-1])
        linear = row_sums.moments(self.weights[None], bounds, self.means[-1:])
        sums, squares = np.concatenate((own, linear), axis=1)
        n = np.diff(bounds)
        shape, rate = self._feature_prior[0] + (n + 1) / 2, self._feature_prior[1] + (squares + self.means**2) / 2
        self.precisions = self.generator.gamma(shape, size=rate.shape) / rate
        deviations = 1 / np.sqrt((n + 1) * self.precisions)
        self.means = sums / (n + 1) + self.generator.standard_normal(rate.shape) * deviations

    def _sample_weights(self, number: int, block: Block, normals: Floats) -> None:
        rows, features, groups = self._rows_of(number), self._features_of(number), self._groups_of(number)
        gibbs.sample_weights(
            *(self.weights[features], block.starts, block.entry_rows, block.entry_values, block.groups),
            *(self.means[-1, groups], self.precisions[-1, groups], self._feature_prior, normals[features]),
            *(self._chance(len(block.names)), self._swept >= STRETCH_AFTER, self.design.rows[number]),
            *(self.errors, self.rating_precisions, self._sums[rows], self.row_weights[rows]),
        )

    def _sample_factor(self, factor: int, number: int, block: Block, normals: Floats) -> None:
        rows, features, groups = self._rows_of(number), self._features_of(number), self._groups_of(number)
        gibbs.sample_factor(
            *(self.features[factor, features], block.bounds, block.is_own),
            *(block.starts, block.entry_rows, block.entry_values),
            *(self.means[factor, groups], self.precisions[factor, groups], self._feature_prior, normals[features]),
            *(self._chance(len(block.names)), self._swept >= STRETCH_AFTER),
            *(self.errors, self.rating_precisions, self._q, self.design.rows[number], *self.design.runs[number]),
            *(self.factors[factor, rows], self.within[rows], self._sums[rows]),
        )

    def _chance(self, groups: int) -> Doubles:
        """A normal and a uniform random number for each group, (groups, 2)."""
        return np.stack((self.generator.standard_normal(groups), self.generator.random(groups)), axis=1)


def _initial_deviations(design: Design) -> Floats:
    """How far features begin from 0, float32 (features,)."""
    own, shared = INITIAL_DEVIATIONS
    deviations = np.full(design.n_features, shared, np.float32)
    for block, first in zip(design.blocks, design.feature_starts, strict=False):
        deviations[first : first + block.bounds[1]] = own
    return deviations
