"""Evaluation: the values, and whether the intervals mean what they say."""

from __future__ import annotations

import json
from math import sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.errors import SettingError
from penchant.evaluate import Report, _resample, evaluate_ratings
from penchant.metrics import METRICS


def report_of(errors: Any, groups: Any, **options: Any) -> Report:
    """Of ratings that are all 3 and predictions that are off by some errors."""
    ratings = np.full(len(errors), 3, np.float32)
    return evaluate_ratings(ratings + np.asarray(errors, np.float32), ratings, np.asarray(groups), **options)


def width(report: Report, metric: str = "mse") -> float:
    low, high = report.intervals[metric]
    return high - low


def clustered(n_users: int, per_user: int, seed: int, spread: float = 1.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Errors of users who each have their own standard deviation, and the users."""
    draw = np.random.default_rng(seed)
    own = np.exp(spread * draw.standard_normal(n_users) / 2)
    users = np.repeat(np.arange(n_users), per_user)
    return draw.standard_normal(len(users)) * own[users], users


def test_the_values_are_means_over_all_ratings() -> None:
    report = report_of([1, -2, 0.5, 0], [0, 0, 0, 1], n_unknown=3)
    squared, absolute = (1 + 4 + 0.25 + 0) / 4, (1 + 2 + 0.5 + 0) / 4
    assert report.metrics == {
        "mse": pytest.approx(squared),
        "rmse": pytest.approx(sqrt(squared)),
        "mae": pytest.approx(absolute),
    }
    assert (report.n, report.n_unknown) == (4, 3)


def test_only_what_was_asked_for_is_measured() -> None:
    report = report_of([1, 2], [0, 1], metrics=["mae"])
    assert list(report.metrics) == list(report.intervals) == ["mae"]


def test_every_metric_has_an_interval() -> None:
    assert set(_resample(np.ones(4), np.arange(4), 0)) == set(METRICS)


@pytest.mark.parametrize(("names", "what"), [(["map"], "no metric 'map'"), ([], "No metric")])
def test_metrics_that_are_none(names: list[str], what: str) -> None:
    with pytest.raises(SettingError, match=what) as caught:
        report_of([1], [0], metrics=names)
    assert "mse, rmse, mae" in caught.value.remedy


def test_nothing_to_evaluate() -> None:
    with pytest.raises(SettingError, match="nothing to evaluate"):
        report_of([], [])


def test_with_two_users_a_sample_is_one_of_three() -> None:
    """Both of the first, both of the second (a quarter each), one of each (a half): the interval is their range."""
    report = report_of([1, 1, 2], [7, 7, 9])
    low, high = report.intervals["mse"]
    assert (low, high) == (pytest.approx(1), pytest.approx(4))
    values, counts = np.unique(_resample(np.array([1.0, 1, 2]), np.array([7, 7, 9]), 0)["mse"], return_counts=True)
    np.testing.assert_allclose(values, [1, (1 + 1 + 4) / 3, 4])
    np.testing.assert_allclose(counts / 1000, [1 / 4, 1 / 2, 1 / 4], atol=0.05)


def test_resamples_are_those_of_drawing_users_one_by_one() -> None:
    """The mean and the deviation of the resampled sums, against the theory of a ratio of equal-sized clusters."""
    errors, users = clustered(40, 5, seed=1)
    resampled = _resample(errors, users, seed=0)
    of_users = (errors**2).reshape(40, 5).mean(axis=1)
    deviation = of_users.std() / sqrt(40)
    assert resampled["mse"].mean() == pytest.approx(of_users.mean(), abs=4 * deviation / sqrt(1000))
    assert resampled["mse"].std() == pytest.approx(deviation, rel=0.1)
    np.testing.assert_allclose(resampled["rmse"], np.sqrt(resampled["mse"]))
    by_user = np.abs(errors).reshape(40, 5).mean(axis=1)
    assert resampled["mae"].std() == pytest.approx(by_user.std() / sqrt(40), rel=0.1)


def test_an_interval_holds_95_of_100_resamples() -> None:
    errors, users = clustered(80, 3, seed=6)
    resampled = _resample(errors, users, seed=2)
    report = report_of(errors, users, seed=2)
    for name, (low, high) in report.intervals.items():
        np.testing.assert_allclose([low, high], np.percentile(resampled[name], [2.5, 97.5]), rtol=1e-5)


def test_users_are_resampled_as_wholes() -> None:
    """The same errors: with one user who has all of the large ones, the interval is far wider than when spread."""
    errors = np.tile([0.125] * 9 + [3.0], 10)  # 100 ratings, 10 of them far off
    spread = report_of(errors, np.repeat(np.arange(10), 10))
    heaped = report_of(np.sort(errors), np.repeat(np.arange(10), 10))
    assert spread.metrics == heaped.metrics
    assert width(spread) == pytest.approx(0, abs=1e-6)
    assert heaped.intervals["mse"][0] == pytest.approx(0.125**2)
    assert heaped.intervals["mse"][1] > 2 * heaped.metrics["mse"]


@pytest.mark.parametrize("seed", range(5))
def test_the_value_lies_within_and_more_users_narrow_it(seed: int) -> None:
    widths = []
    for n_users in (20, 200, 2000):
        report = report_of(*clustered(n_users, 4, seed))
        for name, value in report.metrics.items():
            low, high = report.intervals[name]
            assert low < value < high
        widths.append(width(report, "rmse"))
    assert widths[0] > 1.5 * widths[1] > 1.5 * 1.5 * widths[2]


def test_same_seed_same_interval() -> None:
    errors, users = clustered(50, 3, seed=2)
    one, same, other = (report_of(errors, users, seed=seed) for seed in (4, 4, 5))
    assert one == same
    assert one.intervals != other.intervals
    assert one.metrics == other.metrics


def test_the_order_of_ratings_and_the_names_of_users_do_not_matter() -> None:
    errors, users = clustered(30, 4, seed=3)
    shuffled = np.random.default_rng(0).permutation(len(users))
    one, other = report_of(errors, users), report_of(errors[shuffled], users[shuffled] + 1000)
    for name in METRICS:
        np.testing.assert_allclose(one.intervals[name], other.intervals[name], rtol=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """200 data sets of 60 users of very different quality; the truth is the mean over all users there could be."""
    spread = 0.5
    truth = np.exp(spread**2 / 2)  # E[own**2] of clustered: own = exp(spread * normal / 2)
    covered = 0
    for seed in range(200):
        low, high = report_of(*clustered(60, 6, seed, spread), metrics=["mse"], seed=seed).intervals["mse"]
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_an_interval_over_ratings_would_cover_it_too_seldom() -> None:
    """Why users are resampled: as if each rating were by somebody else, the interval is too narrow by half."""
    errors, users = clustered(100, 30, seed=4)
    assert width(report_of(errors, users)) > 1.7 * width(report_of(errors, np.arange(len(errors))))


def test_json() -> None:
    fields = json.loads(json.dumps(report_of([1, -1, 2], [0, 1, 1]).to_json(), allow_nan=False))
    assert fields["n"] == 3
    assert fields["metrics"]["mse"] == pytest.approx((1 + 1 + 4) / 3)
    assert [len(ends) for ends in fields["intervals"].values()] == [2, 2, 2]
