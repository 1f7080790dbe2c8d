"""Metrics as arithmetic."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest

from penchant.metrics import METRICS, mae, mse, rmse


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("predictions", "ratings", "squared", "absolute"),
    [
        pytest.param([4], [4], 0, 0, id="met"),
        pytest.param([3], [5], (3 - 5) ** 2, 5 - 3, id="one"),
        pytest.param([3, 4.5, 1], [5, 4, 1], (2**2 + 0.5**2 + 0) / 3, (2 + 0.5 + 0) / 3, id="three"),
        pytest.param([-1, 1], [1, -1], (2**2 + 2**2) / 2, (2 + 2) / 2, id="signs do not cancel"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 5], 4**2 / 4, 4 / 4, id="one far off"),
    ],
)
def test_errors_on_the_rating_scale(
    predictions: list[float], ratings: list[float], squared: float, absolute: float
) -> None:
    given = floats(*predictions), floats(*ratings)
    assert mse(*given) == pytest.approx(squared)
    assert rmse(*given) == pytest.approx(sqrt(squared))
    assert mae(*given) == pytest.approx(absolute)


@pytest.mark.parametrize("name", METRICS)
def test_of_nothing_there_is_no_mean(name: str) -> None:
    assert isnan(METRICS[name](floats(), floats()))


@pytest.mark.parametrize("name", METRICS)
def test_a_plain_number_comes_back(name: str) -> None:
    assert type(METRICS[name](floats(1), floats(2))) is float


def test_the_table_names_the_functions() -> None:
    assert list(METRICS.items()) == [("mse", mse), ("rmse", rmse), ("mae", mae)]


def test_squares_that_float32_has_no_room_for() -> None:
    assert mse(floats(3e38), floats(-3e38)) == pytest.approx((6e38) ** 2, rel=1e-6)
