"""Fold-in against closed forms and against a general optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from penchant.models.folding import SMALLEST_VARIANCE, Prior, most_probable
from penchant.models.ranges import Squash

Array = NDArray[np.float64]
D = 4


def prior_of(seed: int, noise: float = 0.7) -> Prior:
    draw = np.random.default_rng(seed)
    root = draw.standard_normal((D, D))
    return Prior(draw.standard_normal(D), root @ root.T + 0.1 * np.eye(D), noise)


def items(n: int, seed: int) -> tuple[Array, Array, Array]:
    """A design (n, D), offsets (n,) and ratings (n,)."""
    draw = np.random.default_rng(seed)
    return draw.standard_normal((n, D)), 0.3 * draw.standard_normal(n), draw.integers(1, 11, n) / 2


def linear(design: Array, offset: Array) -> Any:
    return lambda vector: (offset + design @ vector, design)


def squashed(design: Array, offset: Array) -> Any:
    squash = Squash.of((0, 5.5), (0.5, 5))

    def predict(vector: Array) -> tuple[Array, Array]:
        values, slopes = squash.with_slope(offset + design @ vector)
        return values, slopes[:, None] * design

    return predict


def loss_of(prior: Prior, predict: Any, ratings: Array) -> Any:
    def loss(vector: Array) -> float:
        residuals, away = ratings - predict(vector)[0], vector - prior.mean
        return float(residuals @ residuals / prior.noise + away @ np.linalg.solve(prior.covariance, away))

    return loss


@pytest.mark.parametrize("n", [1, 3, 4, 40])
def test_linear_predictions_give_ridge_regression(n: int) -> None:
    """The closed form in the space of dimensions: (A'A / noise + C^-1)^-1 (A'r / noise + C^-1 mean)."""
    prior, (design, offset, ratings) = prior_of(n), items(n, n)
    precision = np.linalg.inv(prior.covariance)
    left = design.T @ design / prior.noise + precision
    right = design.T @ (ratings - offset) / prior.noise + precision @ prior.mean
    found = most_probable(prior, linear(design, offset), ratings)
    np.testing.assert_allclose(found, np.linalg.solve(left, right), rtol=1e-8, atol=1e-10)


def test_one_dimension_in_numbers() -> None:
    """Prior N(1, 2), noise 0.5, rating 4 of the vector itself: (4/0.5 + 1/2) / (1/0.5 + 1/2) = 3.4."""
    prior = Prior(np.array([1.0]), np.array([[2.0]]), 0.5)
    found = most_probable(prior, linear(np.ones((1, 1)), np.zeros(1)), np.array([4.0]))
    assert found == pytest.approx((4 / 0.5 + 1 / 2) / (1 / 0.5 + 1 / 2))


@pytest.mark.parametrize("n", [1, 5, 60])
@pytest.mark.parametrize("noise", [0.05, 0.7])
def test_squashed_predictions_leave_no_slope(n: int, noise: float) -> None:
    """Eight Gauss-Newton steps leave at most a five-hundredth of the slope at the start, and of the loss nothing."""
    prior, (design, offset, ratings) = prior_of(10 + n, noise), items(n, 20 + n)
    predict = squashed(design, offset)
    loss = loss_of(prior, predict, ratings)
    found = most_probable(prior, predict, ratings)
    slope = scipy.optimize.approx_fprime(found, loss, 1e-7)
    slope_at_start = scipy.optimize.approx_fprime(prior.mean, loss, 1e-7)
    assert np.linalg.norm(slope) < 2e-3 * np.linalg.norm(slope_at_start)
    best = scipy.optimize.minimize(loss, found, tol=1e-12)
    assert loss(found) <= best.fun * (1 + 1e-4)


def test_no_ratings_give_the_mean() -> None:
    prior = prior_of(1)
    found = most_probable(prior, linear(np.empty((0, D)), np.empty(0)), np.empty(0))
    np.testing.assert_array_equal(found, prior.mean)
    assert found is not prior.mean


def test_more_of_the_same_ratings_move_further_from_the_mean() -> None:
    prior, design = prior_of(2), items(1, 2)[0]
    distances = []
    for n in (1, 4, 16):
        found = most_probable(prior, linear(np.repeat(design, n, axis=0), np.zeros(n)), np.full(n, 5.0))
        distances.append(abs(5 - float(design[0] @ found)))
    assert distances[0] > distances[1] > distances[2] > 0


def test_a_step_that_would_make_things_worse_is_not_taken() -> None:
    """Far out the sigmoid is flat, and a full Gauss-Newton step flies away."""
    prior = Prior(np.array([9.0]), np.array([[400.0]]), 1e-3)
    predict = squashed(np.ones((3, 1))[:, [0]], np.zeros(3))
    ratings = np.array([0.5, 0.6, 0.4])
    loss = loss_of(prior, predict, ratings)
    assert loss(most_probable(prior, predict, ratings)) < loss(prior.mean)


def test_the_prior_is_the_mean_and_covariance_of_the_users() -> None:
    vectors = np.random.default_rng(3).standard_normal((50, D)).astype(np.float32)
    prior = Prior.of(vectors, 0.8)
    expected = np.cov(vectors.astype(np.float64), rowvar=False)
    expected += 1e-3 * np.trace(expected) / D * np.eye(D)
    np.testing.assert_allclose(prior.covariance, expected, rtol=1e-12)
    np.testing.assert_allclose(prior.mean, vectors.mean(axis=0, dtype=np.float64), rtol=1e-12)
    assert prior.noise == 0.8


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_users_than_dimensions_still_make_a_prior(n: int) -> None:
    prior = Prior.of(np.random.default_rng(n).standard_normal((n, D)).astype(np.float32), 0.0)
    assert prior.covariance.shape == (D, D)
    assert prior.noise == SMALLEST_VARIANCE
    prior.check()
    design, offset, ratings = items(2, 1)
    assert np.isfinite(most_probable(prior, linear(design, offset), ratings)).all()


def test_vectors_of_one_number() -> None:
    prior = Prior.of(np.array([[1.0], [3.0]], np.float32), 1.0)
    assert prior.mean.tolist() == [2]
    assert prior.covariance.tolist() == [[2 + 1e-3 * 2]]


def test_packed_and_unpacked() -> None:
    prior = prior_of(5)
    arrays = prior.pack()
    assert {name: array.shape for name, array in arrays.items()} == Prior.shapes(D)
    again = Prior.unpack(arrays)
    np.testing.assert_array_equal(again.mean, prior.mean)
    np.testing.assert_array_equal(again.covariance, prior.covariance)
    assert again.noise == prior.noise


@pytest.mark.parametrize(
    "prior",
    [
        Prior(np.zeros(2), np.eye(2), 0.0),
        Prior(np.zeros(2), np.eye(2), -1.0),
        Prior(np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]), 1.0),
        Prior(np.zeros(2), np.zeros((2, 2)), 1.0),
    ],
    ids=["no noise", "negative noise", "indefinite", "singular"],
)
def test_what_is_no_prior(prior: Prior) -> None:
    with pytest.raises(ValueError):
        prior.check()
