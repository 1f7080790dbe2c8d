"""Tiles and threads: every rating once, no two tiles of a stratum touching, the same for any number of threads."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.data.synthetic import planted
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.models.sgd_training import Deal, Tiles, count_blocks
from penchant.seeds import numpy_generator
from penchant.threads import Workers


def make_tiles(ratings: Interactions, blocks: int) -> Tiles:
    with Workers(2) as workers:
        return Tiles.of(ratings, blocks, numpy_generator(1, "test"), workers)


@pytest.mark.parametrize(("blocks", "rounds"), [(1, 2), (2, 2), (4, 2), (8, 1)])
def test_tiles_hold_every_rating_once(ratings: Interactions, blocks: int, rounds: int) -> None:
    tiles = make_tiles(ratings, blocks)
    assert tiles.rounds == rounds
    assert len(tiles.starts) == rounds * blocks**2
    assert (tiles.ends - tiles.starts).sum() == len(ratings)
    places = tiles.users.places[ratings.user_rows], tiles.items.places[ratings.item_rows]
    wanted = sorted(zip(places[0].tolist(), places[1].tolist(), ratings.ratings.tolist(), strict=True))
    columns = tiles.user_places, tiles.item_places, tiles.ratings
    assert sorted(zip(*(column.tolist() for column in columns), strict=True)) == wanted


@pytest.mark.parametrize("blocks", [4, 8])
def test_tiles_of_a_stratum_share_no_user_and_no_item(ratings: Interactions, blocks: int) -> None:
    tiles = make_tiles(ratings, blocks)
    seen: list[int] = []
    for part, number in product(range(tiles.rounds), range(blocks)):
        stratum = tiles.stratum(part, number)
        seen.extend(stratum.tolist())
        for places in (tiles.user_places, tiles.item_places):
            sets = [set(places[tiles.starts[tile] : tiles.ends[tile]].tolist()) for tile in stratum]
            assert sum(map(len, sets)) == len(set().union(*sets))
    assert sorted(seen) == list(range(tiles.rounds * blocks**2))


def test_rows_are_dealt_evenly_and_lie_block_after_block() -> None:
    counts = (10_000 * np.arange(1, 1001) ** -0.8).astype(np.int64)  # as popular as items are
    deal = Deal.of(counts, 8, numpy_generator(0, "test"))
    shares = np.bincount(deal.blocks, counts, 8) / counts.sum()
    assert shares.max() < 1.5 / 8
    assert np.bincount(deal.blocks).tolist() == [125] * 8
    in_places = np.empty(1000, np.int32)
    in_places[deal.places] = deal.blocks
    assert in_places.tolist() == sorted(deal.blocks.tolist())


@pytest.mark.parametrize(
    ("n_users", "n_items", "width", "expected"),
    [(610, 9724, 64, 4), (100_000, 20_000, 80, 32), (10_000_000, 1_000_000, 80, 64), (3, 50, 64, 2), (1, 50, 64, 1)],
)
def test_the_number_of_blocks_depends_on_the_data_alone(n_users: int, n_items: int, width: int, expected: int) -> None:
    assert count_blocks(n_users, n_items, width) == expected


@pytest.mark.parametrize("name", ["dot", "mf"])
def test_the_number_of_threads_does_not_matter(name: str, split: Split) -> None:
    found: list[Any] = []
    for threads in (1, 2, 3, 16):
        model = build(name, epochs=3)
        log = model.fit(split, FitOptions(seed=1, threads=threads))
        found.append(([e.train_loss for e in log.epochs], model.arrays()["user_factors"].tobytes()))
    assert found[1:] == found[:1] * 3


def test_factors_that_are_no_multiple_of_eight_lose_nothing(split: Split) -> None:
    for factors in (1, 7, 8, 9, 50):
        model = build("mf", factors=factors, epochs=1)
        model.fit(split)
        assert model.arrays()["item_factors"].shape == (split.train.n_items, factors)


def test_with_the_default_settings_mf_beats_biases_on_planted_ratings() -> None:
    from penchant.data.split import split_random

    split = split_random(planted(400, 300, 30_000, seed=2), 0.2, seed=0)
    losses = {name: build(name).fit(split).valid_loss for name in ("bias", "mf")}
    assert losses["mf"] < 0.95 * losses["bias"]
