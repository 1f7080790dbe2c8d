"""Looking into models: extremes, similar items, near names; and explanations as the formula has them."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from penchant.data.split import Split
from penchant.errors import UnsupportedError
from penchant.explain import Neighbours, Ranked, extreme_items, nearest_names
from penchant.models import Model, build
from penchant.models.fitting import FitOptions

FACTORS = [[1, 0], [2, 0], [1, 1], [0, 1], [-1, 0], [0, 0]]
MANY = np.full(6, 100)


class Looked:
    """What explain asks of a model, with given answers."""

    def __init__(self, factors: Any = FACTORS, biases: Any = (0.5, -1, 2, 0.5, -1, 0)) -> None:
        self.factors, self.biases = np.array(factors, np.float32), np.array(biases, np.float32)

    def item_factors(self) -> Any:
        return self.factors

    def item_biases(self) -> Any:
        return self.biases


def nearest(row: int, k: int, counts: Any = MANY, least: int | None = None, factors: Any = FACTORS) -> Ranked:
    return Neighbours.of(Looked(factors), counts).nearest(np.array([row], np.int32), k, least)[0]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mf(split: Split) -> Model:
    model = build("mf", factors=4, epochs=3)
    model.fit(split, FitOptions(seed=1))
    return model


def test_extremes_by_bias() -> None:
    best, worst = extreme_items(Looked(), 3)  # type: ignore[arg-type]
    assert best.rows.tolist() == [2, 0, 3]
    assert best.values.tolist() == [2, 0.5, 0.5]
    assert worst.rows.tolist() == [1, 4, 5]
    assert worst.values.tolist() == [-1, -1, 0]


def test_more_extremes_than_items_are_all_items() -> None:
    best, worst = extreme_items(Looked(), 99)  # type: ignore[arg-type]
    assert sorted(best.rows.tolist()) == sorted(worst.rows.tolist()) == list(range(6))
    assert best.values.tolist() == worst.values.tolist()[::-1]


def test_similar_items_by_cosine() -> None:
    found = nearest(0, 4)
    assert found.rows.tolist() == [1, 2, 3, 5]
    np.testing.assert_allclose(found.values, [1, 1 / sqrt(2), 0, 0], atol=1e-6)
    assert found.rows.dtype == np.int32


def test_an_item_is_not_similar_to_itself() -> None:
    assert 0 not in nearest(0, 99).rows
    assert len(nearest(0, 99).rows) == 5


@pytest.mark.parametrize(
    ("counts", "min_ratings", "rows"),
    [
        ([1, 1, 9, 9, 9, 9], 5, [2, 3, 5, 4]),
        ([1, 1, 9, 9, 9, 9], 0, [1, 2, 3, 5, 4]),
        ([1, 5, 9, 4, 9, 9], 5, [1, 2, 5, 4]),
        ([1, 5, 9, 4, 9, 9], 100, []),
        ([9, 0, 0, 0, 0, 0], None, [1, 2, 3, 5, 4]),  # ten times k are more than there are: all are taken
    ],
)
def test_items_with_too_few_ratings_are_left_out(counts: list[int], min_ratings: int | None, rows: list[int]) -> None:
    found = nearest(0, 5, np.array(counts), min_ratings)
    assert found.rows.tolist() == rows


@pytest.mark.parametrize(
    ("many", "some", "k", "least"),
    [
        (10, 10, 1, 20),  # ten items have 50 ratings: enough for a list of one, and more than 20 are not asked for
        (9, 10, 1, 15),
        (9, 11, 2, 15),
        (9, 10, 2, 5),
        (9, 10, 99, 5),
    ],
)
def test_twenty_ratings_or_as_many_as_leave_ten_times_k_items(many: int, some: int, k: int, least: int) -> None:
    """Of 30 items many have 50 ratings, some 15 and the others 5. A twin of item 0 shows who is let in."""
    counts = np.array([50] * many + [15] * some + [5] * (30 - many - some))
    for twin in (many - 1, many, 29):
        factors = np.random.default_rng(0).standard_normal((30, 3))
        factors[twin] = factors[0]
        first = nearest(0, k, counts, factors=factors).rows[0]
        assert (first == twin) == (counts[twin] >= least)


def test_neighbours_of_several_are_those_of_each() -> None:
    factors = np.random.default_rng(1).standard_normal((50, 7)).astype(np.float32)
    counts = np.random.default_rng(2).integers(0, 40, 50)
    rows = np.array([3, 49, 0, 3], np.int32)
    together = Neighbours(factors, counts).nearest(rows, 5)
    for row, found in zip(rows.tolist(), together, strict=True):
        alone = nearest(row, 5, counts, factors=factors)
        assert found.rows.tolist() == alone.rows.tolist()
        lengths = np.linalg.norm(factors[found.rows], axis=1) * np.linalg.norm(factors[row])
        np.testing.assert_allclose(found.values, factors[found.rows] @ factors[row] / lengths, rtol=1e-5)


def test_a_row_of_zeros_is_like_nothing_and_no_warning_comes() -> None:
    np.testing.assert_array_equal(nearest(5, 5).values, np.zeros(5))


def test_a_model_without_item_factors_says_which_have_them(split: Split) -> None:
    model = build("bias")
    model.fit(split)
    with pytest.raises(UnsupportedError, match="bias model has no item factors") as caught:
        Neighbours.of(model, np.ones(2, np.int64))
    assert "dot, mf, explicit-als, mlp, bayes, ease, als, bpr or sequence" in caught.value.remedy


NAMES = ["Alien (1979)", "Aliens (1986)", "Alien 3 (1992)", "Toy Story (1995)", "Toy Story 2 (1999)", "Casablanca"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("alien", [0, 1, 2]),
        ("TOY STORY", [3, 4]),
        ("Aliens (1986", [1, 0, 2]),
        ("casablnca", [5]),
        ("toy story 2", [4]),
        ("zzzz", []),
    ],
)
def test_near_names_hold_it_or_nearly_are_it(wanted: str, found: list[int]) -> None:
    assert nearest_names(wanted, NAMES)[: len(found)] == found
    assert bool(nearest_names(wanted, NAMES)) == bool(found)


def test_no_more_near_names_than_asked_for() -> None:
    assert nearest_names("a", NAMES, k=2) == [5, 0]
    assert len(nearest_names("a", [f"a{n}" for n in range(100)])) == 5


def test_the_causes_of_an_mf_score_are_the_terms_of_its_formula(mf: Model) -> None:
    """mean, user bias, item bias and match, added one after the other inside the sigmoid."""
    arrays = mf.arrays()
    user, item = 4, 17
    low, high = arrays["rating_range"].astype(np.float64)
    terms = [
        arrays["mean"][0],
        arrays["user_biases"][user],
        arrays["item_biases"][item],
        arrays["user_factors"][user] @ arrays["item_factors"][item],
    ]
    steps = low + (high - low) / (1 + np.exp(-np.cumsum(terms).astype(np.float64)))
    found = mf.explain(mf.user_vectors(np.array([user], np.int32))[0], item)
    assert list(found.parts) == ["mean", "user", "item", "match"]
    np.testing.assert_allclose(list(found.parts.values()), np.diff(steps, prepend=0), atol=1e-5)
    assert found.score == pytest.approx(steps[-1], abs=1e-5)


def test_item_biases_of_mf_are_rating_steps_for_an_average_user(mf: Model) -> None:
    arrays = mf.arrays()
    low, high = arrays["rating_range"]
    mean, bias = arrays["mean"][0], arrays["item_biases"][3]
    expected = (high - low) * (1 / (1 + np.exp(-mean - bias)) - 1 / (1 + np.exp(-mean)))
    assert mf.item_biases()[3] == pytest.approx(expected, abs=1e-5)
