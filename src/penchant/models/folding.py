"""Folding in: a new user's vector from a few ratings, everything else held still.

The vector is the most probable one (MAP) under two assumptions that need no tuning: user vectors are
normally distributed as those of the training users are, and ratings scatter around predictions by the
residual variance of training (as in Salakhutdinov and Mnih 2008, with the hyperparameters estimated).

Such a vector is the mean plus what each rating pulls it by, so that a score is told by the ratings it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHUNK = 10_000  # vectors at a time
NEWTON_STEPS = 8
HALVINGS = 5
SMALLEST_VARIANCE = 1e-6
RELATIVE_FLOOR = 1e-3
LINE = 64  # points of a line at which slopes are averaged


@dataclass(frozen=True)
class Prior:
    """How user vectors are distributed, and how ratings scatter.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d), positive definite.
        noise: variance of a rating around its prediction.
    """

    mean: Array
    covariance: Array
    noise: float

    @classmethod
    def of(cls, vectors: NDArray[np.floating[Any]], noise: float) -> Prior:
        """Estimated from the training users' vectors (n, d)."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((vectors.shape[1], vectors.shape[1]))
        for at in range(0, len(vectors), CHUNK):
            centred = vectors[at : at + CHUNK] - mean
            covariance += centred.T @ centred
        covariance /= max(len(vectors) - 1, 1)  # of one user: zeros
        # With fewer users than dimensions the estimate is singular; a floor keeps every direction open.
        floor = max(RELATIVE_FLOOR * float(np.trace(covariance)) / len(covariance), SMALLEST_VARIANCE)
        covariance[np.diag_indices_from(covariance)] += floor
        return cls(mean, covariance, max(noise, SMALLEST_VARIANCE))

    @staticmethod
    def memory(d: int) -> int:
        """Bytes of estimating it for vectors of d numbers: a covariance, and a part of it."""
        return 16 * d * d

    @staticmethod
    def shapes(d: int) -> dict[str, tuple[int, ...]]:
        """The shapes of `pack`'s arrays for vectors of d numbers."""
        return {"prior/mean": (d,), "prior/covariance": (d, d), "prior/noise": (1,)}

    def check(self) -> None:
        """Raise ValueError unless the noise is positive and the covariance positive definite."""
        if not self.noise > 0:
            raise ValueError(f"prior/noise is {self.noise}")
        np.linalg.cholesky(self.covariance)  # LinAlgError is a ValueError

    def pack(self) -> dict[str, NDArray[Any]]:
        """As arrays by name."""
        return {
            "prior/mean": self.mean,
            "prior/covariance": self.covariance,
            "prior/noise": np.array([self.noise]),
        }

    @classmethod
    def unpack(cls, arrays: dict[str, NDArray[Any]]) -> Prior:
        """The inverse of `pack`."""
        return cls(arrays["prior/mean"], arrays["prior/covariance"], float(arrays["prior/noise"][0]))


Predictor = Callable[[Array], tuple[Array, Array]]


def most_probable(prior: Prior, predict: Predictor, ratings: NDArray[np.floating[Any]]) -> Array:
    """The MAP vector, float64 (d,), by Gauss-Newton steps.

    Args:
        predict: vector (d,) -> (predictions (n,), their derivatives by the vector (n, d)).
        ratings: (n,). Without any, the prior's mean is returned.

    The step is solved in the space of the n ratings (n × n) or of the d dimensions (d × d), whichever is smaller:
    the two are equal (the matrix inversion lemma).
    """
    vector = prior.mean.copy()
    if not len(ratings):
        return vector
    wanted = ratings.astype(np.float64)
    precision = np.linalg.inv(prior.covariance).astype(np.float64)

    def loss(at: Array) -> float:
        residuals = wanted - predict(at)[0]
        away = at - prior.mean
        return float(residuals @ residuals / prior.noise + away @ precision @ away)

    best = loss(vector)
    for _ in range(NEWTON_STEPS):
        step = _newton_target(prior, precision, predict, wanted, vector) - vector
        # A full step may overshoot where the sigmoid is flat; half of it, a quarter, … at last improves.
        trials = (vector + step * 0.5**halving for halving in range(HALVINGS))
        candidate = next((trial for trial in trials if loss(trial) < best), None)
        if candidate is None:
            break
        before, best, vector = best, loss(candidate), candidate
        if before - best < 1e-6 * before:
            break
    return vector


def _newton_target(prior: Prior, precision: Array, predict: Predictor, wanted: Array, vector: Array) -> Array:
    """Where the loss would be least if predictions were linear around the vector."""
    predictions, slopes = predict(vector)
    target = wanted - predictions + slopes @ (vector - prior.mean)
    if len(slopes) > len(vector):
        system = prior.noise * precision + slopes.T @ slopes
        return prior.mean + np.linalg.solve(system, slopes.T @ target)
    spread = slopes @ prior.covariance  # (n, d)
    system = spread @ slopes.T
    system[np.diag_indices_from(system)] += prior.noise
    return prior.mean + spread.T @ np.linalg.solve(system, target)


def contributions(prior: Prior, predict: Predictor, ratings: NDArray[np.floating[Any]], of_item: Predictor) -> Array:
    """What each rating adds to the score of one item, float64 (n,), from that of an average user on.

    The score changes along the straight line from the mean to the most probable vector, and each rating's part is its
    pull times the average slope of the score on that line (integrated gradients, Sundararajan, Taly and Yan 2017). They
    sum to the change up to how well the vector and the average were computed; where scores are linear, to rounding.

    Args:
        predict, ratings: as for `most_probable`.
        of_item: as `predict`, for the item alone.
    """
    vector = most_probable(prior, predict, ratings)
    return pulls(prior, predict, ratings, vector) @ slope_between(of_item, prior.mean, vector)


def pulls(prior: Prior, predict: Predictor, ratings: NDArray[np.floating[Any]], vector: Array) -> Array:
    """What each rating moves the most probable vector by, float64 (n, d); their sum is the vector less the mean.

    Where the loss is least, the last Gauss-Newton step is the vector itself:

        vector - mean = sum over j of (covariance^-1 + S'S / noise)^-1 s_j / noise * (r_j - a_j),

    s_j being the slopes of prediction j, S all of them, and a_j what an average user is predicted by predictions that
    are linear around the vector. It is how als tells its scores (Hu, Koren and Volinsky 2008, section 5). The same sum
    can be parted as covariance s_j (r_j - prediction_j) / noise (Yeh et al. 2018, "Representer point selection"), in
    which a rating that was met adds nothing. Of the two, this one was closer on average to what leaving a rating out
    changes (docs/models.md).
    """
    predictions, slopes = predict(vector)
    unexpected = ratings - predictions + slopes @ (vector - prior.mean)
    system = prior.noise * np.linalg.inv(prior.covariance) + slopes.T @ slopes
    moved: Array = np.linalg.solve(system, slopes.T).T * unexpected[:, None]
    return moved


def slope_between(predict: Predictor, start: Array, end: Array) -> Array:
    """The average slope of one prediction on a straight line, (d,): at the middles of LINE equal parts."""
    places = (np.arange(LINE) + 0.5) / LINE
    slope: Array = np.mean([predict(start + place * (end - start))[1][0] for place in places], axis=0)
    return slope
