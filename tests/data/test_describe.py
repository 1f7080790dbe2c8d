"""What is said of a table of ratings, against numbers counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.data.describe import BINS, MOST_DISTINCT, describe
from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.data.synthetic import planted


@pytest.fixture(scope="module")
def small() -> Interactions:
    """Three users and four items; item 10 has 3 ratings, 20 has 2, 30 and 40 have 1."""
    return read_ratings(
        pl.DataFrame(
            {
                "user": [1, 1, 1, 1, 2, 2, 3],
                "item": [10, 20, 30, 40, 10, 20, 10],
                "rating": [1, 2, 3, 5, 5, 5, 5],
                "timestamp": [0, 86_400 * 365, 5, 5, 5, 5, 5],
                "title": ["Ten", "Twenty", "Thirty", "Forty", "Ten", "Twenty", "Ten"],
            }
        )
    )


def test_counts_and_moments(small: Interactions) -> None:
    found = describe(small)
    ratings = np.array([1, 2, 3, 5, 5, 5, 5])
    assert (found["n_ratings"], found["n_users"], found["n_items"]) == (7, 3, 4)
    assert found["density"] == pytest.approx(7 / (3 * 4))
    assert found["scale"] == [1.0, 5.0]
    assert found["mean"] == pytest.approx(ratings.mean())
    assert found["deviation"] == pytest.approx(ratings.std())
    assert found["times"] == ["1970-01-01", "1971-01-01"]
    spread = found["ratings_per_user"]
    assert (spread["least"], spread["median"], spread["most"]) == (1, 2, 4)
    assert found["ratings_per_item"]["most"] == 3
    assert (found["users_with_one_rating"], found["items_with_one_rating"]) == (1, 2)


def test_the_long_tail_is_how_few_items_have_half_of_all_ratings(small: Interactions) -> None:
    # 3 of 7 ratings are less than half, 3 + 2 are more
    assert describe(small)["long_tail"] == {"items_for_half": 2, "items_for_half_share": 2 / 4}


def test_the_most_rated_come_first_with_their_names(small: Interactions) -> None:
    assert describe(small, shown=2)["most_rated"] == [
        {"item": 10, "name": "Ten", "n_ratings": 3},
        {"item": 20, "name": "Twenty", "n_ratings": 2},
    ]


def test_few_values_are_counted_one_by_one(small: Interactions) -> None:
    assert describe(small)["histogram"] == {"values": ["1", "2", "3", "5"], "counts": [1, 1, 1, 4]}


def test_many_values_are_counted_in_bins() -> None:
    data = planted(40, 50, 900, seed=3)
    ratings = np.linspace(-10, 10, len(data)).astype(np.float32)
    histogram = describe(replace(data, ratings=ratings))["histogram"]
    assert len(np.unique(ratings)) > MOST_DISTINCT
    assert len(histogram["counts"]) == BINS
    assert sum(histogram["counts"]) == len(data)
    assert histogram["values"][0] == "-10 to -8"
    assert histogram["values"][-1] == "8 to 10"


def test_without_times_none_are_told() -> None:
    assert describe(planted(40, 50, 900, seed=3))["times"] is None


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_is_plain_json(seed: int) -> None:
    found: Any = describe(planted(40, 50, 900, seed=seed))
    assert json.loads(json.dumps(found)) == found
    assert sum(found["histogram"]["counts"]) == found["n_ratings"]
