"""Comparisons: baselines, folds, paired tests, and what is saved of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import penchant
from penchant import comparing
from penchant.comparing import Contest, compare, compare_folds, compare_measured, compare_models, differences
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_folds
from penchant.errors import SettingError, UnsupportedError
from penchant.folds import Fold, OverFolds, intervals_over_users
from penchant.models import build
from penchant.models.fitting import Epoch, FitOptions, NothingLearnt, Silent


class Stopping(Silent):
    """A Listener that presses Ctrl-C when the n-th fit begins, from 1; or in its second epoch."""

    def __init__(self, n: int, late: bool = False) -> None:
        self.left, self.late = n, late

    def started(self, model: str, epochs: int) -> None:
        del model, epochs
        self.left -= 1
        if not self.left and not self.late:
            raise KeyboardInterrupt

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        del model
        if not self.left and self.late and epoch.epoch == 1:
            raise KeyboardInterrupt


# --- baselines --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "metrics", "added"),
    [
        (["mf"], None, ["bias"]),
        (["bias", "mf"], None, []),
        (["als"], None, ["popularity"]),
        (["als", "popularity"], None, []),
        (["mf"], ["ndcg@10"], ["popularity", "bias"]),
        (["als", "mf"], None, ["popularity", "bias"]),
        (["bias", "ease"], ["recall@5"], ["popularity"]),
        (["popularity", "bias"], ["auc"], []),
    ],
)
def test_baselines_that_are_missing_are_added(models: list[str], metrics: list[str] | None, added: list[str]) -> None:
    contest = Contest.of(models, {}, metrics, baselines=True)
    assert contest.baselines == added
    assert [(model.name, is_added) for model, is_added in contest.build()] == [
        *((name, True) for name in added),
        *((name, False) for name in models),
    ]
    assert not Contest.of(models, {}, metrics, baselines=False).baselines


def test_settings_are_of_those_that_are_asked_for_first() -> None:
    contest = Contest.of(["als"], {"weighting": "binary", "factors": 4}, None, baselines=True)
    popularity, als = (model for model, _ in contest.build())
    assert popularity.settings.weighting == als.settings.weighting == "binary"
    with pytest.raises(SettingError, match="None of mf has a setting 'user_damping'"):  # bias does, and nobody asked
        Contest.of(["mf"], {"user_damping": 3.0}, None, baselines=True)


def test_a_comparison_has_the_baselines(ratings: Interactions) -> None:
    found = compare(ratings, ["mf"], epochs=2)
    assert {one.model.name for one in found} == {"mf", "bias"}
    assert [one.model.name for one in compare(ratings, ["mf"], epochs=2, baselines=False)] == ["mf"]


def test_a_baseline_of_lists_does_not_stop_the_search_for_the_best_epoch(split: Split) -> None:
    """It has no validation loss, and nobody asked for it."""
    contest = Contest.of(["mf"], {"epochs": 4}, ["ndcg@10"], baselines=True)
    found = compare_measured(contest, split, FitOptions(patience=1))
    assert {one.name for one in found} == {"mf", "bias", "popularity"}


def test_a_comparison_ranks_by_lists_where_a_model_ranks_only(split: Split) -> None:
    contest = Contest.of(["popularity", "als", "bias"], {"factors": 8}, None, baselines=True)
    found = compare_measured(contest, split, FitOptions())
    values = [one.recommender.about["valid"]["metrics"]["ndcg@10"] for one in found]
    assert values == sorted(values, reverse=True)
    of_bias = next(one for one in found if one.name == "bias")
    assert "rmse" in of_bias.recommender.about["valid"]["metrics"]
    paired = differences(found, "ndcg@10")
    assert set(paired) == {one.name for one in found[1:]}
    for one in found[1:]:
        expected = one.recommender.about["valid"]["metrics"]["ndcg@10"] - values[0]
        assert paired[one.name].difference == pytest.approx(expected)


def test_without_ratings_the_models_of_preferences_are_compared(ratings: Interactions) -> None:
    found = compare(replace(ratings, is_implicit=True))
    assert {one.model.name for one in found} == set(comparing.COMPARED_WITHOUT_RATINGS)


def test_held_out_users_are_compared(ratings: Interactions) -> None:
    found = compare(ratings, ["mf", "als"], split="users", valid_fraction=0.3, given_fraction=0.5, epochs=3, factors=4)
    assert {one.model.name for one in found} == {"mf", "als", "bias", "popularity"}
    folded_in = {one.about["valid"]["n_users_folded_in"] for one in found}
    assert len(folded_in) == 1
    assert folded_in.pop() > 10


def test_one_model_has_nobody_to_differ_from(split: Split) -> None:
    contest = Contest.of(["bias"], {}, None, baselines=True)
    assert differences(compare_measured(contest, split, FitOptions()), "mse") == {}


# --- folds --------------------------------------------------------------------------------------------


def test_folds_are_those_of_fits_one_by_one(ratings: Interactions) -> None:
    splits = split_folds(ratings, 3, seed=2)
    contest = Contest.of(["als", "mf"], {"factors": 4, "epochs": 3}, ["ndcg@10", "coverage@5"], baselines=True)
    heard: list[tuple[int, str]] = []
    found = compare_folds(contest, splits, FitOptions(seed=2), lambda fold, one: heard.append((fold, one.name)))
    assert heard == [(fold, name) for fold in range(3) for name in ("popularity", "bias", "als", "mf")]
    values = [one.metrics["ndcg@10"] for one in found]
    assert values == sorted(values, reverse=True)
    mf = next(one for one in found if one.name == "mf")
    apart = [
        compare_models([build("mf", factors=4, epochs=3)], split, FitOptions(seed=2), ["ndcg@10", "coverage@5"])[0]
        for split in splits
    ]
    for name in ("mse", "rmse", "mae", "ndcg@10", "coverage@5"):
        of_folds = [one.about["valid"]["metrics"][name] for one in apart]
        assert [fold.report["metrics"][name] for fold in mf.folds] == pytest.approx(of_folds)
        assert mf.metrics[name] == pytest.approx(np.mean(of_folds))
        assert mf.spreads[name] == pytest.approx(np.std(of_folds, ddof=1))
        if name != "coverage@5":
            low, high = mf.intervals[name]
            assert low < mf.metrics[name] < high
    assert "coverage@5" not in mf.intervals
    assert [one.is_baseline for one in found] == [one.name in ("bias", "popularity") for one in found]
    plain = mf.to_json()
    assert len(plain["folds"]) == 3
    assert plain["metrics"] == mf.metrics


def test_paired_tests_over_folds_are_of_users_averages(ratings: Interactions) -> None:
    splits = split_folds(ratings, 2, seed=2)
    found = compare(ratings, ["mf"], folds=2, epochs=3, seed=2)
    assert isinstance(found[0], OverFolds)
    paired = differences(found, "mse", seed=2)
    first, second = found
    errors = {}
    for name in ("mf", "bias"):
        settings: dict[str, Any] = {"epochs": 3} if name == "mf" else {}
        total = 0.0
        for split in splits:
            fitted = compare_models([build(name, **settings)], split, FitOptions(seed=2))[0]
            assert split.valid is not None
            total += fitted.about["valid"]["metrics"]["mse"] * len(split.valid)
        errors[name] = total / len(ratings)
    assert paired[second.name].difference == pytest.approx(errors[second.name] - errors[first.name], rel=1e-6)
    assert paired[second.name].low < paired[second.name].difference < paired[second.name].high


def test_the_interval_over_users_is_a_bootstrap_of_quotients() -> None:
    """Against a twin that draws users one by one; values differ by user, number and fold."""
    draw = np.random.default_rng(5)
    n = 40
    counts = draw.integers(0, 4, (2, n)).astype(float)
    counts[:, 7] = 0  # a user of no fold is never drawn
    errors = draw.random((2, n)) * counts
    folds = [
        Fold({"metrics": {"mse": 0.0, "rmse": 0.0}}, dict.fromkeys(("mse", "rmse"), np.stack((e, c))), 1.0)
        for e, c in zip(errors, counts, strict=True)
    ]
    found = intervals_over_users(folds, seed=1)
    there = [user for user in range(n) if counts[:, user].any()]
    samples = []
    for _ in range(4000):
        drawn = draw.choice(there, len(there))
        samples.append(np.mean([errors[f, drawn].sum() / counts[f, drawn].sum() for f in range(2)]))
    np.testing.assert_allclose(found["mse"], np.percentile(samples, (2.5, 97.5)), atol=0.02)
    assert found["mse"][0] < found["rmse"][0] ** 2 + 0.01
    assert intervals_over_users(folds, seed=1) == found


def test_over_one_fold_nothing_is_spread() -> None:
    sums = np.array([[1.0, 0.0, 0.5], [1.0, 0.0, 1.0]])
    over = OverFolds.of("als", False, [Fold({"metrics": {"ndcg@10": 0.75}}, {"ndcg@10": sums}, 2.0)])
    assert over.metrics == {"ndcg@10": 0.75}
    assert np.isnan(over.spreads["ndcg@10"])
    assert over.fit_seconds == 2.0
    np.testing.assert_array_equal(over.values_of_users("ndcg@10"), [1.0, np.nan, 0.5])


def test_folds_take_ratings_alone(ratings: Interactions, split: Split) -> None:
    how: dict[str, Any]
    for source, how in ((split, {}), (ratings, {"split": "time"}), (ratings, {"valid": ratings})):
        with pytest.raises(SettingError, match="way to split of their own"):
            compare(source, ["bias"], folds=3, **how)
    with pytest.raises(SettingError, match="folds is 1, of"):
        penchant.compare(ratings, ["bias"], folds=1)


@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_keeps_the_folds_that_are_done(ratings: Interactions, late: bool) -> None:
    contest = Contest.of(["mf"], {"epochs": 3, "factors": 3}, None, baselines=True)
    splits = split_folds(ratings, 3)
    found = compare_folds(contest, splits, FitOptions(listener=Stopping(4, late)))
    assert [len(one.folds) for one in found] == [1, 1]
    with pytest.raises(NothingLearnt):
        compare_folds(contest, splits, FitOptions(listener=Stopping(2, late)))


def test_models_of_the_same_name_are_told_apart(ratings: Interactions) -> None:
    found = compare(ratings, ["bias", "bias"], folds=2)
    assert {one.name for one in found} == {"bias", "bias (2)"}  # type: ignore[union-attr]


class Never(Silent):
    """A Listener that no fit may reach."""

    def started(self, model: str, epochs: int) -> None:
        raise AssertionError(f"{model} began, of {epochs} epochs")


@pytest.mark.parametrize(("models", "named"), [(["als", "mf"], "mf"), (["als", "sequence"], "sequence")])
def test_a_model_that_cannot_learn_from_the_table_is_named_before_any_is_fitted(models: list[str], named: str) -> None:
    table = pl.DataFrame({"user": [1, 1, 2, 2, 3, 3], "item": [1, 2, 1, 3, 2, 3]})
    taken = penchant.read_ratings(table, implicit=True)
    with pytest.raises(UnsupportedError, match=f"The {named} model learns from"):
        compare(taken, models, valid_fraction=0.3, listener=Never())
