"""Calibration: whether intervals of a level cover that part of ratings, for everybody and for everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.errors import ArtifactError, SettingError
from penchant.intervals import Around, Conformal, Quantiles, around_questions, check_level, conformity, has_intervals
from penchant.models.base import Floats, Model, Rows
from penchant.newcomers import Questions
from penchant.seeds import numpy_generator

Counts = NDArray[np.integer[Any]]

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
            levels = tuple(
                AtLevel(float(one["level"]), float(one["covered"]), float(one["width"])) for one in found["levels"]
            )
            users, items = (tuple(map(_band, found[side])) for side in ("users", "items"))
            if not (levels and users and items):
                raise ValueError("it is empty")
            return cls(levels, users, items, int(found["n"]), bool(found["crossed"]))
        except (LookupError, TypeError, ValueError) as error:
            raise ArtifactError(f"The coverage in the manifest is damaged: {error!r}", remedy="Fit again.") from error


def kept_coverage(about: Mapping[str, Any]) -> Coverage | None:
    """What a fit kept in its manifest, or None.

    Raises:
        ArtifactError: it is something else.
    """
    valid = about.get("valid")
    found = valid.get("coverage") if isinstance(valid, Mapping) else None
    return None if found is None else Coverage.from_json(found)


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
        user_counts, item_counts: whole numbers (n,), training ratings of each one's user and item.
    """

    ratings: Floats
    owners: Rows
    user_counts: Counts
    item_counts: Counts

    @classmethod
    def of(cls, ratings: Interactions, rows: tuple[Rows, Rows], user_counts: Counts, item_counts: Counts) -> Rated:
        """Of ratings whose users and items are these rows of a model, with the counts of its rows."""
        counts = (
            np.append(of_all, 0).astype(np.int32)[of]
            for of, of_all in zip(rows, (user_counts, item_counts), strict=True)
        )
        return cls(ratings.ratings, ratings.user_rows, *counts)  # -1 is the row after the last


def measure(intervals: Around, rated: Rated, levels: Sequence[float] = LEVELS, crossed: bool = False) -> Coverage:
    """What the intervals of some ratings cover.

    Raises:
        SettingError: a level is not between 0 and 1, or there is nothing to measure on.
    """
    n = len(rated.ratings)
    if not n:
        raise SettingError("There is nothing to measure coverage on.", remedy="Give at least one rating.")
    found = []
    for level in sorted({check_level(level) for level in levels}):
        inside, width = _inside(intervals, rated.ratings, level)
        found.append(AtLevel(level, float(inside.mean()), width))
    inside, _ = _inside(intervals, rated.ratings, BAND_LEVEL)
    users = _bands(inside, rated.owners, rated.user_counts, USER_BANDS)
    items = _bands(inside, rated.owners, rated.item_counts, ITEM_BANDS)
    return Coverage(tuple(found), users, items, n, crossed)


def _inside(intervals: Around, ratings: Floats, level: float) -> tuple[NDArray[np.bool_], float]:
    """Which ratings are in their intervals, and the mean width of these."""
    low, high = intervals.ends(level)
    inside = (low <= ratings) & (ratings <= high)
    return inside, float(np.mean(np.subtract(high, low, out=high), dtype=np.float64))


def _bands(inside: NDArray[np.bool_], owners: Rows, counts: Counts, starts: Sequence[int]) -> tuple[Band, ...]:
    band = np.digitize(counts, starts) - 1
    present = [b for b in range(len(starts)) if (band == b).any()]
    return tuple(_covered(inside[band == b], owners[band == b], starts[b]) for b in present)


def _covered(inside: NDArray[np.bool_], owners: Rows, least: int) -> Band:
    """The error is that of a ratio of sums over users, and not below the one of as many independent ratings."""
    n, part = len(inside), float(inside.mean())
    off = np.bincount(owners, inside - part)  # of each user: how many more are covered than expected
    variance = max(float((off**2).sum()) / n**2, part * (1 - part) / n)
    return Band(least, n, part, variance**0.5)


def validation_coverage(
    model: Model,
    conformal: Conformal | None,
    split: Split,
    seed: int = 0,
    levels: Sequence[float] = LEVELS,
    questions: Questions | None = None,
) -> Coverage | None:
    """What the intervals of a model cover of the validation part of the split that it was fitted on.

    Conformal intervals were calibrated on these very ratings, and would cover as many of them as they are asked to.
    So half of the users, drawn at random, are measured with intervals calibrated on the others', and the other way
    round. None without intervals, and where one half would be empty.

    Args:
        questions: `Questions.of_split`, where they are there already: then nobody is folded in twice.
    """
    valid = split.valid
    if valid is None or not len(valid) or not has_intervals(model, conformal):
        return None
    asked = questions or Questions.of_split(model, split)
    intervals = around_questions(asked, conformal)
    rows = asked.user_rows, asked.item_rows
    rated = Rated.of(valid, rows, split.train.user_counts, split.train.item_counts)
    if conformal is None:
        return measure(intervals, rated, levels)
    first = _first_half(valid.user_rows, seed)
    if first.all() or not first.any():
        return None
    scores = conformity(intervals, valid.ratings)
    of_first, of_second = Quantiles.of(scores[first]), Quantiles.of(scores[~first])

    def multiple(level: float) -> Floats:
        return np.where(first, np.float32(of_second.at(level)), np.float32(of_first.at(level)))

    return measure(replace(intervals, multiple=multiple), rated, levels, crossed=True)


def _first_half(owners: Rows, seed: int) -> NDArray[np.bool_]:
    """Which ratings are by the first half of their users, drawn at random."""
    users = np.flatnonzero(np.bincount(owners))
    first = np.zeros(int(owners.max()) + 1, bool)
    first[users] = numpy_generator(seed, "calibration").permutation(len(users)) % 2 == 0
    return first[owners]
