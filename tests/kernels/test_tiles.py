"""Sorting into tiles against NumPy's own sort, and a shuffle that keeps everything."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.kernels.tiles import count_tiles, fill_tiles, shuffle_tiles

USERS, ITEMS = 7, 5


def draw_ratings(n: int, blocks: int, seed: int) -> tuple[Any, ...]:
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, USERS, n).astype(np.int32), draw.integers(0, ITEMS, n).astype(np.int32)
    chosen = draw.integers(0, blocks, USERS).astype(np.int32), draw.integers(0, blocks, ITEMS).astype(np.int32)
    return *rows, np.arange(n, dtype=np.float32), *chosen


def fill(n: int, blocks: int, seed: int) -> tuple[Any, ...]:
    """Users, items and ratings in the order of tiles, and where the tiles start."""
    users, items, ratings, user_blocks, item_blocks = draw_ratings(n, blocks, seed)
    starts = np.append(0, np.cumsum(count_tiles(users, items, user_blocks, item_blocks, blocks)))
    out = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float32)
    places = np.arange(USERS, dtype=np.int32) + 100, np.arange(ITEMS, dtype=np.int32) + 200
    filled = starts[:-1].copy()
    fill_tiles(users, items, ratings, user_blocks, item_blocks, *places, blocks, filled, *out)
    np.testing.assert_array_equal(filled, starts[1:])
    return *out, starts


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 60), blocks=st.integers(1, 4), seed=st.integers(0, 1000))
def test_tiles_are_filled_as_a_stable_sort_would(n: int, blocks: int, seed: int) -> None:
    users, items, ratings, user_blocks, item_blocks = draw_ratings(n, blocks, seed)
    tiles = user_blocks[users] * blocks + item_blocks[items]
    order = np.argsort(tiles, kind="stable")
    out_users, out_items, out_ratings, starts = fill(n, blocks, seed)
    np.testing.assert_array_equal(out_users, users[order] + 100)
    np.testing.assert_array_equal(out_items, items[order] + 200)
    np.testing.assert_array_equal(out_ratings, ratings[order])
    np.testing.assert_array_equal(np.diff(starts), np.bincount(tiles, minlength=blocks * blocks))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 60), blocks=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_shuffle_keeps_each_rating_in_its_tile_and_in_one_piece(n: int, blocks: int, seed: int) -> None:
    users, items, ratings, starts = fill(n, blocks, seed)
    before = set(zip(users.tolist(), items.tolist(), ratings.tolist(), strict=True))
    old = ratings.copy()
    shuffle_tiles(np.arange(blocks * blocks), starts, np.uint64(seed), users, items, ratings)
    assert set(zip(users.tolist(), items.tolist(), ratings.tolist(), strict=True)) == before
    for start, end in pairwise(starts):
        assert sorted(ratings[start:end]) == sorted(old[start:end])


def test_the_order_of_tiles_does_not_matter_and_the_seed_does() -> None:
    shuffled = []
    for tiles, seed in ((np.arange(9), 1), (np.arange(9)[::-1].copy(), 1), (np.arange(9), 2)):
        users, items, ratings, starts = fill(500, 3, 0)
        shuffle_tiles(tiles, starts, np.uint64(seed), users, items, ratings)
        shuffled.append(ratings.tolist())
    assert shuffled[0] == shuffled[1] != shuffled[2]


def test_every_place_is_as_likely() -> None:
    """Where the first of six ratings ends up, over 6,000 seeds; chi-squared with 5 degrees of freedom."""
    starts, tile = np.array([0, 6]), np.array([0])
    ends = np.zeros(6)
    for seed in range(6_000):
        ratings = np.arange(6, dtype=np.float32)
        rows = np.zeros(6, np.int32)
        shuffle_tiles(tile, starts, np.uint64(seed), rows, rows.copy(), ratings)
        ends[int(np.flatnonzero(ratings == 0)[0])] += 1
    assert ((ends - 1_000) ** 2 / 1_000).sum() < 20.5  # passed by 999 of 1,000 fair shuffles; the seeds are fixed


def test_a_slow_twin_shuffles_alike() -> None:
    """splitmix64 in Python's unbounded integers."""
    mask = 2**64 - 1
    seed, tile, n = 12345, 2, 40
    state = (seed + tile * 0xBF58476D1CE4E5B9) & mask
    expected = list(range(n))
    for left in range(n, 1, -1):
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        mixed ^= mixed >> 31
        other = ((mixed >> 32) * left) >> 32
        expected[left - 1], expected[other] = expected[other], expected[left - 1]
    ratings = np.arange(n, dtype=np.float32)
    starts = np.array([0, 0, 0, n])
    rows = np.zeros(n, np.int32)
    shuffle_tiles(np.array([tile]), starts, np.uint64(seed), rows, rows.copy(), ratings)
    assert ratings.tolist() == expected
