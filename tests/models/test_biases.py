"""Damped biases by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary
from penchant.models.biases import Biases, damped_biases

# user 0: item 0 -> 5, item 1 -> 3; user 1: item 0 -> 1. Mean 3, centred: 2, 0, -2.
TABLE = [(0, 0, 5.0), (0, 1, 3.0), (1, 0, 1.0)]


def interactions(table: list[tuple[int, int, float]] = TABLE) -> Interactions:
    users, items, ratings = zip(*table, strict=True)
    return Interactions(
        Vocabulary(pl.Series(sorted(set(users))), "user"),
        Vocabulary(pl.Series(sorted(set(items))), "item"),
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.array(ratings, np.float32),
    )


def test_no_damping_and_one_pass_are_means_of_what_is_left() -> None:
    found = damped_biases(interactions(), 0, 0, 1)
    assert found.mean == 3
    item_biases = [(2 - 2) / 2, 0 / 1]
    np.testing.assert_allclose(found.item_biases, item_biases)
    np.testing.assert_allclose(found.user_biases, [(2 - item_biases[0] + 0 - item_biases[1]) / 2, -2 - item_biases[0]])


def test_damping_is_added_to_the_number_of_ratings() -> None:
    found = damped_biases(interactions(), user_damping=4, item_damping=1, passes=1)
    np.testing.assert_allclose(found.item_biases, [(2 - 2) / (2 + 1), 0 / (1 + 1)])
    np.testing.assert_allclose(found.user_biases, [(2 + 0) / (2 + 4), -2 / (1 + 4)], rtol=1e-6)


def test_a_second_pass_starts_from_the_first() -> None:
    found = damped_biases(interactions(), user_damping=4, item_damping=1, passes=2)
    first = [2 / 6, -2 / 5]
    items = [(2 - first[0] - 2 - first[1]) / (2 + 1), (0 - first[0]) / (1 + 1)]
    users = [(2 - items[0] + 0 - items[1]) / (2 + 4), (-2 - items[0]) / (1 + 4)]
    np.testing.assert_allclose(found.item_biases, items, rtol=1e-6)
    np.testing.assert_allclose(found.user_biases, users, rtol=1e-6)


def test_many_passes_without_damping_are_least_squares() -> None:
    table = [(u, i, float((3 * u + 2 * i + u * i) % 5 + 1)) for u in range(4) for i in range(5) if (u + i) % 4]
    found = damped_biases(interactions(table), 0, 0, 500)
    design = np.zeros((len(table), 4 + 5))
    for n, (user, item, _) in enumerate(table):
        design[n, user] = design[n, 4 + item] = 1
    ratings = np.array([rating for _, _, rating in table])
    fitted = design @ np.linalg.lstsq(design, ratings - ratings.mean(), rcond=None)[0] + ratings.mean()
    users, items = (np.array([row[side] for row in table], np.int32) for side in (0, 1))
    np.testing.assert_allclose(found.predict(users, items), fitted, atol=1e-5)


def test_one_rating_of_5_makes_no_masterpiece() -> None:
    table = [(user, 0, 4.0) for user in range(40)] + [(40, 1, 5.0)]
    damped, plain = (damped_biases(interactions(table), 5, damping, 5) for damping in (3, 0))
    assert 0 < damped.item_biases[1] < 0.3 < plain.item_biases[1]


def test_the_unknown_counts_as_0() -> None:
    biases = Biases(3.5, np.array([0.5, -0.25], np.float32), np.array([1.0], np.float32))
    users, items = np.array([0, 1, -1, 1, -1], np.int32), np.array([0, 0, 0, -1, -1], np.int32)
    expected = [3.5 + 0.5 + 1, 3.5 - 0.25 + 1, 3.5 + 1, 3.5 - 0.25, 3.5]
    predictions = biases.predict(users, items)
    assert predictions.dtype == np.float32
    assert predictions.tolist() == expected


@pytest.mark.parametrize("passes", [1, 5])
def test_types(passes: int) -> None:
    found = damped_biases(interactions(), 5, 3, passes)
    assert (found.user_biases.dtype, found.item_biases.dtype) == (np.float32, np.float32)
    assert (found.user_biases.shape, found.item_biases.shape) == ((2,), (2,))
