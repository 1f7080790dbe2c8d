"""The range that predictions are squeezed into."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.models.ranges import Squash

ZERO_TO_SIX = Squash.of((0, 6), (1, 5))
NONE = Squash.of("none", (1, 5))


def test_what_settings_mean() -> None:
    assert (ZERO_TO_SIX.low, ZERO_TO_SIX.high) == (0, 6)
    auto = Squash.of("auto", (1, 5))
    assert (auto.low, auto.high) == (np.float32(1 - 0.1 * 4), np.float32(5 + 0.1 * 4))
    assert NONE.is_none
    assert not ZERO_TO_SIX.is_none
    assert np.isnan(NONE.high)


def test_a_scale_of_one_value_still_has_a_range() -> None:
    auto = Squash.of("auto", (3, 3))
    assert auto.low < 3 < auto.high
    assert auto(np.zeros(1, np.float32))[0] == pytest.approx(3)


def test_the_sigmoid_in_numbers() -> None:
    z = np.array([0, 1, -2], np.float32)
    expected = [3, 6 / (1 + exp(-1)), 6 / (1 + exp(2))]
    np.testing.assert_allclose(ZERO_TO_SIX(z), expected, rtol=1e-6)
    assert ZERO_TO_SIX(z).dtype == np.float32


def test_none_lets_everything_through() -> None:
    z = np.array([-1e9, 0.5, 7], np.float32)
    np.testing.assert_array_equal(NONE(z), z)
    values, slopes = NONE.with_slope(z.astype(np.float64))
    np.testing.assert_array_equal(values, z)
    np.testing.assert_array_equal(slopes, [1, 1, 1])
    assert NONE.inverse(4.25) == 4.25


@pytest.mark.parametrize("size", [90.0, 800.0, 1e30, float("inf")])
def test_extreme_sums_reach_the_ends_without_a_warning(size: float) -> None:
    """exp overflows beyond 88 in float32 and beyond 709 in float64."""
    z = np.array([-size, size])
    np.testing.assert_allclose(ZERO_TO_SIX(z.astype(np.float32)), [0, 6], atol=1e-6)
    values, slopes = ZERO_TO_SIX.with_slope(z)
    np.testing.assert_allclose(values, [0, 6], atol=1e-6)
    np.testing.assert_allclose(slopes, [0, 0], atol=1e-6)


def test_the_slope_is_the_measured_one() -> None:
    z = np.linspace(-4, 4, 17)
    values, slopes = ZERO_TO_SIX.with_slope(z)
    measured = (ZERO_TO_SIX.with_slope(z + 1e-6)[0] - ZERO_TO_SIX.with_slope(z - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(slopes, measured, rtol=1e-6)
    np.testing.assert_allclose(values, ZERO_TO_SIX(z.astype(np.float32)), rtol=1e-6)


@given(st.floats(0.06, 5.94))
def test_inverse_undoes_the_sigmoid(prediction: float) -> None:
    assert ZERO_TO_SIX(np.float64(ZERO_TO_SIX.inverse(prediction))) == pytest.approx(prediction, rel=1e-5)


@pytest.mark.parametrize(("prediction", "place"), [(0, 0.01), (-50, 0.01), (6, 0.99), (1e9, 0.99)])
def test_inverse_stays_away_from_the_ends(prediction: float, place: float) -> None:
    assert ZERO_TO_SIX.inverse(prediction) == pytest.approx(log(place / (1 - place)))


@pytest.mark.parametrize("squash", [ZERO_TO_SIX, NONE])
def test_packed_and_unpacked(squash: Squash) -> None:
    array = squash.pack()
    assert array.dtype == np.float32
    again = Squash.unpack(array)
    np.testing.assert_array_equal(again.pack(), array)
    assert again.is_none == squash.is_none
