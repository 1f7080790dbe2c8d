"""Where to write names beside dots so that none covers another: pure geometry, no drawing.

adjustText was tried first: on maps of 40 films it took 4 to 5 seconds and left names that overlap in five of six.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

# Where a label may go, seen from its dot, and what each fault of a place costs, in points of distance.
DIRECTIONS = 16
DISTANCES = (2.0, 5.0, 9.0, 14.0, 20.0, 28.0, 38.0, 50.0, 65.0, 85.0, 110.0, 140.0)
ON_A_LABEL = OUTSIDE = 1000.0
ON_A_DOT = 400.0
ON_A_LEADER = LEADER_ON_LABEL = 120.0
LEADERS_CROSS = 60.0
LEADER_ON_DOT = 30.0
PASSES = 4


class Places:
    """Where the names go: one after the other takes the cheapest of its possible places, a few times around.

    All lengths are in points. A place that is not yet taken is NaN, which touches nothing.
    """

    def __init__(self, dots: Floats, radii: Floats, halves: Floats, frame: Floats) -> None:
        self.dots = dots  # (n, 2)
        self.radii = radii  # (n,)
        self.halves = halves  # (n, 2), half the width and height of each name
        self.frame = frame  # (2, 2), lower left and upper right
        self.centres = np.full_like(dots, np.nan)  # (n, 2), of the names
        self.tips = np.full_like(dots, np.nan)  # (n, 2), where the leader meets the name

    def settle(self) -> None:
        """Find a place for every name, beginning in the middle, where there is the least choice."""
        order = np.argsort(np.linalg.norm(self.dots - self.dots.mean(axis=0), axis=1), kind="stable")
        for _ in range(PASSES):
            before = self.centres.copy()
            for i in order:
                self.centres[i] = self.tips[i] = np.nan
                centres, tips, costs = self._offers(i)
                costs = costs + self._faults_of_name(i, centres) + self._faults_of_leader(i, tips)
                best = int(np.argmin(costs))
                self.centres[i], self.tips[i] = centres[best], tips[best]
            if np.array_equal(before, self.centres):
                break

    def apart(self) -> Flags:
        """Which names to write, (n,): those that touch none of the ones before them that are written."""
        written = np.zeros(len(self.dots), np.bool_)
        for i in range(len(self.dots)):
            written[i] = not _overlap(self.centres[i], self.halves[i], self.centres, self.halves)[written].any()
        return written

    def _offers(self, i: int) -> tuple[Floats, Floats, Floats]:
        """Possible centres (m, 2) of a name, tips (m, 2) of its leader, and their distances (m,)."""
        angles = np.tile(2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS, len(DISTANCES))
        rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        corners = rays / np.abs(rays).max(axis=1, keepdims=True)  # on the square around the circle
        distances = np.repeat(DISTANCES, DIRECTIONS)
        tips = self.dots[i] + rays * (self.radii[i] + distances)[:, None]
        return tips + corners * self.halves[i], tips, distances

    def _faults_of_name(self, i: int, centres: Floats) -> Floats:
        half, places = self.halves[i], centres[:, None]
        on_labels = _overlap(places, half, self.centres, self.halves).sum(axis=1)
        on_dots = _overlap(places, half, self.dots, self.radii[:, None]).sum(axis=1)
        on_leaders = _strike(self.dots, self.tips, places, half).sum(axis=1)
        outside = ((centres - half < self.frame[0]) | (centres + half > self.frame[1])).any(axis=1)
        faults: Floats = ON_A_LABEL * on_labels + ON_A_DOT * on_dots + ON_A_LEADER * on_leaders + OUTSIDE * outside
        return faults

    def _faults_of_leader(self, i: int, tips: Floats) -> Floats:
        dot, ends = self.dots[i], tips[:, None]
        on_labels = _strike(dot, ends, self.centres, self.halves).sum(axis=1)
        on_dots = _strike(dot, ends, self.dots, self.radii[:, None]).sum(axis=1)
        crossings = _cross(dot, ends, self.dots, self.tips).sum(axis=1)
        faults: Floats = LEADER_ON_LABEL * on_labels + LEADER_ON_DOT * on_dots + LEADERS_CROSS * crossings
        return faults


def _overlap(centres: Floats, halves: Floats, other_centres: Floats, other_halves: Floats) -> Flags:
    """Which boxes overlap which, each given by its centre and half its size."""
    near: Flags = np.abs(centres - other_centres) < halves + other_halves
    return near[..., 0] & near[..., 1]


def _strike(starts: Floats, ends: Floats, centres: Floats, halves: Floats) -> Flags:
    """Which segments run through which boxes: no axis, nor the segment's normal, tells them apart."""
    middle, arm = (starts + ends) / 2 - centres, (ends - starts) / 2
    reach = (np.abs(arm) * halves[..., ::-1]).sum(axis=-1)
    strike: Flags = _overlap(middle, np.abs(arm), np.zeros(2), halves) & (np.abs(_turn(arm, middle)) < reach)
    return strike


def _cross(starts: Floats, ends: Floats, other_starts: Floats, other_ends: Floats) -> Flags:
    """Which segments cross which: the ends of each lie on both sides of the other."""
    along, other, between = ends - starts, other_ends - other_starts, other_starts - starts
    turn, place, other_place = _turn(along, other), _turn(between, other), _turn(between, along)
    within = (np.abs(place) < np.abs(turn)) & (np.abs(other_place) < np.abs(turn))
    crosses: Flags = (turn * place > 0) & (turn * other_place > 0) & within
    return crosses


def _turn(one: Floats, other: Floats) -> Floats:
    """The cross product: positive when `other` is to the left of `one`."""
    product: Floats = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return product
