"""Coverage: counted right, in the right bands, and not on what was calibrated on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import penchant
from penchant.calibration import LEVELS, AtLevel, Band, Coverage, Rated, kept_coverage, measure, validation_coverage
from penchant.data.split import Split, split_none
from penchant.errors import ArtifactError, SettingError
from penchant.intervals import Around, calibrate
from penchant.models import build


def rated(ratings: list[float], owners: list[int], by_user: list[int], by_item: list[int]) -> Rated:
    counts = (np.array(counts, np.int64) for counts in (by_user, by_item))
    return Rated(np.array(ratings, np.float32), np.array(owners, np.int32), *counts)


def fixed(n: int, multiple: float = 1) -> Around:
    """Intervals of 3 ± level × multiple."""
    return Around(np.full(n, 3, np.float32), np.ones(n, np.float32), lambda level: level * multiple, (1, 5))


def test_counts_widths_and_bands() -> None:
    four = rated([3, 3.6, 3.8, 5], [0, 0, 1, 2], [0, 19, 20, 700], [4, 5, 5, 5])
    found = measure(fixed(4), four, [0.9, 0.5])
    assert [one.level for one in found.levels] == [0.5, 0.9]
    assert [one.covered for one in found.levels] == [1 / 4, 3 / 4]
    assert [one.width for one in found.levels] == pytest.approx([1, 1.8], abs=1e-5)
    assert [(band.least, band.n, band.covered) for band in found.users] == [(0, 2, 1), (20, 1, 1), (500, 1, 0)]
    assert [(band.least, band.n, band.covered) for band in found.items] == [(0, 1, 1), (5, 3, 2 / 3)]
    assert (found.n, found.crossed) == (4, False)


def test_each_rating_may_have_a_multiple_of_its_own() -> None:
    three = rated([3.5, 3.5, 3.1], [0, 1, 1], [1, 1, 1], [1, 1, 1])
    own = replace(fixed(3), multiple=lambda level: level * np.array([1.2, 0.4, 0.4], np.float32))
    found = measure(own, three, [0.5])
    assert found.levels[0].covered == pytest.approx(2 / 3)
    assert found.levels[0].width == pytest.approx((1.2 + 0.4 + 0.4) / 3, abs=1e-5)


def test_ratings_of_one_user_do_not_count_as_so_many() -> None:
    ratings = [3.0] * 50 + [5.0] * 50
    apart = measure(fixed(100), rated(ratings, list(range(100)), [1] * 100, [1] * 100), [0.9]).users[0]
    together = measure(fixed(100), rated(ratings, [0] * 50 + [1] * 50, [1] * 100, [1] * 100), [0.9]).users[0]
    assert apart.error == pytest.approx(0.05)
    assert together.error == pytest.approx(0.5 / 2**0.5)


def test_nothing_to_measure_and_levels_that_mean_nothing() -> None:
    with pytest.raises(SettingError, match="nothing to measure"):
        measure(fixed(0), rated([], [], [], []))
    with pytest.raises(SettingError, match="level"):
        measure(fixed(1), rated([3], [0], [1], [1]), [1.5])


def test_a_fit_keeps_what_its_intervals_cover(split: Split) -> None:
    recommender = penchant.fit(split, "bias")
    found = recommender.about["valid"]["coverage"]
    json.dumps(found)
    coverage = Coverage.from_json(found)
    assert coverage.to_json() == found
    assert tuple(one.level for one in coverage.levels) == LEVELS
    assert coverage.n == len(split.valid) == sum(band.n for band in coverage.users)
    assert coverage.crossed
    for one in coverage.levels:
        assert one.covered == pytest.approx(one.level, abs=0.08)
    assert coverage.at(0.9).width > coverage.at(0.5).width
    with pytest.raises(SettingError, match=r"0\.42"):
        coverage.at(0.42)


def test_coverage_is_not_measured_on_what_was_calibrated_on(split: Split) -> None:
    """Of two users whose halves differ, one is covered too little and one too much; of one user, nothing is said."""
    model = build("bias")
    model.fit(split)
    conformal = calibrate(model, split)
    owners = split.valid.user_rows
    for seed in (0, 1):
        found = validation_coverage(model, conformal, split, seed, [0.5])
        assert found == validation_coverage(model, conformal, split, seed, [0.5])
    one_user = split.valid.take(np.flatnonzero(owners == owners[0])).compact()
    alone = Split(split.train, one_user, "of one user")
    assert validation_coverage(model, calibrate(model, alone), alone) is None
    two = split.valid.take(np.flatnonzero(owners <= np.unique(owners)[1]))  # of all users in its vocabulary
    wrong = np.where(two.user_rows == two.user_rows[0], np.float32(1), np.float32(3))
    far = Split(split.train, replace(two, ratings=wrong), "one of two is far off")
    assert 0 < validation_coverage(model, calibrate(model, far), far, 0, [0.5]).at(0.5).covered < 1


def test_without_intervals_there_is_no_coverage(split: Split) -> None:
    recommender = penchant.fit(split_none(split.train), "bias")
    assert "valid" not in recommender.about
    assert validation_coverage(recommender.model, None, split) is None


def test_a_recommender_counts_training_ratings(split: Split) -> None:
    recommender = penchant.fit(split, "bias")
    np.testing.assert_array_equal(recommender.history.training_counts, split.train.user_counts)
    np.testing.assert_array_equal(recommender.item_counts, split.train.item_counts)
    found = recommender.coverage(split.valid, [0.9])
    in_fit = recommender.about["valid"]["coverage"]
    assert [band.n for band in found.users] == [band["n"] for band in in_fit["users"]]
    assert [band.n for band in found.items] == [band["n"] for band in in_fit["items"]]


@pytest.mark.parametrize(
    "found",
    [
        *({}, [], "none", 7, {"levels": 3}),
        {"levels": [{}], "users": [], "items": [], "n": 1, "crossed": True},
        {"levels": [], "users": [], "items": [], "n": 1, "crossed": True},
    ],
)
def test_a_damaged_coverage_is_refused(found: Any) -> None:
    with pytest.raises(ArtifactError, match="coverage in the manifest"):
        Coverage.from_json(found)
    with pytest.raises(ArtifactError, match="coverage in the manifest"):
        kept_coverage({"valid": {"coverage": found}})


@pytest.mark.parametrize("about", [{}, {"valid": None}, {"valid": "all"}, {"valid": {}}, {"valid": {"coverage": None}}])
def test_a_manifest_without_coverage(about: Any) -> None:
    assert kept_coverage(about) is None


def test_json_is_compact() -> None:
    coverage = Coverage((AtLevel(0.9, 1 / 3, 2.0),), (Band(0, 3, 2 / 3, 0.1),), (), 3)
    assert coverage.to_json() == {
        "levels": [{"level": 0.9, "covered": 0.33333, "width": 2.0}],
        "users": [{"least": 0, "n": 3, "covered": 0.66667, "error": 0.1}],
        "items": [],
        "n": 3,
        "crossed": False,
    }


def test_the_spread_choice_holds_on_published_data(published: Any) -> None:
    """90 % intervals cover 89 to 91 % overall, and about as much in every band of user activity."""
    parts = (published / "ml-100k" / f"u1.{part}" for part in ("base", "test"))
    split = penchant.split_file(*map(penchant.read_ratings, parts))
    for model in ("bias", "mf"):
        found = Coverage.from_json(penchant.fit(split, model).about["valid"]["coverage"])
        assert 0.89 < found.at(0.9).covered < 0.91
        for band in (*found.users, *found.items):
            assert abs(band.covered - 0.9) < 0.03 + 2 * band.error
