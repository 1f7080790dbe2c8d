"""Users held out altogether: nothing of them reaches training, and they are measured after being folded in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant import job
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none, split_users
from penchant.data.vocabulary import Vocabulary
from penchant.errors import InputError, SettingError, UnsupportedError
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.intervals import calibrate
from penchant.models import MODELS, build
from penchant.models.fitting import FitOptions
from penchant.newcomers import Newcomers, Questions
from penchant.rank_metrics import parse_rank_metric
from penchant.serving.measuring import measure
from penchant.serving.recommender import Recommender

FEW: dict[str, dict[str, Any]] = {
    "bayes": {"sweeps": 6, "burn_in": 2, "chains": 1, "factors": 3},
    "sequence": {"epochs": 2, "factors": 8},
}
RATED = [name for name, model in MODELS.items() if not model.ranks_only]


def make(name: str) -> Any:
    return build(name, **FEW.get(name, {}))


@pytest.fixture(scope="module")
def held_out(ratings: Interactions) -> Split:
    """By users, with times in the order of the table, which tell nothing but the order."""
    return split_users(replace(ratings, times=np.arange(len(ratings), dtype=np.int64)), 0.25, 0.7, seed=4)


@pytest.fixture(scope="module")
def mf(held_out: Split) -> Recommender:
    return job.fit_model(build("mf", factors=6, epochs=20), held_out, FitOptions(seed=1), ["rmse", "ndcg@10"])


def changed(part: Interactions) -> Interactions:
    """The same users with other ratings of other items."""
    return replace(part, item_rows=part.item_rows[::-1].copy(), ratings=np.full(len(part), 0.5, np.float32))


@pytest.mark.parametrize("name", MODELS)
def test_nothing_of_held_out_users_reaches_training(name: str, held_out: Split) -> None:
    """The arrays are those of a fit on the training part alone, whatever the held-out users took."""
    assert held_out.valid is not None
    assert held_out.given is not None
    other = replace(held_out, valid=changed(held_out.valid), given=changed(held_out.given))
    fits = [make(name) for _ in range(3)]
    logs = [
        model.fit(split, FitOptions(seed=3))
        for model, split in zip(fits, (split_none(held_out.train), held_out, other), strict=True)
    ]
    arrays = [{key: array.tobytes() for key, array in model.arrays().items()} for model in fits]
    assert arrays[0] == arrays[1] == arrays[2]
    assert all(epoch.valid_loss is None for log in logs for epoch in log.epochs)
    history = Recommender.of(fits[1], held_out).history
    assert history.in_training.all()
    assert len(history.item_rows) == len(held_out.train)


@pytest.mark.parametrize("name", MODELS)
def test_a_newcomer_is_asked_as_a_new_user(name: str, held_out: Split) -> None:
    """Scores are those of the vector that the model folds in from exactly what is given."""
    assert held_out.valid is not None
    assert held_out.given is not None
    model = make(name)
    model.fit(held_out, FitOptions(seed=3))
    asked = Questions.of_split(model, held_out)
    valid, given = held_out.valid, held_out.given
    _, given_items = given.rows_in(held_out.train.users, held_out.train.items)
    user = int(valid.user_rows[-1])
    mine = (given.user_rows == user) & (given_items >= 0)
    scores = model.scores_of(model.fold_in(given_items[mine], given.ratings[mine])[None])[0]
    its = np.flatnonzero((valid.user_rows == user) & (asked.item_rows >= 0))
    np.testing.assert_allclose(asked.scores[its], scores[asked.item_rows[its]], rtol=1e-4, atol=1e-4)
    assert asked.n_folded_in == len(np.unique(valid.user_rows))
    assert asked.n_unknown == held_out.n_unknown


@pytest.mark.parametrize("name", RATED)
def test_folded_in_is_better_than_average(name: str, held_out: Split) -> None:
    model = build("bayes", sweeps=60, burn_in=20, chains=2, factors=4) if name == "bayes" else make(name)
    recommender = job.fit_model(model, held_out, FitOptions(seed=3))
    valid = recommender.about["valid"]
    assert held_out.valid is not None
    average = measure(recommender, held_out.valid, ["rmse"]).to_json()
    assert valid["metrics"]["rmse"] < average["metrics"]["rmse"]
    assert valid["n_users_folded_in"] == len(np.unique(held_out.valid.user_rows))
    assert "n_users_folded_in" not in average
    assert average["n_unknown"] == len(held_out.valid)


def test_lists_of_newcomers_equal_a_slow_twin(mf: Recommender, held_out: Split) -> None:
    """Given items are left out; what is relevant is the rest."""
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    assert given is not None
    found = measure(mf, valid, ["recall@10", "auc"], given=given).lists
    assert found is not None
    recalls, areas = [], []
    for user in np.unique(valid.user_rows):
        rows = [part.rows_in(mf.users, mf.items)[1][part.user_rows == user] for part in (given, valid)]
        before = {int(row) for row in rows[0] if row >= 0}
        mine = given.ratings[given.user_rows == user][rows[0] >= 0]
        scores = mf.model.scores_of(mf.model.fold_in(rows[0][rows[0] >= 0], mine)[None])[0]
        ranked = sorted((row for row in range(len(scores)) if row not in before), key=lambda row: (-scores[row], row))
        recalls.append(len(set(ranked[:10]) & set(rows[1].tolist())) / len(rows[1]))
        relevant = [row in rows[1] for row in ranked]
        above = [sum(not other for other in relevant[at:]) for at, one in enumerate(relevant) if one]
        areas.append(sum(above) / (len(above) * (len(relevant) - len(above))) if above else np.nan)
    np.testing.assert_allclose(found.of_users["recall@10"], recalls)
    np.testing.assert_allclose(found.of_users["auc"], areas, atol=1e-3)  # scores of one and of many differ in a bit
    assert found.n_unknown_users == 0


def test_known_users_are_left_alone_and_strangers_stay_average(mf: Recommender, held_out: Split) -> None:
    """Of three kinds of users in one table only those are folded in that need it."""
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    assert given is not None
    some = np.unique(valid.user_rows)[::2]
    part = given.take(np.flatnonzero(np.isin(given.user_rows, some)))
    asked = mf.questions(valid, part)
    assert asked.n_folded_in == len(some)
    assert (asked.places >= 0).sum() == np.isin(valid.user_rows, some).sum()
    strangers = asked.places < 0
    np.testing.assert_array_equal(asked.scores[strangers], mf.questions(valid).scores[strangers])
    of_training = mf.questions(held_out.train, given)
    assert of_training.n_folded_in == 0
    np.testing.assert_array_equal(of_training.scores, mf.questions(held_out.train).scores)
    found = measure(mf, valid, ["recall@10"], given=part).lists
    assert found is not None
    assert found.n_unknown_users == len(np.unique(valid.user_rows)) - len(some)


def test_items_that_the_model_does_not_know(mf: Recommender, held_out: Split) -> None:
    """Given ones say nothing; a user of whom only such are given is a stranger. Asked for, they get a damped bias."""
    valid = held_out.valid
    assert valid is not None
    names = pl.Series(["a", "b"])
    users, items = Vocabulary.from_ids(pl.Series([900, 901]), "user"), Vocabulary.from_ids(names, "item")
    rows = np.array([0, 0, 1, 1], np.int32)
    told = Interactions(users, items, rows, np.array([0, 1, 0, 1], np.int32), np.full(4, 5, np.float32))
    known = Vocabulary(pl.Series(mf.items.ids.to_list()[:4]), "item")
    given = Interactions(users, known, rows[:3], np.array([0, 1, 2], np.int32), np.full(3, 5, np.float32))
    assert mf.questions(told, replace(given, items=Vocabulary(pl.Series(["x", "y", "z"]), "item"))).n_folded_in == 0
    asked = mf.questions(told, given)
    assert asked.n_folded_in == 2
    assert asked.n_unknown == 4
    average = mf.questions(told).scores
    of_items = mf.model.fallback.mean + mf.model.fallback.item_biases[mf.items.rows(known.take([0, 1, 2]))]
    expected = (5 - of_items[:2]).sum() / (2 + 5), (5 - of_items[2]) / (1 + 5)
    np.testing.assert_allclose(asked.scores - average, np.repeat(expected, 2), rtol=1e-4)


def test_many_newcomers_are_folded_in_when_asked_for(
    mf: Recommender, held_out: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room to keep their vectors, and few at a time, the answers are the same."""
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    before = mf.questions(valid, given).scores
    monkeypatch.setattr("penchant.newcomers.KEPT_NUMBERS", 0)
    monkeypatch.setattr("penchant.newcomers.SCORES_A_TIME", 3 * mf.model.n_items)
    np.testing.assert_allclose(mf.questions(valid, given).scores, before, rtol=1e-6)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_change_what_is_found(mf: Recommender, held_out: Split, threads: int) -> None:
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    assert given is not None
    reports = [measure(mf, valid, ["ndcg@10", "auc"], given=given, threads=n).to_json() for n in (1, threads)]
    assert reports[0] == reports[1]


def test_intervals_are_calibrated_on_folded_in_users(held_out: Split) -> None:
    """Those of other newcomers cover what they are asked to, and are narrower than those of average users."""
    model = build("bias")
    fitted = job.fit_model(model, held_out, FitOptions())
    coverage = fitted.about["valid"]["coverage"]
    assert next(one["covered"] for one in coverage["levels"] if one["level"] == 0.9) == pytest.approx(0.9, abs=0.06)
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    found = fitted.coverage(fitted.questions(valid, given)).at(0.9)
    assert found.covered >= 0.9
    average = calibrate(model, replace(held_out, given=None))
    assert average is not None
    as_average = replace(fitted, conformal=average).coverage(valid).at(0.9)
    assert found.width < as_average.width


def test_the_manifest_says_what_was_held_out(mf: Recommender, held_out: Split, tmp_path: Any) -> None:
    assert held_out.given is not None
    mf.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    split, data = loaded.about["split"], loaded.about["data"]
    assert split["n_given"] == len(held_out.given)
    assert split["n_unknown"] == held_out.n_unknown
    assert data["n_ratings"] == split["n_train"] + split["n_valid"] + split["n_given"]
    assert "of users" in split["how"]
    assert held_out.valid is not None
    again = measure(loaded, held_out.valid, ["rmse", "ndcg@10"], given=held_out.given, seed=1).to_json()
    assert again["metrics"] == pytest.approx(loaded.about["valid"]["metrics"], rel=1e-6)


def test_the_best_epoch_cannot_be_chosen_by_held_out_users(held_out: Split) -> None:
    for how in ({"patience": 2}, {"keep_best": True}):
        with pytest.raises(SettingError, match="folded in after the fit"):
            job.fit(held_out, "mf", **how)


def test_what_a_model_cannot_be_given(mf: Recommender, held_out: Split) -> None:
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    assert given is not None
    with pytest.raises(InputError, match="has no ratings, and a mf model folds users in from ratings"):
        mf.questions(valid, replace(given, is_implicit=True))
    with pytest.raises(ValueError, match="no validation part"):
        Questions.of_split(mf.model, split_none(held_out.train))
    weighted = split_none(replace(held_out.train, is_implicit=True))
    als = job.fit_model(build("als", factors=4), weighted, FitOptions())
    zero = replace(given, ratings=np.zeros(len(given), np.float32))
    with pytest.raises(InputError, match="weight of 0; weights are above 0"):
        als.questions(valid, zero)
    with pytest.raises(UnsupportedError, match="ranks items"):
        als.questions(valid, replace(given, is_implicit=True)).predictions()
    with pytest.raises(UnsupportedError, match="ranks items"):
        als.coverage(als.questions(valid))


def test_what_is_given_is_told_in_the_order_of_time(mf: Recommender, held_out: Split) -> None:
    """So that a model of sequences sees what came last as the last."""
    valid, given = held_out.valid, held_out.given
    assert valid is not None
    assert given is not None
    backwards = np.arange(len(given), 0, -1).astype(np.int64)
    user_rows = valid.rows_in(mf.users, mf.items)[0]
    forth = Newcomers.of(mf.model, mf.items, valid, user_rows, given)
    back = Newcomers.of(mf.model, mf.items, valid, user_rows, replace(given, times=backwards))
    for start, end in zip(forth.starts[:-1], forth.starts[1:], strict=True):
        assert back.item_rows[start:end].tolist() == forth.item_rows[start:end][::-1].tolist()


def test_lists_without_newcomers_are_as_before(mf: Recommender, held_out: Split) -> None:
    nobody = Newcomers.of(mf.model, mf.items, held_out.train, held_out.train.user_rows, held_out.train)
    held = HeldOut.of(held_out.train, (held_out.train.user_rows, held_out.train.item_rows))
    metrics = [parse_rank_metric("auc"), parse_rank_metric("ndcg@5")]
    nothing = np.zeros(len(mf.users) + 1, np.int64), np.empty(0, np.int32)
    with_nobody = evaluate_lists(mf.model, held, nothing, metrics, newcomers=nobody).to_json()
    assert with_nobody == evaluate_lists(mf.model, held, nothing, metrics).to_json()
