"""Learning rate and momentum as a function of progress. Pure functions, progress from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Literal

ScheduleName = Literal["linear", "one-cycle", "constant"]


def linear(progress: float) -> float:
    """From the full learning rate to nothing in a straight line."""
    return 1.0 - progress


def constant(progress: float) -> float:
    """The full learning rate throughout."""
    del progress
    return 1.0


def one_cycle(progress: float, warm_up: float = 0.25, start: float = 1 / 25, end: float = 1e-5) -> float:
    """Up on half a cosine for the first quarter, down on half a cosine after (Smith 2018, as in fastai)."""
    if progress < warm_up:
        return _cosine(start, 1.0, progress / warm_up)
    return _cosine(1.0, end, (progress - warm_up) / (1 - warm_up))


def one_cycle_momentum(progress: float, warm_up: float = 0.25, high: float = 0.95, low: float = 0.85) -> float:
    """Momentum moves against the learning rate: high, low at the peak, high again."""
    if progress < warm_up:
        return _cosine(high, low, progress / warm_up)
    return _cosine(low, high, (progress - warm_up) / (1 - warm_up))


def _cosine(start: float, end: float, at: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * at))


SCHEDULES: dict[str, Callable[[float], float]] = {"linear": linear, "one-cycle": one_cycle, "constant": constant}
