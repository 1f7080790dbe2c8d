"""Predictions with chances, for times, and for those whom the model knows by their columns alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from penchant.data.split import Split, split_random
from penchant.data.synthetic import planted
from penchant.errors import DataError, UnsupportedError
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.serving.recommender import Recommender

GENRES = ("drama", "war")


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    ratings = planted(50, 60, 2500, seed=2)
    genre = np.arange(ratings.n_items) % 2
    liked = (ratings.ratings + np.where(genre[ratings.item_rows] == 0, 0.8, -0.8)).astype(np.float32)
    table = pl.DataFrame({"genre": [GENRES[row] for row in genre]})
    whole = replace(ratings, ratings=np.round(2 * liked).astype(np.float32) / 2, item_table=table)
    split = split_random(whole, 0.2, seed=1)
    model = build("bayes", factors=3, chains=2, sweeps=40, burn_in=10, samples=8)
    return Recommender.of(model, split, model.fit(split, FitOptions(seed=1)))


def test_chances_are_columns_that_sum_to_one(recommender: Recommender) -> None:
    user, item = recommender.users.ids[0], recommender.items.ids[0]
    frame = recommender.predict_pairs([user, user], [item, -5], interval=0.8, chances=True)
    chances = frame.select(pl.col("^chance of .*$"))
    assert frame.columns[:3] == ["prediction", "low", "high"]
    assert chances.columns[0] == f"chance of {recommender.model.scale[0]:g}"
    np.testing.assert_allclose(chances.to_numpy().sum(axis=1), 1, rtol=1e-5)
    assert frame["known"].to_list() == ["both", "user"]


def test_new_items_are_predicted_by_a_table_and_without_it_are_not_told_apart(
    recommender: Recommender, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("item,genre,price\n901,drama,3\n902,war,4\n")
    users, items = [recommender.users.ids[3]] * 2, [902, 901]
    assert recommender.predict_pairs(users, items)["prediction"].n_unique() == 1
    for table in (tmp_path / "new.csv", pl.DataFrame({"item": [901, 902, 777], "genre": ["drama", "war", "war"]})):
        war, drama = recommender.predict_pairs(users, items, item_table=table)["prediction"]
        assert drama > war + 0.5
    known = [recommender.items.ids[0], 901]
    frame = recommender.predict_pairs(users, known, item_table=tmp_path / "new.csv")
    assert frame["known"].to_list() == ["both", "user"]
    assert frame["prediction"][0] == pytest.approx(recommender.predict(users[0], known[0]), abs=1e-5)


def test_a_table_without_the_new_items_is_an_error_in_words(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="None of its items occurs"):
        recommender.predict_pairs([1], [901], item_table=pl.DataFrame({"item": [5000], "genre": ["war"]}))


def test_models_that_do_not_know_chances_say_so(split: Split) -> None:
    model = build("bias")
    plain = Recommender.of(model, split, model.fit(split, FitOptions()))
    with pytest.raises(UnsupportedError, match="how likely"):
        plain.predict_pairs([plain.users.ids[0]], [plain.items.ids[0]], chances=True)
