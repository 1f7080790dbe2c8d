"""The approximate index: what it finds, that it says how much, and what goes on without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from running_service import serving

import penchant
from penchant.data.synthetic import planted
from penchant.errors import UnsupportedError
from penchant.models import MODELS, Model, model_class
from penchant.models.products import FromProducts
from penchant.serving.answering import answers, is_light
from penchant.serving.approximate import MOST, ItemIndex
from penchant.serving.live import Loaded, LoadOptions
from penchant.serving.model_card import model_card
from penchant.serving.overlay import Overlay
from penchant.serving.questions import Asked, Listing
from penchant.serving.store import FeedbackStore

WITH_POINTS = ("als", "bpr", "dot", "explicit-als", "mf", "sequence")
N_ITEMS = 1_500


def fitted(name: str, n_items: int = N_ITEMS) -> penchant.Recommender:
    data = planted(80, n_items, 12_000, seed=4)
    columns: dict[str, Any] = {
        "user": data.users.take(data.user_rows),
        "item": data.items.take(data.item_rows),
        "rating": data.ratings,
        "time": np.arange(len(data.user_rows)),
    }
    how = {"positive_from": 3} if model_class(name).ranks_only else {}
    fields = {field.name for field in model_class(name).settings_class.describe()}
    settings = {key: value for key, value in {"epochs": 2, "samples": 2, "factors": 16}.items() if key in fields}
    return penchant.fit(penchant.read_ratings(pl.DataFrame(columns), **how), name, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted("als").save(tmp_path_factory.mktemp("als") / "model")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_products_of_points_and_directions_are_the_scores(name: str) -> None:
    recommender = fitted(name, 60)
    model: Model = recommender.model
    if name not in WITH_POINTS:
        with pytest.raises(UnsupportedError, match="no approximate index") as caught:
            ItemIndex(model, recommender.history)
        assert all(other in caught.value.remedy for other in WITH_POINTS)
        return
    assert isinstance(model, FromProducts)
    users = model.user_vectors(np.arange(7, dtype=np.int32))
    products = model.directions(users) @ model.item_points().T
    np.testing.assert_allclose(model.scores_from(users, products), model.scores_of(users), rtol=1e-4, atol=1e-5)


def test_lists_are_nearly_those_of_all_items_and_their_scores_are_exact(folder: Path, tmp_path: Path) -> None:
    exact = Loaded.read(folder)
    loaded = Loaded.read(folder, LoadOptions(approximate_above=N_ITEMS // 2))
    assert loaded.index is not None
    assert exact.index is None
    assert loaded.index.recall.mean > 0.9
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        overlay = Overlay(store)
        users = loaded.recommender.users.ids.to_list()
        out = exact.catalogue.ids[3]
        asked = [Asked(Listing(k=10, exclude=(out,)), overlay, b'{"user":1', user) for user in users]
        asked.append(Asked(Listing(k=10), overlay, history=((out, None),)))
        found, wanted = ([json.loads(one) for one in answers(one, asked)] for one in (loaded, exact))  # type: ignore[arg-type]
    shared = []
    for mine, other in zip(found, wanted, strict=True):
        scores = {one["item"]: one["score"] for one in mine["recommendations"]}
        best = {one["item"]: one["score"] for one in other["recommendations"]}
        assert len(scores) == 10
        assert out not in scores
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
        assert all(scores[item] == pytest.approx(best[item], rel=1e-4) for item in scores.keys() & best.keys())
        shared.append(len(scores.keys() & best.keys()) / 10)
    assert np.mean(shared) > 0.9
    assert is_light(loaded, asked[:3])


def test_the_same_model_has_the_same_index(folder: Path) -> None:
    recommender = Loaded.read(folder).recommender
    model = recommender.model
    vectors = model.user_vectors(np.arange(20, dtype=np.int32))
    nothing = [np.empty(0, np.int32)] * 20
    first, second = (ItemIndex(model, recommender.history).best(vectors, nothing, [10] * 20) for _ in range(2))
    for (rows, scores), (same_rows, same_scores) in zip(first, second, strict=True):
        np.testing.assert_array_equal(rows, same_rows)
        np.testing.assert_array_equal(scores, same_scores)


def test_a_list_is_whole_where_the_graph_finds_too_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = Loaded.read(folder).recommender
    index = ItemIndex(recommender.model, recommender.history)
    monkeypatch.setattr(index, "_candidates", lambda directions, _: [np.arange(5, dtype=np.int32)] * len(directions))
    vectors = recommender.model.user_vectors(np.arange(2, dtype=np.int32))
    found = index.best(vectors, [np.array([3], np.int32)] * 2, [8, 8])
    for vector, (rows, scores) in zip(vectors, found, strict=True):
        of_all = recommender.model.scores_of(vector[None])[0]
        of_all[3] = -np.inf
        np.testing.assert_array_equal(rows, np.argsort(-of_all, kind="stable")[:8])
        np.testing.assert_allclose(scores, of_all[rows])


def test_wishes_and_long_lists_are_found_exactly(folder: Path, tmp_path: Path) -> None:
    exact = Loaded.read(folder)
    loaded = Loaded.read(folder, LoadOptions(approximate_above=0))
    assert loaded.index is not None
    assert not loaded.index.has(MOST)
    user = loaded.recommender.users.ids[2]
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        overlay = Overlay(store)
        for listing in (Listing(k=600), Listing(k=5, diversity=0.5), Listing(k=5, popularity_damping=0.5)):
            asked = [Asked(listing, overlay, b'{"user":1', user)]
            assert answers(loaded, asked) == answers(exact, asked)


def test_the_model_says_how_lists_are_found(folder: Path, tmp_path: Path) -> None:
    assert json.loads(model_card(Loaded.read(folder)))["index"] == {"kind": "exact"}
    with serving(folder, tmp_path, "--approximate-above", "1000") as running:
        told = running.get("/v1/model").json()["index"]
        assert told["kind"] == "approximate"
        assert 0.9 < told["recall"] <= 1
        assert told["k"] == 10
        assert told["users"] > 50
        answer = running.post("/v1/recommendations", {"history": [], "k": 3})
        assert len(answer.json()["recommendations"]) == 3
        assert "an approximate index is built" in running.logged()


def test_a_model_without_points_says_why_it_has_no_index(tmp_path: Path) -> None:
    saved = fitted("popularity", 60).save(tmp_path / "model")
    told = json.loads(model_card(Loaded.read(saved, LoadOptions(approximate_above=0))))["index"]
    assert told["kind"] == "exact"
    assert "popularity" in told["why"]
