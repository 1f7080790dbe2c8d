"""The steps of a scale, and `bayes` with ratings that are steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from penchant.data.split import Split
from penchant.errors import SettingError, UnsupportedError
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.models.ordinal import MOST, Steps, distinct_steps, normal_below
from penchant.serving.recommender import Recommender

STEPS = Steps(np.array([1, 2, 4], np.float32), np.array([1.5, 3.1], np.float32), np.array([0.8, 2.2, 4.3], np.float32))
QUICK = {"factors": 4, "chains": 2, "sweeps": 60, "burn_in": 20, "averaged_factors": 32, "samples": 8}


def test_the_normal_distribution_is_close_enough() -> None:
    x = np.linspace(-9, 9, 2001)
    np.testing.assert_allclose(normal_below(x), stats.norm.cdf(x), atol=1e-7)
    assert normal_below(np.array([-np.inf, np.inf])).tolist() == [0, 1]


def test_what_to_expect_is_what_draws_give_on_average() -> None:
    draw = np.random.default_rng(1)
    scores, spread = np.array([0.5, 2.0, 5.0]), np.array([1.0, 0.3, 2.0])
    drawn = scores[:, None] + spread[:, None] * draw.standard_normal((3, 100_000))
    ratings = STEPS.ratings[np.searchsorted(STEPS.cuts, drawn)]
    np.testing.assert_allclose(STEPS.expected(scores, spread), ratings.mean(axis=1), atol=0.02)
    np.testing.assert_allclose(STEPS.deviations(scores, spread), ratings.std(axis=1), atol=0.02)
    chances = [(ratings == step).mean(axis=1) for step in STEPS.ratings]
    np.testing.assert_allclose(STEPS.chances(scores, spread), np.array(chances).T, atol=0.01)


def test_a_rating_between_steps_is_taken_for_the_nearest() -> None:
    np.testing.assert_array_equal(
        STEPS.centres_of(np.array([1.4, 4, 3.2], np.float32)), np.array([0.8, 4.3, 4.3], np.float32)
    )


def test_more_than_so_many_ratings_are_no_steps() -> None:
    assert len(distinct_steps(np.arange(MOST, dtype=np.float32))) == MOST
    assert len(distinct_steps(np.arange(MOST + 1, dtype=np.float32))) == 0
    assert distinct_steps(np.array([3, 1, 3], np.float32)).tolist() == [1, 3]


@pytest.fixture(scope="module")
def stepped(split: Split) -> Recommender:
    model = build("bayes", likelihood="ordered-probit", **QUICK)
    return Recommender.of(model, split, model.fit(split, FitOptions(seed=4)))


def test_steps_predict_about_as_well_as_numbers(stepped: Recommender, split: Split) -> None:
    assert split.valid is not None
    plain = build("bayes", **QUICK)
    plain.fit(split, FitOptions(seed=4))
    errors = [
        float(np.mean((model.predict(split.valid_user_rows, split.valid_item_rows) - split.valid.ratings) ** 2))
        for model in (stepped.model, plain)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)
    assert errors[0] < 0.8 * float(split.valid.ratings.var())


def test_cuts_lie_between_their_steps(stepped: Recommender) -> None:
    steps = stepped.model.steps  # type: ignore[attr-defined]
    assert (np.diff(steps.cuts) > 0).all()
    assert (np.diff(steps.centres) > 0).all()
    middles = (steps.ratings[1:] + steps.ratings[:-1]) / 2
    np.testing.assert_allclose(steps.cuts[[0, -1]], middles[[0, -1]], rtol=1e-5)


def test_scores_of_all_items_are_those_of_pairs_and_explained(stepped: Recommender) -> None:
    model = stepped.model
    items = np.arange(model.n_items, dtype=np.int32)
    scores = model.scores(np.array([7], np.int32))[0]
    np.testing.assert_allclose(scores, model.pair_scores(np.full(len(items), 7, np.int32), items), atol=1e-5)
    low, high = model.scale
    assert (scores >= low).all()
    assert (scores <= high).all()
    found = model.explain(model.user_vectors(np.array([7], np.int32))[0], 5)
    assert sum(found.parts.values()) == pytest.approx(float(scores[5]), abs=1e-5)


def test_a_user_folded_in_lands_near_where_training_put_them(stepped: Recommender, split: Split) -> None:
    model, train = stepped.model, split.train
    near = []
    for user in range(20):
        own = train.user_rows == user
        folded = model.scores_of(model.fold_in(train.item_rows[own], train.ratings[own])[None])[0]
        near.append(np.corrcoef(folded, model.scores(np.array([user], np.int32))[0])[0, 1])
    assert np.median(near) > 0.9


@pytest.mark.parametrize("likelihood", ["gaussian", "ordered-probit"])
def test_the_chances_of_steps_are_a_distribution_that_ratings_follow(likelihood: str, split: Split) -> None:
    assert split.valid is not None
    model = build("bayes", likelihood=likelihood, **QUICK)
    model.fit(split, FitOptions(seed=4))
    ratings, chances = model.distribution(split.valid_user_rows, split.valid_item_rows)  # type: ignore[attr-defined]
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    observed = [(split.valid.ratings == rating).mean() for rating in ratings]
    np.testing.assert_allclose(chances.mean(axis=0), observed, atol=0.06)


def test_saved_and_loaded_it_is_the_same(stepped: Recommender, tmp_path: Path) -> None:
    loaded = Recommender.load(stepped.save(tmp_path / "model"))
    users = np.arange(9, dtype=np.int32)
    np.testing.assert_array_equal(loaded.model.scores(users), stepped.model.scores(users))


def test_two_ratings_are_too_few_for_steps_and_hundreds_too_many(split: Split) -> None:
    from dataclasses import replace

    for ratings in (split.train.ratings > 3, split.train.ratings + np.linspace(0, 1, len(split.train))):
        other = replace(split, train=replace(split.train, ratings=ratings.astype(np.float32)), valid=None)
        with pytest.raises(SettingError, match="distinct ratings"):
            build("bayes", likelihood="ordered-probit", **QUICK).fit(other, FitOptions())
        model = build("bayes", **QUICK)
        model.fit(other, FitOptions())
        if len(np.unique(ratings)) > MOST:
            with pytest.raises(UnsupportedError, match="interval"):
                model.distribution(np.zeros(1, np.int32), np.zeros(1, np.int32))  # type: ignore[attr-defined]
