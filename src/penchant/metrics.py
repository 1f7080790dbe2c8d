"""Metrics: one function each on plain arrays, and METRICS, their table.

All take predictions and ratings of shape (n,) on the rating scale and return a float. With n = 0 there is
nothing to measure and they return NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def mse(predictions: Floats, ratings: Floats) -> float:
    """Mean squared error: sum of (prediction - rating)**2, divided by n."""
    return _mean(_errors(predictions, ratings) ** 2)


def rmse(predictions: Floats, ratings: Floats) -> float:
    """Root mean squared error: the square root of `mse`."""
    return float(np.sqrt(mse(predictions, ratings)))


def mae(predictions: Floats, ratings: Floats) -> float:
    """Mean absolute error: sum of |prediction - rating|, divided by n."""
    return _mean(np.abs(_errors(predictions, ratings)))


def _errors(predictions: Floats, ratings: Floats) -> NDArray[np.float64]:
    return np.subtract(predictions, ratings, dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


METRICS: dict[str, Callable[[Floats, Floats], float]] = {"mse": mse, "rmse": rmse, "mae": mae}
