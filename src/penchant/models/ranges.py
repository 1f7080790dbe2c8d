"""The range that predictions are squeezed into by a sigmoid (fastai's y_range), or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.1  # of the scale's width: how far "auto" lets a range reach beyond the scale


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
