"""Latent values and cuts of ordered ratings, against SciPy and against the truth that ratings were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from penchant.kernels import ordinal

CUTS = np.array([-np.inf, -1.0, 0.2, 1.5, np.inf])


@pytest.mark.parametrize("x", [-37.0, -8.0, -1.3, 0.0, 0.4, 6.0])
def test_the_chance_below_is_exact_in_the_tail(x: float) -> None:
    assert ordinal.normal_below(x) == pytest.approx(stats.norm.cdf(x), rel=1e-12)


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 0.3), (0.1, 0.2), (8.0, 9.0), (-9.0, -8.0), (30.0, np.inf)])
def test_the_chance_between_is_exact_in_both_tails(low: float, high: float) -> None:
    expected = stats.norm.sf(low) - stats.norm.sf(high) if low > 0 else stats.norm.cdf(high) - stats.norm.cdf(low)
    assert ordinal.normal_between(low, high) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("p", [1e-300, 1e-100, 1e-20, 1e-5, 0.01, 0.07, 0.0751, 0.3, 0.5])
def test_the_quantile_is_the_inverse(p: float) -> None:
    assert ordinal.normal_quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-9, abs=1e-12)


def test_latent_values_are_of_the_truncated_normal_distribution() -> None:
    n, draw = 4000, np.random.default_rng(1)
    for step, score, precision in ((0, 0.5, 4.0), (2, -0.3, 1.0), (3, -2.0, 0.5), (3, 3.0, 9.0)):
        latent, errors = np.full(n, score, np.float32), np.zeros(n, np.float32)
        uniforms = draw.random(n, np.float32)
        precisions = np.full(n, precision, np.float32)
        ordinal.sample_latent(latent, errors, np.full(n, step, np.int8), precisions, CUTS, uniforms)
        np.testing.assert_allclose(latent - errors, score, atol=1e-5)
        deviation = 1 / np.sqrt(precision)
        ends = (CUTS[step] - score) / deviation, (CUTS[step + 1] - score) / deviation
        assert stats.kstest(latent, stats.truncnorm(*ends, score, deviation).cdf).pvalue > 1e-3


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("score", [-60.0, 60.0])
def test_a_score_far_from_its_rating_gives_a_finite_value_within_the_cuts(score: float, uniform: float) -> None:
    for step in range(4):
        latent, errors = np.array([score], np.float32), np.zeros(1, np.float32)
        one = np.ones(1, np.float32)
        ordinal.sample_latent(latent, errors, np.array([step], np.int8), one, CUTS, one * np.float32(uniform))
        assert np.isfinite(latent[0])
        assert CUTS[step] - 1e-5 <= latent[0] <= CUTS[step + 1] + 1e-5


def test_cuts_are_found_and_the_outer_two_stay() -> None:
    n, draw = 20_000, np.random.default_rng(2)
    scores = draw.normal(0, 1, n).astype(np.float32)
    precisions = draw.uniform(0.5, 3, n).astype(np.float32)
    latent = scores + draw.standard_normal(n) / np.sqrt(precisions)
    true = np.array([-np.inf, -1.2, -0.1, 0.3, 1.0, np.inf])
    steps = (np.searchsorted(true, latent) - 1).astype(np.int8)
    counts = np.bincount(steps, minlength=5).astype(np.int64)
    cuts, found = np.array([-np.inf, -1.2, -0.9, 0.9, 1.0, np.inf]), []
    for _ in range(150):
        ordinal.sample_cuts(cuts, scores, steps, precisions, counts, draw.standard_normal(6), 1 - draw.random(6))
        found.append(cuts.copy())
    np.testing.assert_allclose(np.mean(found[75:], axis=0)[1:-1], true[1:-1], atol=0.04)
    assert (cuts[[1, 4]] == true[[1, 4]]).all()
    assert len(np.unique(np.array(found)[:, 2])) > 20  # it moves


def test_a_cut_goes_where_its_likelihood_says_one_rating_or_none() -> None:
    """Without ratings nothing holds a cut but its neighbours."""
    draw, cuts, found = np.random.default_rng(3), CUTS.copy(), []
    none = np.empty(0, np.float32)
    for _ in range(4000):
        ordinal.sample_cuts(
            cuts, none, np.empty(0, np.int8), none, np.zeros(4, np.int64), draw.standard_normal(5), 1 - draw.random(5)
        )
        found.append(cuts[2])
    assert np.mean(found) == pytest.approx((CUTS[1] + CUTS[3]) / 2, abs=0.1)
    assert np.std(found) == pytest.approx((CUTS[3] - CUTS[1]) / np.sqrt(12), rel=0.1)  # uniform
