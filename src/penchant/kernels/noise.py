"""Random bytes as a pure function of a state: splitmix64 (Steele, Lea and Flood 2014)."""

from __future__ import annotations

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # what the state of one stream grows by
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@njit(cache=True, inline="always")
def mixed(state: np.uint64) -> np.uint64:
    """Eight random bytes."""
    half = (state ^ (state >> np.uint64(30))) * FIRST
    most = (half ^ (half >> np.uint64(27))) * SECOND
    return most ^ (most >> np.uint64(31))
