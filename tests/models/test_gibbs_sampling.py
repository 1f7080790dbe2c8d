"""Chains of Gibbs sweeps: that they keep their own books, and that they sample what their docstring says.

Two tests of the second kind draw parameters from the prior and ratings from the parameters. Such a parameter is a
draw from the posterior of its ratings, so sweeps that start there must leave it one: after any number of sweeps,
parameters are distributed by their prior (Geweke 2004). And where a chain that starts elsewhere has forgotten where,
the rank of the true value among its values is uniform (Talts et al. 2018). The first needs no mixing, the second
tests it as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from penchant.models.blocks import Block, Design, Entries, find_runs
from penchant.models.gibbs_sampling import NU, STRETCH_AFTER, Chain, Sample

USERS, ITEMS, MONTHS = 6, 5, 3
UNNAMED_USER = USERS - 1  # has no ratings
STRICT = 1e-4  # of each of some hundred tests in all
BINS = 10
PRIOR = 0.7, 0.4  # shape and rate of the precisions of groups of features


def design_of(rows: Any, words: bool = True) -> Design:
    """Users, items (perhaps with words), and a month where rows have a third."""
    rows = np.asarray(rows, np.int32)
    groups = [Entries.identity("items", ITEMS)]
    if words:
        having, word = np.array([[0, 1, 2, 3, 3], [0, 0, 1, 1, 0]], np.int32)
        groups.append(Entries.sets("words", having, word, ITEMS, 2))
    users, months = Entries.identity("users", USERS), Entries.identity("months", MONTHS)
    blocks = (Block.of(USERS, [users]), Block.of(ITEMS, groups), Block.of(MONTHS, [months]))
    return Design(blocks[: len(rows)], rows)


def random_design(seed: int, n: int = 60, words: bool = True) -> Design:
    draw = np.random.default_rng(seed)
    users = np.sort(draw.integers(0, UNNAMED_USER, n))
    return design_of([users, draw.integers(0, ITEMS, n), draw.integers(0, MONTHS, n)], words)


def random_ratings(n: int, seed: int) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).integers(1, 11, n) / 2).astype(np.float32)


def chain_after(sweeps: int, seed: int = 3, design: Design | None = None, factors: int = 2) -> Chain:
    design = design or random_design(1)
    chain = Chain(design, random_ratings(design.rows.shape[1], 2), factors, np.random.default_rng(seed))
    for _ in range(sweeps):
        chain.sweep()
    return chain


def state(chain: Chain) -> bytes:
    sample = chain.sample()
    return b"".join(np.asarray(value).tobytes() for value in vars(sample).values()) + chain.errors.tobytes()


def scores_of(chain: Chain, rows: NDArray[np.int32]) -> NDArray[np.float64]:
    scores = np.zeros(rows.shape[1])
    numbered = (rows + chain.design.row_starts[:-1, None]).astype(np.int32)
    chain.add_scores(numbered, scores)
    return scores


# The books.


@pytest.mark.parametrize("factors", [0, 1, 5])
@pytest.mark.parametrize("sweeps", [0, 1, 50])
def test_errors_are_ratings_minus_scores(sweeps: int, factors: int) -> None:
    chain = chain_after(sweeps, factors=factors)
    ratings = random_ratings(len(chain.errors), 2)
    np.testing.assert_allclose(chain.errors, ratings - scores_of(chain, chain.design.rows), atol=1e-3)


@pytest.mark.parametrize("sweeps", [0, 1, 50])
def test_what_rows_keep_is_the_sum_over_their_features(sweeps: int) -> None:
    chain = chain_after(sweeps)
    starts, features = chain.design.row_starts, chain.design.feature_starts
    for number, block in enumerate(chain.design.blocks):
        rows, own = slice(*starts[number : number + 2]), slice(*features[number : number + 2])
        sums = np.array([block.row_sums(factor) for factor in chain.features[:, own]])
        squares = np.array([block.row_squares(factor) for factor in chain.features[:, own]])
        np.testing.assert_allclose(chain.factors[:, rows], sums, atol=1e-4)
        np.testing.assert_allclose(chain.within[rows], (sums**2 - squares).sum(axis=0) / 2, atol=1e-3)
        np.testing.assert_allclose(chain.row_weights[rows], block.row_sums(chain.weights[own]), atol=1e-4)


def test_scores_are_those_of_the_formula_for_any_pair() -> None:
    chain = chain_after(5)
    rows = np.array([[UNNAMED_USER, 0, 2], [3, 3, 4], [0, 2, 1]], np.int32)
    expected = np.full(3, chain.level)
    for n in range(3):
        x = np.zeros(chain.design.n_features)
        for number, block in enumerate(chain.design.blocks):
            one_hot = np.eye(block.n_features)
            own = slice(*chain.design.feature_starts[number : number + 2])
            x[own] = [block.row_sums(feature)[rows[number, n]] for feature in one_hot]
        expected[n] += x @ chain.weights
        for j in range(len(x)):
            for other in range(j):
                expected[n] += chain.features[:, j] @ chain.features[:, other] * x[j] * x[other]
    np.testing.assert_allclose(scores_of(chain, rows), expected, rtol=1e-5, atol=1e-5)


def test_the_order_of_ratings_matters_to_rounding_alone() -> None:
    design, ratings = random_design(1), random_ratings(60, 2)
    order = np.random.default_rng(7).permutation(60)
    chains = []
    for by in (np.arange(60), order):
        chain = Chain(Design(design.blocks, design.rows[:, by].copy()), ratings[by], 2, np.random.default_rng(3))
        for _ in range(3):
            chain.sweep()
        chains.append(chain)
    np.testing.assert_allclose(chains[0].features, chains[1].features, atol=1e-4)
    np.testing.assert_allclose(chains[0].errors[order], chains[1].errors, atol=1e-3)


def test_the_same_seed_gives_the_same_bytes() -> None:
    first = state(chain_after(5))
    np.random.default_rng(3).random(10)
    disturbed = chain_after(2)
    chain_after(4, seed=9)  # another chain in between
    for _ in range(3):
        disturbed.sample()  # a look at it
        disturbed.sweep()
    assert state(disturbed) == first
    assert state(chain_after(5, seed=4)) != first


def test_what_a_chain_is_given_stays_as_it_was() -> None:
    design, ratings = random_design(1), random_ratings(60, 2)
    before = ratings.tobytes(), design.rows.tobytes(), *(block.entry_values.tobytes() for block in design.blocks)
    chain = Chain(design, ratings, 2, np.random.default_rng(3))
    chain.sweep()
    after = ratings.tobytes(), design.rows.tobytes(), *(block.entry_values.tobytes() for block in design.blocks)
    assert after == before


def test_a_sample_stays_as_it_was_taken() -> None:
    chain = chain_after(2)
    sample = chain.sample()
    before = [np.array(value) for value in vars(sample).values()]
    chain.sweep()
    for value, old in zip(vars(sample).values(), before, strict=True):
        np.testing.assert_array_equal(value, old)
    for value, new in zip(vars(sample).values(), vars(chain.sample()).values(), strict=True):
        assert np.any(value != new)


def scores_by(sample: Sample, chain: Chain) -> NDArray[np.float64]:
    """Of the chain's ratings, from rows."""
    rows = chain.design.rows + chain.design.row_starts[:-1, None]
    together = sample.factors[:, rows]  # (factors, blocks, n)
    pairs = (together.sum(axis=1) ** 2 - (together**2).sum(axis=1)).sum(axis=0) / 2
    return sample.level + sample.row_biases[rows].sum(axis=0) + pairs


def test_a_sample_has_the_scores_of_its_chain() -> None:
    chain = chain_after(5)
    np.testing.assert_allclose(scores_by(chain.sample(), chain), scores_of(chain, chain.design.rows), atol=1e-4)


def test_a_sample_on_another_scale_has_the_scores_of_that_scale() -> None:
    chain = chain_after(5)
    sample = chain.sample()
    scaled = sample.scaled(3.0, 2.5)
    np.testing.assert_allclose(scores_by(scaled, chain), 3 + 2.5 * scores_by(sample, chain), atol=1e-3)
    np.testing.assert_allclose(scaled.user_precisions, sample.user_precisions / 2.5**2)
    assert scaled.noise == pytest.approx(sample.noise * 2.5**2)
    for number, block in enumerate(chain.design.blocks):  # rows are still the sums over their features
        rows, own = chain._rows_of(number), chain._features_of(number)
        sums = np.array([block.row_sums(factor) for factor in scaled.features[:, own]])
        squares = np.array([block.row_squares(factor) for factor in scaled.features[:, own]])
        np.testing.assert_allclose(scaled.factors[:, rows], sums, atol=1e-4)
        biases = block.row_sums(scaled.weights[own]) + (sums**2 - squares).sum(axis=0) / 2
        np.testing.assert_allclose(scaled.row_biases[rows], biases, atol=1e-3)


def test_on_another_scale_features_stand_where_they_stood_in_their_prior() -> None:
    chain = chain_after(5)
    values = []
    for sample in (chain.sample(), chain.sample().scaled(3.0, 2.5)):
        all_values = np.vstack([sample.features, sample.weights])
        means, precisions = (of_features(chain, of_groups) for of_groups in (sample.means, sample.precisions))
        values.append((all_values - means) * np.sqrt(precisions))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4, atol=1e-4)


def test_the_mean_rating_is_the_centre_unless_told() -> None:
    design, ratings = random_design(1), random_ratings(60, 2)
    chains = [Chain(design, ratings, 2, np.random.default_rng(3), centre=c) for c in (None, ratings.mean(), -5.0)]
    for chain in chains:
        chain.sweep()
    np.testing.assert_allclose(chains[0].weights, chains[1].weights, atol=1e-5)
    assert chains[2].level < chains[0].level - 0.01


def test_only_ratings_of_one_row_that_follow_each_other_are_runs() -> None:
    bounds, rows = find_runs(np.repeat([4, 0, 4], [5, 3, 4]).astype(np.int32))
    assert (bounds.tolist(), rows.tolist()) == ([0, 5, 8, 12], [4, 0, 4])
    assert (bounds.dtype, rows.dtype) == (np.int64, np.int32)
    for scattered in ([0, 1, 2, 3], [0, 0, 1, 1], []):
        bounds, rows = find_runs(np.array(scattered, np.int32))
        assert (bounds.tolist(), rows.tolist()) == ([0], [])


def test_an_erratic_user_is_found_to_be_one() -> None:
    draw = np.random.default_rng(5)
    users = np.repeat(np.arange(UNNAMED_USER), 100)
    design = design_of([users, draw.integers(0, ITEMS, len(users))])
    deviations = np.array([0.3, 0.3, 2.0, 0.3, 0.3])
    ratings = (3.5 + deviations[users] * draw.standard_normal(len(users))).astype(np.float32)
    chain = Chain(design, ratings, 1, np.random.default_rng(6))
    found = []
    for _ in range(100):
        chain.sweep()
        found.append(chain.user_precisions)
    expected = 1 / np.mean(found[50:], axis=0)[:UNNAMED_USER]
    np.testing.assert_allclose(np.sqrt(expected), deviations, rtol=0.2)


# What is sampled.


def chain_from_prior(design: Design, factors: int, draw: np.random.Generator) -> tuple[Chain, NDArray[np.float32]]:
    """A chain whose parameters are drawn from the prior, and ratings drawn from these."""
    n = design.rows.shape[1]
    chain = Chain(design, np.zeros(n, np.float32), factors, draw, centre=0.0, feature_prior=PRIOR)
    chain._swept = STRETCH_AFTER
    chain.level, chain._nu = draw.standard_normal(), float(draw.choice(NU))
    chain._variance = draw.gamma(1 / 2) / (1 / 2)
    chain.user_precisions = draw.gamma(chain._nu / 2, size=USERS) / (chain._nu * chain._variance / 2)
    chain.precisions = draw.gamma(PRIOR[0], size=chain.precisions.shape) / PRIOR[1]
    chain.means = draw.standard_normal(chain.means.shape) / np.sqrt(chain.precisions)
    spread = draw.standard_normal((factors + 1, design.n_features)) / np.sqrt(of_features(chain, chain.precisions))
    values = (of_features(chain, chain.means) + spread).astype(np.float32)
    chain.features, chain.weights = values[:-1].copy(), values[-1].copy()
    chain.within[:] = 0
    chain._fill_rows()
    for number, block in enumerate(design.blocks):
        chain.row_weights[chain._rows_of(number)] = block.row_sums(chain.weights[chain._features_of(number)])
    scores = scores_of(chain, design.rows)
    ratings = scores + draw.standard_normal(n) / np.sqrt(chain.user_precisions[design.rows[0]])
    chain.errors = (ratings - scores).astype(np.float32)
    return chain, ratings.astype(np.float32)


def of_features(chain: Chain, of_groups: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.repeat(of_groups, np.diff(chain.design.group_bounds), axis=1)


def standardised(chain: Chain) -> dict[str, NDArray[np.float64]]:
    """Parts of the state, as the prior sees them given those above them: normal or Gamma with known parameters."""
    roots = np.sqrt(chain.precisions)
    values = np.vstack([chain.features, chain.weights])
    return {
        "level": np.array([chain.level]),
        "variance": np.array([chain._variance]),
        "nu": np.array([chain._nu]),
        "user precision": chain.user_precisions * chain._nu * chain._variance / 2,
        "precision": chain.precisions.ravel(),
        "mean": (chain.means * roots).ravel(),
        "parameter": ((values - of_features(chain, chain.means)) * of_features(chain, roots)).ravel(),
        "error": chain.errors * np.sqrt(chain.user_precisions[chain.design.rows[0]]),
    }


def chances(name: str, values: NDArray[np.float64], nu: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where values stand in their prior distribution, uniform in 0 to 1."""
    distributions: dict[str, Callable[[Any], Any]] = {
        "variance": stats.gamma(1 / 2, scale=2).cdf,
        "precision": stats.gamma(PRIOR[0], scale=1 / PRIOR[1]).cdf,
        "user precision": stats.gamma(nu / 2).cdf,
        "nu": lambda found: (np.searchsorted(NU, found) + 0.5) / len(NU),
    }
    return distributions.get(name, stats.norm.cdf)(values)


@pytest.mark.parametrize(("words", "factors"), [(False, 1), (True, 2)])
def test_sweeps_keep_the_prior_where_ratings_come_from_the_model(words: bool, factors: int) -> None:
    assert {name: p for name, p in prior_tests(words, factors, repeats=1500, sweeps=6).items() if p < STRICT} == {}


def prior_tests(words: bool, factors: int, repeats: int, sweeps: int) -> dict[str, float]:
    """Chi-square tests of each number of the state, and of those of a kind together: the prior has them independent."""
    draw, found = np.random.default_rng(11), defaultdict(list)
    for _ in range(repeats):
        rows = [np.sort(draw.integers(0, UNNAMED_USER, 16)), draw.integers(0, ITEMS, 16)]
        chain, _ = chain_from_prior(design_of(rows, words), factors, draw)
        for _ in range(sweeps):
            chain.sweep()
        for name, values in standardised(chain).items():
            found[name].append(values)
    nu = np.array(found["nu"])
    p = {}
    for name, values in found.items():
        bins, places = len(NU) if name == "nu" else BINS, chances(name, np.array(values), nu)
        for at, own in [("", places), *enumerate(places.T)]:
            p[f"{name} {at}"] = float(stats.chisquare(np.histogram(own, bins, (0, 1))[0]).pvalue)
    return p


def test_ranks_of_true_values_among_those_of_a_chain_are_uniform() -> None:
    assert {name: p for name, p in rank_tests(words=True, repeats=110, thin=20).items() if p < STRICT} == {}


def rank_tests(words: bool, repeats: int, thin: int) -> dict[str, float]:
    """The chi-square test of each quantity, chains starting where they always do."""
    ranks: dict[str, list[int]] = defaultdict(list)
    draw = np.random.default_rng(12)
    for truth, design, ratings in informative_ratings(words, repeats, draw):
        chain = Chain(design, ratings, 1, draw, centre=0.0, feature_prior=PRIOR)
        below = dict.fromkeys(truth, 0)
        for at in range(-3, BINS - 1):  # the first are forgotten
            for _ in range(thin):
                chain.sweep()
            for name, value in quantities(chain).items():
                below[name] += at >= 0 and value < truth[name]
        for name, rank in below.items():
            ranks[name].append(rank)
    return {name: float(stats.chisquare(np.bincount(own, minlength=BINS)).pvalue) for name, own in ranks.items()}


def informative_ratings(
    words: bool, repeats: int, draw: np.random.Generator
) -> Iterator[tuple[dict[str, float], Design, NDArray[np.float32]]]:
    """Eight pairs rated twice, chosen by these ratings alone, which leaves ranks uniform.

    Where two ratings of a pair lie very close or very far from each other, or ratings far from 0, the posterior has
    corners that a sampler of one coordinate at a time leaves only after thousands of sweeps.
    """
    while repeats:
        cells = np.repeat(np.sort(draw.choice(UNNAMED_USER * ITEMS, 8, replace=False)), 2)
        design = design_of(np.divmod(cells, ITEMS), words)
        chain, ratings = chain_from_prior(design, 1, draw)
        apart = np.abs(np.diff(ratings.reshape(-1, 2)))
        if apart.min() > 0.15 and apart.max() < 5 and np.abs(ratings).max() < 10:
            repeats -= 1
            yield quantities(chain), design, ratings


def quantities(chain: Chain) -> dict[str, float]:
    """Numbers that do not change when a factor changes its sign."""
    seen, new = scores_of(chain, np.stack([chain.design.rows[:, 0], (2, 3)], axis=1).astype(np.int32))
    return {
        "level": chain.level,
        "score": seen,
        "score of any pair": new,
        "log precision of a user": np.log(chain.user_precisions[1]),
        "log precision of a user without ratings": np.log(chain.user_precisions[UNNAMED_USER]),
        "log variance": np.log(chain._variance),
        "log precision of users' weights": np.log(chain.precisions[-1, 0]),
        "log precision of items' factors": np.log(chain.precisions[0, 1]),
        "difference of weights": float(chain.weights[1] - chain.weights[2]),
        "product of factors": float(chain.features[0, 0] * chain.features[0, USERS + 1]),
    }
