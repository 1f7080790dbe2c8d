"""Schedules at their ends, at their peak and in between."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi
from typing import get_args

import pytest

from penchant.models.schedule import SCHEDULES, ScheduleName, constant, linear, one_cycle, one_cycle_momentum

STEPS = [step / 400 for step in range(401)]
RISE, FALL = [at for at in STEPS if at <= 0.25], [at for at in STEPS if at >= 0.25]


def test_the_table_has_every_name_that_settings_allow() -> None:
    assert tuple(SCHEDULES) == get_args(ScheduleName)


def test_linear() -> None:
    assert [linear(at) for at in (0, 0.25, 1)] == [1, 0.75, 0]


def test_constant() -> None:
    assert [constant(at) for at in (0, 0.5, 1)] == [1, 1, 1]


def test_one_cycle_at_its_ends_its_peak_and_half_way() -> None:
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.25) == 1
    assert one_cycle(1) == pytest.approx(1e-5)
    assert one_cycle(0.125) == pytest.approx((1 / 25 + 1) / 2)
    assert one_cycle(0.625) == pytest.approx((1 + 1e-5) / 2)
    assert one_cycle(0.0625) == pytest.approx(1 + (1 / 25 - 1) / 2 * (1 + cos(pi / 4)))


def test_momentum_at_its_ends_its_trough_and_half_way() -> None:
    assert one_cycle_momentum(0) == pytest.approx(0.95)
    assert one_cycle_momentum(0.25) == pytest.approx(0.85)
    assert one_cycle_momentum(1) == pytest.approx(0.95)
    assert one_cycle_momentum(0.125) == pytest.approx(0.9)
    assert one_cycle_momentum(0.625) == pytest.approx(0.9)


def test_the_rate_rises_then_falls_and_momentum_moves_against_it() -> None:
    assert all(one_cycle(a) < one_cycle(b) for a, b in pairwise(RISE))
    assert all(one_cycle(a) > one_cycle(b) for a, b in pairwise(FALL))
    assert all(one_cycle_momentum(a) > one_cycle_momentum(b) for a, b in pairwise(RISE))
    assert all(one_cycle_momentum(a) < one_cycle_momentum(b) for a, b in pairwise(FALL))


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_schedule_leaves_0_to_1(name: str) -> None:
    rates = [SCHEDULES[name](at) for at in STEPS]
    assert min(rates) >= 0
    assert max(rates) == 1


def test_a_jump_is_nowhere() -> None:
    for schedule in (one_cycle, one_cycle_momentum):
        assert max(abs(schedule(a) - schedule(b)) for a, b in pairwise(STEPS)) < pi / 2 / 0.25 / 400
