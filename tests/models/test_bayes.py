"""What is particular to `bayes`: nothing leaks, samples and their average agree, newcomers go by their columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.data.context import Context, Newcomers
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_random
from penchant.data.synthetic import planted
from penchant.errors import SettingError
from penchant.models import build
from penchant.models.averaging import AverageFactors
from penchant.models.bayes import Bayes
from penchant.models.designing import Wanted, make_design
from penchant.models.fitting import FitOptions, Silent

QUICK: dict[str, Any] = {"factors": 4, "chains": 2, "sweeps": 40, "burn_in": 10, "averaged_factors": 200, "samples": 60}
GENRES = ("drama", "comedy", "war")


def told(seed: int = 1) -> Interactions:
    """Planted ratings with genres that matter, ages, and times."""
    ratings = planted(60, 90, 3000, seed=seed)
    genre = np.arange(ratings.n_items) % 3
    moved = (ratings.ratings + np.array([0.8, 0, -0.8], np.float32)[genre[ratings.item_rows]]).astype(np.float32)
    return replace(
        ratings,
        ratings=moved,
        times=np.arange(len(ratings), dtype=np.int64) * 7_200,
        item_table=pl.DataFrame({"genre": [GENRES[row] for row in genre]}),
        user_table=pl.DataFrame({"age": [str(20 + row % 5) for row in range(ratings.n_users)]}),
    )


@pytest.fixture(scope="module")
def split() -> Split:
    return split_random(told(), 0.2, seed=3)


@pytest.fixture(scope="module")
def model(split: Split) -> Bayes:
    return fitted(split)


def fitted(split: Split, options: FitOptions | None = None, **settings: Any) -> Bayes:
    made = build("bayes", **{**QUICK, **settings})
    assert isinstance(made, Bayes)
    made.fit(split, options or FitOptions(seed=2))
    return made


def test_nothing_of_the_validation_ratings_gets_into_the_model(split: Split, model: Bayes) -> None:
    """Not their values, not who rated what, not when: with other ones all that is learnt is the same."""
    assert split.valid is not None
    other = replace(
        split.valid,
        ratings=split.valid.ratings[::-1].copy(),
        times=split.valid.times + 10**7,  # type: ignore[operator]
        user_rows=split.valid.user_rows[::-1].copy(),
    )
    again = fitted(Split(split.train, other, "other"))
    for name, array in model.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name], err_msg=name)


def test_sets_are_of_training_ratings_alone(split: Split) -> None:
    design, coding, order = make_design(split.train, Wanted(True, "auto", "auto", True, True))
    train = split.train
    block = design.blocks[0]
    rated = block.names.index("rated")
    features = np.arange(block.bounds[rated], block.bounds[rated + 1])
    found = {
        (int(row), item)
        for item, feature in enumerate(features)
        for row in block.entry_rows[block.starts[feature] : block.starts[feature + 1]]
    }
    assert found == set(zip(train.user_rows.tolist(), train.item_rows.tolist(), strict=True))
    assert sorted(order.tolist()) == list(range(len(train)))
    assert [block.n_rows for block in design.blocks] == list(coding.sizes)


def test_rows_of_training_ratings_are_found_again(split: Split) -> None:
    design, coding, order = make_design(split.train, Wanted(True, "auto", "auto", True, True))
    train = split.train
    assert train.times is not None
    found = coding.rows(train.user_rows[order], train.item_rows[order], train.times[order])
    np.testing.assert_array_equal(found - coding.starts[:-1, None], design.rows)


def test_what_is_not_known_is_in_the_last_row_of_its_block(split: Split) -> None:
    _, coding, _ = make_design(split.train, Wanted(False, "none", "none", True, True))
    users, items = np.array([-1, 3], np.int32), np.array([2, -1], np.int32)
    never = np.array([10**10, -(10**10)], np.int64)
    found = coding.rows(users, items, never) - coding.starts[:-1, None]
    last = np.array(coding.sizes)
    assert found[:2].tolist() == [[last[0], 3], [2, last[1]]]
    assert found[2].tolist() == [last[2] - 1, 0]  # months are clipped
    assert (found[3] == last[3]).all()
    now = coding.rows(users, items, None) - coding.starts[:-1, None]
    assert (now[2] == last[2] - 1).all()


def test_the_average_of_factorisations_is_exact_where_there_is_room() -> None:
    draw = np.random.default_rng(1)
    parts = [draw.standard_normal((3, 20)).astype(np.float32) for _ in range(6)]
    average = AverageFactors(draw.uniform(0.5, 5, 20), 18)
    for part in parts:
        average.add(part)
    found = average.result()
    expected = np.mean([part.T @ part for part in parts], axis=0)
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-4)


def test_the_average_keeps_what_matters_where_there_is_not() -> None:
    """A product that all samples share comes through; what is another's in each does not."""
    draw = np.random.default_rng(2)
    shared = draw.standard_normal((2, 200)).astype(np.float32)
    average = AverageFactors(np.ones(200), 8)
    for _ in range(40):
        noise = 0.3 * draw.standard_normal((2, 200)).astype(np.float32)
        average.add(np.concatenate((shared, noise)))
    found, expected = average.result(), shared.T @ shared
    off = ~np.eye(200, dtype=bool)
    assert found.shape == (200, 8)
    assert np.abs((found @ found.T - expected)[off]).mean() < 0.03 * np.abs(expected[off]).mean()


def test_scores_are_the_average_over_samples(split: Split, model: Bayes) -> None:
    """With every sample kept, and room for all factors; what is left is the rounding of float16."""
    users, items = split.train.user_rows[:500], split.train.item_rows[:500]
    assert split.train.times is not None
    times = split.train.times[:500]
    samples = model.posterior.scores(model.coding.rows(users, items, times))
    scores = model.pair_scores(users, items, Context(times))
    assert np.abs(scores - samples.mean(axis=0)).mean() < 0.1 * samples.std(axis=0).mean()


def test_times_of_training_matter(split: Split, model: Bayes) -> None:
    users, items = split.train.user_rows[:50], split.train.item_rows[:50]
    assert split.train.times is not None
    then = model.pair_scores(users, items, Context(split.train.times[:50]))
    assert not np.allclose(then, model.pair_scores(users, items))


def newcomers(side: str, n: int, table: dict[str, list[str]]) -> Context:
    return Context(**{side: Newcomers(np.arange(n, dtype=np.int32), pl.DataFrame(table))})  # type: ignore[arg-type]


def test_an_item_without_ratings_is_scored_by_its_genre(model: Bayes) -> None:
    users, unknown = np.arange(3, dtype=np.int32).repeat(3), np.full(9, -1, np.int32)
    scores = model.pair_scores(users, unknown, newcomers("items", 9, {"genre": list(GENRES) * 3})).reshape(3, 3)
    assert (np.diff(scores, axis=1) < -0.3).all()
    blank = model.pair_scores(users, unknown)
    np.testing.assert_allclose(blank, model.fallback.predict(users, unknown))
    assert model.deviations(users, unknown).mean() > model.deviations(users, users).mean()


def test_a_newcomer_is_the_sum_of_its_features_in_each_sample(model: Bayes) -> None:
    posterior, coding = model.posterior, model.coding
    (feature,) = coding.item_features
    first = sum(count for _, count in coding.shared(0)) + coding.n_users  # after users', and the set of raters
    new = Newcomers(np.zeros(1, np.int32), pl.DataFrame({"genre": ["war"]}))
    unknown = int(coding.starts[2]) - 1
    war = first + feature.members.index("war")
    for sample, (bias, factors) in enumerate(posterior.newcomers(1, new, coding)):
        own, added = posterior.factors[sample, unknown].astype(float), posterior.features[sample, war].astype(float)
        np.testing.assert_allclose(factors[0], own + added, atol=1e-3)
        expected = float(posterior.biases[sample, unknown]) + float(posterior.weights[sample, war]) + own @ added
        assert bias[0] == pytest.approx(expected, abs=2e-3)


def test_newcomers_on_both_sides_and_unknown_words_are_no_trouble(model: Bayes) -> None:
    rows = np.full(2, -1, np.int32)
    both = Context(
        users=Newcomers(np.arange(2, dtype=np.int32), pl.DataFrame({"age": ["22", None]})),
        items=Newcomers(np.array([1, 0], np.int32), pl.DataFrame({"genre": ["opera|war", ""]})),
    )
    scores, deviations = model.pair_scores(rows, rows, both), model.deviations(rows, rows, both)
    assert np.isfinite(scores).all()
    assert (deviations > 0).all()


class Impatient(Silent):
    """Presses Ctrl-C when an epoch has begun."""

    def progressed(self, epoch: int, fraction: float) -> None:
        del fraction
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_fit_keeps_the_samples_so_far(split: Split) -> None:
    model = build("bayes", **QUICK)
    log = model.fit(split, FitOptions(seed=2, listener=Impatient()))
    assert (log.ending, len(log.epochs)) == ("interrupted", 2)
    users = np.arange(5, dtype=np.int32)
    assert np.isfinite(model.scores(users)).all()
    assert np.isfinite(model.deviations(users, users)).all()  # type: ignore[arg-type]
    model.check_arrays(split.train.n_users, split.train.n_items)


@pytest.mark.parametrize("settings", [{"chains": 1}, {"chains": 3, "samples": 2}, {"sweeps": 11}, {"factors": 1}])
def test_few_of_everything_is_no_trouble(settings: dict[str, int], split: Split) -> None:
    model = fitted(split, **settings)
    users = np.arange(5, dtype=np.int32)
    assert np.isfinite(model.scores(users)).all()
    assert (model.deviations(users, users) > 0).all()


def test_ratings_that_are_all_the_same_are_predicted() -> None:
    ratings = planted(20, 30, 300, seed=4)
    same = replace(ratings, ratings=np.full(len(ratings), 4, np.float32))
    model = fitted(Split(same, None, "all"))
    np.testing.assert_allclose(model.predict(np.arange(9, dtype=np.int32), np.arange(9, dtype=np.int32)), 4, atol=0.05)


def test_another_scale_of_ratings_gives_the_same_model_on_that_scale(split: Split, model: Bayes) -> None:
    train = replace(split.train, ratings=(20 * split.train.ratings - 7).astype(np.float32))
    scaled = fitted(Split(train, None, "scaled"))
    users, items = split.train.user_rows[:300], split.train.item_rows[:300]
    plain = model.pair_scores(users, items)
    assert np.corrcoef(plain, scaled.pair_scores(users, items))[0, 1] > 0.98
    np.testing.assert_allclose(scaled.pair_scores(users, items).mean(), 20 * plain.mean() - 7, rtol=0.02)


def test_columns_are_those_that_are_asked_for(split: Split) -> None:
    assert fitted(split, item_columns="none", history=False).coding.item_features == ()
    assert [f.name for f in fitted(split, item_columns=("genre",)).coding.item_features] == ["genre"]
    with pytest.raises(SettingError, match="no column 'director'"):
        fitted(split, item_columns=("director",))
    with pytest.raises(SettingError, match="thrown away"):
        build("bayes", sweeps=10, burn_in=10)
