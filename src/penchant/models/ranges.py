"""The range that predictions are squeezed into by a sigmoid (fastai's y_range), or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Of the ratings on which the settings' numbers were found, half a star to five: their scale, their standard deviation.
WIDTH, SPREAD = 4.5, 1.04
CHUNK = 1 << 20  # ratings at a time
MARGIN = 0.1  # of the scale's width: how far "auto" lets a range reach beyond the scale


def range_unit(scale: tuple[float, float]) -> np.float32:
    """What ratings are divided by to be learnt from inside a range, so that every scale is as wide as half stars are.

    Learning rates and pulls then mean the same on all. Without it `mf` on ratings up to 100 ended at twice the squared
    error of predicting the mean, and on thumbs, 0 or 1, hardly learnt.
    """
    low, high = scale
    return np.float32((high - low) / WIDTH if high > low else 1.0)


def spread_unit(ratings: NDArray[np.float32]) -> np.float32:
    """The same without a range, where it is the spread of ratings (n,) that counts."""
    mean, squares = float(ratings.mean(dtype=np.float64)), 0.0
    for at in range(0, len(ratings), CHUNK):  # all at once would take 8 bytes a rating
        away = ratings[at : at + CHUNK] - mean
        squares += float(away @ away)
    spread = float(np.sqrt(squares / len(ratings)))
    return np.float32(spread / SPREAD if spread > 0 else 1.0)


@dataclass(frozen=True)
class Squash:
    """prediction = low + (high - low) / (1 + exp(-z)), or z itself when the ends are NaN.

    A sigmoid reaches its ends only at infinity, so the range is wider than the scale: with the scale's own
    ends a prediction of 5 stars would need infinite factors.
    """

    low: np.float32
    high: np.float32

    @classmethod
    def of(cls, wanted: Any, scale: tuple[float, float]) -> Self:
        """From a rating_range setting: two numbers, "auto" or "none"."""
        low, high = scale
        if wanted == "none":
            low = high = float("nan")
        elif wanted == "auto":
            margin = MARGIN * max(high - low, 1e-3)
            low, high = low - margin, high + margin
        else:
            low, high = wanted
        return cls(np.float32(low), np.float32(high))

    @classmethod
    def unpack(cls, array: NDArray[np.float32]) -> Self:
        """The inverse of `pack`."""
        return cls(array[0], array[1])

    def pack(self) -> NDArray[np.float32]:
        """As an array of two."""
        return np.array([self.low, self.high], np.float32)

    def in_units(self, unit: np.float32) -> Self:
        """The same range for ratings that are divided by a unit."""
        return type(self)(self.low / unit, self.high / unit)

    @property
    def is_none(self) -> bool:
        """Whether z passes as it is."""
        return bool(np.isnan(self.low))

    def __call__(self, z: Any) -> Any:
        """Predictions from sums, elementwise."""
        if self.is_none:
            return z
        with np.errstate(over="ignore"):  # 1 / (1 + inf) is the 0 that is wanted
            return self.low + (self.high - self.low) / (np.float32(1) + np.exp(-z))

    def with_slope(self, z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predictions and their derivatives by z."""
        if self.is_none:
            return z, np.ones_like(z)
        low, high = float(self.low), float(self.high)
        with np.errstate(over="ignore"):
            s = 1 / (1 + np.exp(-z))
        return low + (high - low) * s, (high - low) * s * (1 - s)

    def inverse(self, prediction: float) -> float:
        """The z of a prediction, kept away from the ends of the range."""
        if self.is_none:
            return prediction
        place = float(np.clip((prediction - self.low) / (self.high - self.low), 0.01, 0.99))
        return float(np.log(place / (1 - place)))

    def slope(self, prediction: float) -> float:
        """How fast predictions rise with z where they are this one; 1 without a range."""
        return float(self.with_slope(np.array([self.inverse(prediction)]))[1][0])
