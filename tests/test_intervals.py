"""Intervals: exact quantiles, coverage that holds, arrays that are refused, and what they look like outside."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penchant
from penchant import intervals
from penchant.artifact import load_artifact, save_artifact
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.errors import ArtifactError, InputError, SettingError, UnsupportedError
from penchant.intervals import Around, Conformal, Quantiles, Spreads, around, calibrate, check_level, normal_multiple
from penchant.models import build
from penchant.models.baseline import Bias
from penchant.serving.recommender import Recommender


@pytest.fixture(scope="module")
def fitted(split: Split) -> Recommender:
    return penchant.fit(split, "bias")


@pytest.fixture(scope="module")
def without(split: Split) -> Recommender:
    return penchant.fit(split_none(split.train), "bias")


# --- the finite-sample quantile -----------------------------------------------------------------------


@given(n=st.integers(1, 3000), hundredths=st.integers(1, 99))
@settings(max_examples=200, deadline=None)
def test_the_quantile_is_the_right_score_exactly(n: int, hundredths: int) -> None:
    """The scores are 1 to n, so each says its own place; hundredths are on the grid of many scores."""
    found = Quantiles.of(np.random.default_rng(0).permutation(n).astype(np.float32) + 1).at(hundredths / 100)
    place = -(-(n + 1) * hundredths // 100)
    assert found == (place if place <= n else math.inf)


@given(n=st.integers(1001, 5000), level=st.floats(0.0001, 0.9999))
@settings(max_examples=100, deadline=None)
def test_between_the_grid_the_quantile_is_never_too_small(n: int, level: float) -> None:
    found = Quantiles.of(np.arange(1, n + 1, dtype=np.float32)).at(level)
    place = math.ceil((n + 1) * Fraction(str(level)))
    assert place <= found
    assert place > n or found <= place + (n + 1) // 1000 + 1


def test_what_floats_would_round_up() -> None:
    assert math.ceil(100 * 0.07) == 8  # what is avoided
    assert Quantiles.of(np.arange(1, 100, dtype=np.float32)).at(0.07) == 7
    assert Quantiles.of(np.arange(1, 10, dtype=np.float32)).at(0.9) == 9
    assert Quantiles.of(np.arange(1, 9, dtype=np.float32)).at(0.9) == math.inf


def test_few_scores_are_all_kept_and_many_are_not() -> None:
    assert len(Quantiles.of(np.ones(1000, np.float32)).ranks) == 1000
    many = Quantiles.of(np.arange(100_000, dtype=np.float32))
    assert len(many.ranks) == 1000
    assert many.ranks[-1] == 100_000


@pytest.mark.parametrize("n", [1001, 1350, 1998, 1999, 2500])
def test_no_score_is_kept_twice(n: int) -> None:
    """An artifact with a rank that is there twice could not be loaded."""
    kept = Quantiles.of(np.arange(n, dtype=np.float32))
    assert (np.diff(kept.ranks) > 0).all()
    assert kept.ranks[-1] == n
    spreads = Spreads(np.ones(3, np.float32), np.ones(2, np.float32), np.ones(2, np.float32))
    Conformal(spreads, kept).check(3, 2)


@pytest.mark.parametrize("n", [19, 50, 2500])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("discrete", [False, True])
def test_coverage_of_exchangeable_scores_is_what_was_asked_for(n: int, level: float, discrete: bool) -> None:
    """From level to level + 1 / (n + 1), or n > 1000 a step of the grid more; ties can only add."""
    draw = np.random.default_rng(n)
    times, new = 300, 200
    covered = np.empty(times)
    for i in range(times):
        scores = draw.exponential(size=n + new).astype(np.float32) * (1 + draw.random())
        scores = np.ceil(3 * scores) if discrete else scores
        covered[i] = (scores[n:] <= Quantiles.of(scores[:n]).at(level)).mean()
    error = 4 * covered.std() / times**0.5
    assert covered.mean() > level - error
    assert discrete or covered.mean() < level + 1 / (n + 1) + 0.001 + error


# --- spreads ------------------------------------------------------------------------------------------


def test_spreads_are_damped_root_mean_squares(split: Split) -> None:
    train, model = split.train, build("bias")
    model.fit(split)
    squares = (train.ratings - model.predict(train.user_rows, train.item_rows)).astype(np.float64) ** 2
    found, mean = Spreads.of(model, train), squares.mean()
    for user in (0, 7):
        own = squares[train.user_rows == user]
        assert found.users[user] == pytest.approx(np.sqrt((own.sum() + 20 * 1.3 * mean) / (len(own) + 20)), rel=1e-5)
    for item in (0, 7):
        own = squares[train.item_rows == item] / mean
        assert found.items[item] == pytest.approx(np.sqrt((own.sum() + 5 * 2) / (len(own) + 5)), rel=1e-5)
    rows = np.array([3, 3, -1, -1], np.int32), np.array([5, -1, 5, -1], np.int32)
    users, items = [found.users[3]] * 2 + [found.unknown[0]] * 2, [found.items[5], found.unknown[1]] * 2
    np.testing.assert_allclose(found.pairs(*rows), np.multiply(users, items))
    assert found.pairs(*rows).dtype == np.float32


def test_spreads_do_not_depend_on_how_many_ratings_at_a_time(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("bias")
    model.fit(split)
    whole = Spreads.of(model, split.train)
    monkeypatch.setattr(intervals, "RATINGS_A_TIME", 100)
    np.testing.assert_allclose(Spreads.of(model, split.train).users, whole.users, rtol=1e-6)


def test_a_model_without_errors_has_intervals_without_width(split: Split) -> None:
    same = replace(split.train, ratings=np.full(len(split.train), 3, np.float32))
    recommender = penchant.fit(Split(same, same.take(np.arange(50)), "all the same"), "bias")
    one = recommender.predict(0, 0, interval=0.9)
    assert (one.prediction, one.low, one.high) == (3, 3, 3)
    assert recommender.coverage(same, [0.9]).levels[0].covered == 1


# --- intervals of a model -----------------------------------------------------------------------------


def test_an_interval_holds_its_prediction_and_grows_with_its_level(fitted: Recommender) -> None:
    last = fitted.predict(3, 5, interval=0.01)
    for level in (0.3, 0.6, 0.9, 0.99):
        one = fitted.predict(3, 5, interval=level)
        assert one.low <= last.low <= last.prediction == one.prediction <= last.high <= one.high
        last = one
    assert last.prediction == fitted.predict(3, 5)
    all_of_it = fitted.predict(3, 5, interval=0.9999)  # the few validation ratings cannot say
    assert (all_of_it.low, all_of_it.high) == fitted.model.scale


def test_pairs_have_the_intervals_of_single_ones(fitted: Recommender) -> None:
    frame = fitted.predict_pairs([3, 7, 3, 999], [5, 9, 999, 999], interval=0.9)
    assert frame.columns == ["prediction", "low", "high", "known"]
    assert frame.dtypes == [pl.Float32, pl.Float32, pl.Float32, pl.String]
    for row, pair in zip(frame.rows()[:2], ((3, 5), (7, 9)), strict=True):
        assert row[:3] == pytest.approx(tuple(vars(fitted.predict(*pair, interval=0.9)).values()))
    assert frame["known"].to_list() == ["both", "both", "user", "neither"]
    assert frame.drop("low", "high").equals(fitted.predict_pairs([3, 7, 3, 999], [5, 9, 999, 999]))
    assert fitted.predict_pairs([], [], interval=0.9).height == 0


def test_calibrated_ratings_are_covered_as_asked(fitted: Recommender, split: Split) -> None:
    """On the very ratings of the calibration the coverage is the level, up to one rating, clipping included."""
    n = len(split.valid)
    for one in fitted.coverage(split.valid).levels:
        assert one.level <= one.covered <= one.level + 2 / n + 1e-9


def test_a_model_with_deviations_has_normal_intervals(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def deviations(self: Any, user_rows: Any, item_rows: Any, context: Any = None) -> Any:
        asked.append(context)
        return np.full(len(user_rows), 0.5, np.float32)

    monkeypatch.setattr(Bias, "deviations", deviations)
    recommender = penchant.fit(split, "bias")
    assert recommender.conformal is None
    one = recommender.predict(3, 5, interval=0.9)
    low, high = recommender.model.scale
    score = float(recommender.model.pair_scores(np.array([3], np.int32), np.array([5], np.int32))[0])
    assert one.low == pytest.approx(max(low, score - 1.644854 * 0.5), abs=1e-5)
    assert one.high == pytest.approx(min(high, score + 1.644854 * 0.5), abs=1e-5)
    assert recommender.about["valid"]["coverage"]["crossed"] is False
    recommender.predict_pairs([3], [5], interval=0.5, times=[86_400])
    np.testing.assert_array_equal(asked[-1].times, [86_400])


def test_the_normal_quantile() -> None:
    assert normal_multiple(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert normal_multiple(0.5) == pytest.approx(0.674490, abs=1e-6)


def test_an_end_is_never_within_by_rounding() -> None:
    """A rating whose score is the quantile itself is covered, whatever float32 makes of it."""
    draw = np.random.default_rng(1)
    centres = draw.uniform(1, 5, 20_000).astype(np.float32)
    units = draw.uniform(1e-3, 2, 20_000).astype(np.float32)
    ratings = draw.integers(1, 6, 20_000).astype(np.float32)
    for i, score in enumerate(np.abs(ratings - centres) / units):
        low, high = Around(centres[i : i + 1], units[i : i + 1], lambda _, s=score: float(s), (1, 5)).ends(0.5)
        assert low[0] <= ratings[i] <= high[0]


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, 90, math.nan, math.inf, True, "0.9", None])
def test_levels_that_mean_nothing(level: Any, fitted: Recommender) -> None:
    with pytest.raises(SettingError, match=r"level of an interval is .*\n.*between 0 and 1"):
        check_level(level)
    if level is not None:
        with pytest.raises(SettingError):
            fitted.predict(3, 5, interval=level)
        with pytest.raises(SettingError):
            fitted.predict_pairs([3], [5], interval=level)


def test_without_validation_ratings_the_remedy_is_told(without: Recommender, split: Split) -> None:
    for ask in (
        lambda: without.predict(3, 5, interval=0.9),
        lambda: without.predict_pairs([3], [5], interval=0.9),
        lambda: without.coverage(split.valid),
    ):
        with pytest.raises(UnsupportedError, match="without validation ratings") as caught:
            ask()
        assert "--valid" in caught.value.remedy
    assert isinstance(without.predict(3, 5), float)


def test_times_go_with_their_pairs(fitted: Recommender) -> None:
    assert fitted.predict_pairs([3, 7], [5, 9], times=[0, 1]).equals(fitted.predict_pairs([3, 7], [5, 9]))
    with pytest.raises(InputError, match="2 pairs and 1 times"):
        fitted.predict_pairs([3, 7], [5, 9], times=[0])


def test_a_module_that_predicts_nan_has_no_intervals(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("bias")
    model.fit(split)
    model.parameters["item_biases"] = np.full_like(model.parameters["item_biases"], np.nan)
    assert calibrate(model, split) is None
    with pytest.raises(UnsupportedError):
        around(model, None, np.zeros(1, np.int32), np.zeros(1, np.int32))


# --- in the artifact ----------------------------------------------------------------------------------


def test_saved_and_loaded_they_are_the_same(fitted: Recommender, without: Recommender, tmp_path: Path) -> None:
    loaded = Recommender.load(fitted.save(tmp_path / "model"))
    assert loaded.predict(3, 5, interval=0.9) == fitted.predict(3, 5, interval=0.9)
    assert Recommender.load(without.save(tmp_path / "without")).conformal is None
    names = {name for name in load_artifact(tmp_path / "model").arrays if name.startswith("intervals/")}
    parts = {"user_spreads", "item_spreads", "unknown_spreads", "scores", "ranks"}
    assert names == {f"intervals/{part}" for part in parts}


def flipped(array: Any) -> Any:
    return array[::-1].copy()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        *((part, None) for part in ("user_spreads", "item_spreads", "unknown_spreads", "scores", "ranks")),
        *((part, lambda a: a[:-1]) for part in ("user_spreads", "item_spreads", "unknown_spreads", "scores", "ranks")),
        *((part, lambda a: a[None]) for part in ("user_spreads", "scores", "ranks")),
        *((part, lambda a: np.array(a[0])) for part in ("user_spreads", "scores", "ranks")),
        *((part, lambda a: a.astype(np.float64)) for part in ("user_spreads", "scores", "ranks")),
        *((part, lambda a: np.where(a == a[1], np.nan, a).astype(np.float32)) for part in ("user_spreads", "scores")),
        *((part, lambda a: np.where(a == a[1], np.inf, a).astype(np.float32)) for part in ("item_spreads", "scores")),
        *((part, lambda a: -a) for part in ("user_spreads", "item_spreads", "unknown_spreads", "scores", "ranks")),
        *((part, lambda a: 0 * a) for part in ("user_spreads", "item_spreads", "unknown_spreads", "ranks")),
        *((part, flipped) for part in ("scores", "ranks")),
    ],
)
def test_wrong_arrays_are_refused(part: str, change: Any, fitted: Recommender, tmp_path: Path) -> None:
    artifact = load_artifact(fitted.save(tmp_path / "right"))
    name = f"intervals/{part}"
    arrays = {key: array for key, array in artifact.arrays.items() if key != name}
    if change is not None:
        arrays[name] = change(artifact.arrays[name])
    save_artifact(replace(artifact, arrays=arrays), tmp_path / "wrong")
    with pytest.raises(ArtifactError, match="wrong does not fit together"):
        Recommender.load(tmp_path / "wrong")


def test_no_scores_at_all_are_refused() -> None:
    some = np.ones(2, np.float32)
    empty = Conformal(Spreads(some, some, some), Quantiles(np.empty(0, np.float32), np.empty(0, np.int64)))
    with pytest.raises(ValueError, match="ranks"):
        empty.check(2, 2)


# --- data that is exchangeable ------------------------------------------------------------------------


def test_new_ratings_are_covered_whatever_the_noise_of_their_users(ratings: Interactions) -> None:
    """Users of very different noise: each new rating is drawn as the validation ratings are."""
    draw = np.random.default_rng(2)
    noise = np.where(np.arange(ratings.n_users) % 2, 0.2, 2.0)
    noisy = (3 + noise[ratings.user_rows] * draw.standard_normal(len(ratings))).astype(np.float32)
    whole = replace(ratings, ratings=noisy)
    order = draw.permutation(len(whole))
    third = len(whole) // 3
    train, valid, new = (whole.take(part) for part in (order[:third], order[third : 2 * third], order[2 * third :]))
    recommender = penchant.fit(Split(train.compact(), valid, "drawn"), "bias")
    found = recommender.coverage(new, (0.5, 0.8, 0.9))
    for one in found.levels:
        assert one.covered == pytest.approx(one.level, abs=5 * (one.level * (1 - one.level) / third) ** 0.5)
    rows = recommender.users.rows(new.users.ids, missing="minus one")
    spreads = recommender.conformal.spreads.users
    loud = [spreads[row] for user, row in enumerate(rows) if row >= 0 and noise[user] > 1]
    quiet = [spreads[row] for user, row in enumerate(rows) if row >= 0 and noise[user] < 1]
    assert np.mean(loud) > 1.1 * np.mean(quiet)  # ten times the noise, but few ratings each and clipped predictions
