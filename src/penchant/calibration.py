"""Calibration: whether intervals of a level cover that part of ratings, for everybody and for everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.split import Split
from penchant.errors import ArtifactError, SettingError
from penchant.intervals import Around, Conformal, Quantiles, around, check_level, conformity, has_intervals
from penchant.models.base import Floats, Model, Rows
from penchant.models.context import Context
from penchant.seeds import numpy_generator

Counts = NDArray[np.int64]

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # 0.05 to 0.95
BAND_LEVEL = 0.9
# Where bands of training ratings begin.
USER_BANDS = (0, 20, 50, 100, 200, 500)
ITEM_BANDS = (0, 5, 20, 50, 100, 200)


@dataclass(frozen=True)
class AtLevel:
    """Intervals of one level.

    Attributes:
        level: the part that they are to cover.
        covered: the part that they covered.
        width: their mean width, in rating steps.
    """

    level: float
    covered: float
    width: float


@dataclass(frozen=True)
class Band:
    """Intervals of BAND_LEVEL, of ratings whose user (item) has so many training ratings.

    Attributes:
        least: training ratings from which the band begins; the next one ends it.
        n: ratings in it.
        covered: the part of them that was covered.
        error: standard error of it, ratings of one user going together.
    """

    least: int
    n: int
    covered: float
    error: float


@dataclass(frozen=True)
class Coverage:
    """What intervals covered.

    Attributes:
        levels: by ascending level.
        users, items: bands of user activity and of item popularity, without empty ones.
        n: ratings looked at.
        crossed: whether each half of the users was measured with intervals calibrated on the other half.
    """

    levels: tuple[AtLevel, ...]
    users: tuple[Band, ...]
    items: tuple[Band, ...]
    n: int
    crossed: bool = False

    def at(self, level: float) -> AtLevel:
        """What was found at one level.

        Raises:
            SettingError: it was not measured.
        """
        for one in self.levels:
            if one.level == level:
                return one
        known = ", ".join(f"{one.level:g}" for one in self.levels)
        raise SettingError(f"Coverage at {level:g} was not measured.", remedy=f"The levels: {known}.")

    def to_json(self) -> dict[str, Any]:
        """As plain numbers for JSON."""
        return _rounded(asdict(self))

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Coverage:
        """The inverse of `to_json`, but for rounding.

        Raises:
            ArtifactError: it is something else.
        """
        try:
            levels = tuple(AtLevel(*(float(one[key]) for key in ("level", "covered", "width"))) for one in found["levels"])
            users, items = (tuple(map(_band, found[side])) for side in ("users", "items"))
            return cls(levels, users, items, int(found["n"]), bool(found["crossed"]))
        except (LookupError, TypeError, ValueError) as error:
            raise ArtifactError(f"The coverage in the manifest is damaged: {error!r}", remedy="Fit again.") from error


def _band(found: Mapping[str, Any]) -> Band:
    return Band(int(found["least"]), int(found["n"]), float(found["covered"]), float(found["error"]))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


@dataclass(frozen=True, eq=False)
class Rated:
    """n ratings, and who stands behind them.

    Attributes:
        ratings: float32 (n,).
        owners: whole numbers (n,), which user each is by, also of users that the model does not know.
        user_counts, item_counts: int64 (n,), training ratings of each one's user and item.
    """

    ratings: Floats
    owners: Rows
    user_counts: Counts
    item_counts: Counts


def counts_at(counts: Counts, rows: Rows) -> Counts:
    """The counts of rows, 0 where a row is -1."""
    return np.where(rows >= 0, counts[rows], 0)


def measure(parts: Sequence[tuple[Around, Rated]], levels: Sequence[float] = LEVELS, crossed: bool = False) -> Coverage:
    """What intervals covered, over all parts together.

    Raises:
        SettingError: a level is not between 0 and 1, or there is nothing to measure on.
    """
    n = sum(len(rated.ratings) for _, rated in parts)
    if not n:
        raise SettingError("There is nothing to measure coverage on.", remedy="Give at least one rating.")
    found = []
    for level in sorted({check_level(level) for level in levels}):
        covered, widths = zip(*(_inside(intervals, rated, level) for intervals, rated in parts), strict=True)
        inside = sum(int(part.sum()) for part in covered)
        width = sum(float(part.sum(dtype=np.float64)) for part in widths)
        found.append(AtLevel(level, inside / n, width / n))
    inside_all = np.concatenate([_inside(intervals, rated, BAND_LEVEL)[0] for intervals, rated in parts])
    owners, by_user, by_item = (
        np.concatenate([getattr(rated, name) for _, rated in parts]) for name in ("owners", "user_counts", "item_counts")
    )
    users, items = _bands(inside_all, owners, by_user, USER_BANDS), _bands(inside_all, owners, by_item, ITEM_BANDS)
    return Coverage(tuple(found), users, items, n, crossed)


def _inside(intervals: Around, rated: Rated, level: float) -> tuple[NDArray[np.bool_], Floats]:
    low, high = intervals.ends(level)
    return (low <= rated.ratings) & (rated.ratings <= high), high - low


def _bands(inside: NDArray[np.bool_], owners: Rows, counts: Counts, starts: Sequence[int]) -> tuple[Band, ...]:
    band = np.digitize(counts, starts) - 1
    present = [b for b in range(len(starts)) if (band == b).any()]
    return tuple(_covered(inside[band == b], owners[band == b], starts[b]) for b in present)


def _covered(inside: NDArray[np.bool_], owners: Rows, least: int) -> Band:
    """The error is that of a ratio of sums over users, and not below the one of as many independent ratings."""
    n, part = len(inside), float(inside.mean())
    _, owner = np.unique(owners, return_inverse=True)
    off = np.bincount(owner, inside - part)  # of each user: how many more are covered than expected
    variance = max(float((off**2).sum()) / n**2, part * (1 - part) / n)
    return Band(least, n, part, variance**0.5)


def validation_coverage(
    model: Model, conformal: Conformal | None, split: Split, seed: int = 0, levels: Sequence[float] = LEVELS
) -> Coverage | None:
    """What the intervals of a model cover of the validation part of the split that it was fitted on.

    Conformal intervals were calibrated on these very ratings, and would cover as many of them as they are asked to.
    So half of the users, drawn at random, are measured with intervals calibrated on the others', and the other way
    round. None without intervals, and where one half would be empty.
    """
    valid, rows = split.valid, (split.valid_user_rows, split.valid_item_rows)
    if valid is None or not len(valid) or not has_intervals(model, conformal):
        return None
    intervals = around(model, conformal, *rows, Context.of(valid, *rows))
    counts = counts_at(split.train.user_counts, rows[0]), counts_at(split.train.item_counts, rows[1])
    rated = Rated(valid.ratings, valid.user_rows, *counts)
    if conformal is None:
        return measure([(intervals, rated)], levels)
    drawn = numpy_generator(seed, "calibration").permutation(valid.n_users) % 2 == 0
    first = drawn[valid.user_rows]
    halves = np.flatnonzero(first), np.flatnonzero(~first)
    if not all(map(len, halves)):
        return None
    scores = conformity(intervals, valid.ratings)
    parts = []
    for measured, other in (halves, halves[::-1]):
        multiple = Quantiles.of(scores[other]).at
        parts.append((replace(intervals.take(measured), multiple=multiple), _take(rated, measured)))
    return measure(parts, levels, crossed=True)


def _take(rated: Rated, positions: NDArray[Any]) -> Rated:
    columns = rated.ratings, rated.owners, rated.user_counts, rated.item_counts
    return Rated(*(column[positions] for column in columns))
