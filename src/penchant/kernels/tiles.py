"""Sorting ratings into tiles, in two passes over them and without a copy of anything in between.

A permutation of all ratings, a sort of it and three gathers by it were measured at 2.0 s for 10 million ratings and
16 bytes a rating beside the result; these kernels take what they write and an eighth of the time (docs/performance.md).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from penchant.kernels.noise import FIRST, GOLDEN, mixed

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Longs = NDArray[np.int64]


@njit(cache=True, nogil=True)
def count_tiles(user_rows: Rows, item_rows: Rows, user_blocks: Rows, item_blocks: Rows, blocks: int) -> Longs:
    """How many ratings (n,) each tile has, int64 (blocks * blocks,); tile = user block * blocks + item block."""
    counts = np.zeros(blocks * blocks, np.int64)
    for at in range(user_rows.shape[0]):
        counts[user_blocks[np.uint32(user_rows[at])] * blocks + item_blocks[np.uint32(item_rows[at])]] += 1
    return counts


@njit(cache=True, nogil=True)
def fill_tiles(
    user_rows: Rows,  # (n,)
    item_rows: Rows,
    ratings: Floats,
    user_blocks: Rows,  # (n_users,)
    item_blocks: Rows,
    user_places: Rows,  # (n_users,) what to write for a user's row
    item_places: Rows,
    blocks: int,
    filled: Longs,  # (blocks * blocks,) where each tile starts; changed to where it ends
    users_out: Rows,  # (n,) written
    items_out: Rows,
    ratings_out: Floats,
) -> None:
    """A counting sort of ratings by tile, which keeps their order within each."""
    for at in range(user_rows.shape[0]):
        user, item = np.uint32(user_rows[at]), np.uint32(item_rows[at])
        tile = user_blocks[user] * blocks + item_blocks[item]
        to = filled[tile]
        filled[tile] = to + 1
        users_out[to] = user_places[user]
        items_out[to] = item_places[item]
        ratings_out[to] = ratings[at]


@njit(cache=True, nogil=True)
def shuffle_tiles(
    tiles: Longs,  # which, one after the other
    starts: Longs,  # (tiles of all + 1,)
    seed: np.uint64,
    user_places: Rows,  # (n,) changed in place, as the two below
    item_places: Rows,
    ratings: Floats,
) -> None:
    """Shuffle within tiles (Durstenfeld 1964); how, only the seed and the tile's own number decide.

    A place below `left` is the upper half of a random number, multiplied by left / 2**32, which favours no place by
    more than that fraction.
    """
    for tile in tiles:
        state = seed + np.uint64(tile) * FIRST
        start = starts[tile]
        for left in range(starts[tile + 1] - start, 1, -1):
            state += GOLDEN
            one = start + left - 1
            other = start + np.int64(((mixed(state) >> np.uint64(32)) * np.uint64(left)) >> np.uint64(32))
            user_places[one], user_places[other] = user_places[other], user_places[one]
            item_places[one], item_places[other] = item_places[other], item_places[one]
            ratings[one], ratings[other] = ratings[other], ratings[one]
