"""Ratings with a known answer, for tests, benchmarks and lessons."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary
from penchant.seeds import numpy_generator


def checkerboard(n_users: int = 40, n_items: int = 30, *, like: float = 5.0, dislike: float = 1.0) -> Interactions:
    """Even users like even items and dislike odd ones, odd users the other way round.

    Each user u leaves out one liked item (`withheld_item(u, n_items)`) and the disliked item beside it. Whoever
    has understood the board ranks the withheld item first among the two that a user has not rated.
    """
    users, items, ratings = [], [], []
    for user in range(n_users):
        withheld = withheld_item(user, n_items)
        for item in range(n_items):
            if item // 2 == withheld // 2:
                continue
            users.append(user)
            items.append(item)
            ratings.append(like if user % 2 == item % 2 else dislike)
    return _interactions(np.array(users), np.array(items), np.array(ratings), n_users, n_items, "checkerboard")


def withheld_item(user: int, n_items: int) -> int:
    """The liked item that the checkerboard leaves out for a user."""
    pairs = n_items // 2
    return 2 * ((user // 2) % pairs) + user % 2


def planted(
    n_users: int, n_items: int, n_ratings: int, *, factors: int = 8, noise: float = 0.6, seed: int = 0
) -> Interactions:
    """Low-rank ratings of 0.5 to 5 in half steps, with a few popular items and a few busy users.

    rating = 3.5 + user bias + item bias + factors product + noise, rounded and clipped. Popularity and activity
    follow power laws (exponents 0.8 and 0.6), as in real tables. Pairs are distinct, so that the number of
    ratings may come out a little below n_ratings.
    """
    generator = numpy_generator(seed, "planted ratings")
    users = _drawn(generator, n_users, n_ratings, 0.6)
    items = _drawn(generator, n_items, n_ratings, 0.8)
    pairs = np.unique(users * n_items + items)
    users, items = pairs // n_items, pairs % n_items
    scale = np.float32(0.5 / np.sqrt(factors))
    user_factors = generator.standard_normal((n_users, factors), np.float32)
    item_factors = generator.standard_normal((n_items, factors), np.float32) * scale
    ratings = np.einsum("nf,nf->n", user_factors[users], item_factors[items])
    ratings += 3.5 + 0.4 * generator.standard_normal(n_users)[users] + 0.4 * generator.standard_normal(n_items)[items]
    ratings += noise * generator.standard_normal(len(pairs))
    steps = np.clip(np.round(ratings * 2) / 2, 0.5, 5.0)
    return _interactions(users, items, steps, n_users, n_items, f"planted ratings, seed {seed}")


def _drawn(generator: np.random.Generator, n: int, size: int, exponent: float) -> NDArray[np.int64]:
    """Rows drawn with probability proportional to 1 / rank**exponent; ranks are scattered over the rows."""
    weights = (1 + np.arange(n)) ** -exponent
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), generator.random(size))
    return generator.permutation(n)[np.minimum(ranks, n - 1)]


def _interactions(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    ratings: NDArray[np.float64],
    n_users: int,
    n_items: int,
    source: str,
) -> Interactions:
    whole = Interactions(
        users=Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
        items=Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
        user_rows=users.astype(np.int32),
        item_rows=items.astype(np.int32),
        ratings=ratings.astype(np.float32),
        source=source,
    )
    return whole.compact()
