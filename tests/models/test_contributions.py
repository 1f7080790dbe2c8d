"""What each rating adds to a score: against closed forms, other ways to part the same sum, and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.errors import UnsupportedError
from penchant.models import Model, build
from penchant.models.fitting import FitOptions
from penchant.models.folding import Prior, contributions, most_probable, pulls
from penchant.models.ranges import Squash

Array = NDArray[np.float64]
D = 4


def prior_of(seed: int, noise: float = 0.7) -> Prior:
    draw = np.random.default_rng(seed)
    root = draw.standard_normal((D, D))
    return Prior(draw.standard_normal(D), root @ root.T + 0.1 * np.eye(D), noise)


def predictor(design: Array, squash: Squash) -> Any:
    def predict(vector: Array) -> tuple[Array, Array]:
        values, slopes = squash.with_slope(design @ vector)
        return values, slopes[:, None] * design

    return predict


def some_items(n: int, seed: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    return 0.5 * draw.standard_normal((n, D)), draw.integers(1, 11, n) / 2


LINEAR, RANGE = Squash.of("none", (0.5, 5)), Squash.of((0, 5.5), (0.5, 5))


@pytest.mark.parametrize("squash", [LINEAR, RANGE], ids=["linear", "sigmoid"])
@pytest.mark.parametrize("n", [1, 3, 30])
def test_pulls_sum_to_how_far_the_vector_is_from_the_mean(squash: Squash, n: int) -> None:
    prior, (design, ratings) = prior_of(n), some_items(n, n)
    predict = predictor(design, squash)
    vector = most_probable(prior, predict, ratings)
    found = pulls(prior, predict, ratings, vector)
    assert found.shape == (n, D)
    np.testing.assert_allclose(prior.mean + found.sum(axis=0), vector, atol=2e-3 if squash is RANGE else 1e-9)


def test_pulls_are_the_same_sum_as_covariances_times_what_is_left() -> None:
    """The representer theorem: vector - mean = sum over j of covariance s_j (r_j - prediction_j) / noise."""
    prior, (design, ratings) = prior_of(2), some_items(9, 5)
    predict = predictor(design, LINEAR)
    vector = most_probable(prior, predict, ratings)
    left = ratings - predict(vector)[0]
    parted = (prior.covariance @ design.T * left / prior.noise).T
    found = pulls(prior, predict, ratings, vector)
    np.testing.assert_allclose(found.sum(axis=0), parted.sum(axis=0), atol=1e-9)
    assert np.abs(found - parted).max() > 0.01  # but another way to part it


def test_a_pull_is_what_its_rating_counts() -> None:
    """Where predictions are linear: the derivative of the vector by the rating, times what is unexpected of it."""
    prior, (design, ratings) = prior_of(3), some_items(7, 8)
    predict = predictor(design, LINEAR)
    vector = most_probable(prior, predict, ratings)
    found = pulls(prior, predict, ratings, vector)
    for j in range(7):
        moved = ratings + np.eye(7)[j]
        by_rating = most_probable(prior, predict, moved) - vector
        np.testing.assert_allclose(found[j], by_rating * (ratings[j] - design[j] @ prior.mean), atol=1e-9)


def test_contributions_in_a_range_sum_to_what_the_sigmoid_makes_of_the_vector() -> None:
    prior, (design, ratings) = prior_of(4), some_items(12, 6)
    predict, of_item = predictor(design, RANGE), predictor(np.array([[0.4, -0.2, 0.6, 0.1]]), RANGE)
    adds = contributions(prior, predict, ratings, of_item)
    moved = of_item(most_probable(prior, predict, ratings))[0][0] - of_item(prior.mean)[0][0]
    assert abs(moved) > 0.05
    assert adds.sum() == pytest.approx(moved, abs=2e-3)


def test_a_rating_as_expected_adds_nothing() -> None:
    prior, (design, ratings) = prior_of(5), some_items(6, 7)
    ratings[2] = design[2] @ prior.mean
    adds = contributions(prior, predictor(design, LINEAR), ratings, predictor(np.ones((1, D)), LINEAR))
    assert adds[2] == pytest.approx(0, abs=1e-12)
    assert (np.abs(np.delete(adds, 2)) > 1e-6).all()


def test_those_of_bias_are_damped_residuals_for_every_item(split: Split) -> None:
    model = fitted("bias", split, user_damping=2.0)
    arrays, history = model.arrays(), (np.array([4, 9, 30], np.int32), np.array([5, 1, 3.5], np.float32))
    expected = (history[1] - arrays["mean"][0] - arrays["item_biases"][history[0]]) / (3 + 2.0)
    for item in (0, 9, 70):
        np.testing.assert_allclose(model.contributions(*history, item), expected, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", "ordered-probit"])
@pytest.mark.parametrize("history", [True, False])
def test_those_of_bayes_sum_for_both_likelihoods(likelihood: str, history: bool, ratings: Interactions) -> None:
    quick = {"factors": 4, "chains": 1, "sweeps": 20, "burn_in": 10, "averaged_factors": 12, "samples": 3}
    model = fitted("bayes", split_none(ratings), likelihood=likelihood, history=history, **quick)
    nobody = scores(model, np.empty(0, np.int32), np.empty(0, np.float32))
    for n in (1, 2, 40):
        told = np.arange(3, 3 + n, dtype=np.int32), np.linspace(1, 5, n, dtype=np.float32)
        given = scores(model, *told)
        for item in (0, 11, 60):
            adds = model.contributions(*told, item)
            assert adds.sum() == pytest.approx(given[item] - nobody[item], abs=1e-5)


def test_in_bayes_an_average_rating_more_or_less_moves_the_score_as_much_as_it_says(ratings: Interactions) -> None:
    """Linear in the ratings: the difference of contributions is the difference of scores, and of one item's alone."""
    quick = {"factors": 4, "chains": 1, "sweeps": 20, "burn_in": 10, "averaged_factors": 200, "samples": 3}
    model = fitted("bayes", split_none(ratings), **quick)
    items, low, high = np.array([5, 8, 40], np.int32), np.array([4, 2, 3], np.float32), np.array([4, 5, 3], np.float32)
    difference = model.contributions(items, high, 17) - model.contributions(items, low, 17)
    moved = scores(model, items, high)[17] - scores(model, items, low)[17]
    assert abs(moved) > 1e-3
    np.testing.assert_allclose(difference, [0, moved, 0], atol=2e-6)


def test_popularity_cannot_tell(split: Split) -> None:
    with pytest.raises(UnsupportedError, match="popularity"):
        fitted("popularity", split).contributions(np.array([1], np.int32), np.array([1], np.float32), 3)


def fitted(name: str, split: Split, **settings: Any) -> Model:
    model = build(name, **settings)
    model.fit(split, FitOptions(seed=1))
    return model


def scores(model: Model, item_rows: Any, ratings: Any) -> Any:
    return model.scores_of(model.fold_in(item_rows, ratings)[None])[0].astype(np.float64)
