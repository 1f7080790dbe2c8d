"""A real server with a stripped artifact: users are those of the feedback, and visitors are answered as before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_service import Running, serving

from penchant.serving.recommender import Recommender


@pytest.fixture(scope="module")
def films(film_model: Path) -> Recommender:
    return Recommender.load(film_model)


@pytest.fixture(scope="module")
def stripped(films: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of the films without those who rated them; `service` has them all."""
    folder = tmp_path_factory.mktemp("stripped")
    films.stripped().save(folder / "model")
    with serving(folder / "model", folder) as running:
        yield running


def of_answer(response: Any) -> Any:
    """An answer without the version of the model, which is another."""
    assert response.status_code == 200, response.text
    return {name: value for name, value in response.json().items() if name != "model"}


def history_of(films: Recommender) -> list[dict[str, Any]]:
    items = films.items.ids.to_list()[:4]
    return [{"item": item, "rating": rating} for item, rating in zip(items, (5, 1, 4, 2), strict=True)]


def test_it_says_that_it_is_stripped(service: Running, stripped: Running) -> None:
    assert [one.get("/v1/model").json()["stripped"] for one in (service, stripped)] == [False, True]


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"k": 30, "intervals": True, "reasons": True},
        {"popularity_damping": 1.0, "where": ["genres=Drama"]},
        {"diversity": 0.5, "include_seen": True},
    ],
    ids=str,
)
def test_a_visitor_gets_the_same_list(
    wishes: dict[str, Any], service: Running, stripped: Running, films: Recommender
) -> None:
    for history in (history_of(films), []):
        found = [
            of_answer(one.post("/v1/recommendations", {"history": history, **wishes})) for one in (service, stripped)
        ]
        assert found[0] == found[1]
        assert found[0]["recommendations"]


def test_the_score_of_a_visitor_is_explained_as_before(service: Running, stripped: Running, films: Recommender) -> None:
    asked = {"history": history_of(films), "item": films.items.ids[30]}
    assert of_answer(service.post("/v1/explain", asked)) == of_answer(stripped.post("/v1/explain", asked))


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/items?limit=90", "/v1/items?search=stor&limit=90", "/v1/items?search=marchen", "/v1/items?search=Stroy"),
        *("/v1/items/{item}", "/v1/items/{item}/similar?k=50", "/v1/map?limit=90"),
    ],
)
def test_items_are_in_the_same_order_with_the_same_counts(
    path: str, service: Running, stripped: Running, films: Recommender
) -> None:
    path = path.format(item=films.items.ids[7])
    assert of_answer(service.get(path)) == of_answer(stripped.get(path))


def test_a_user_of_training_is_a_stranger_until_there_is_feedback(stripped: Running, films: Recommender) -> None:
    user = films.users.ids[11]
    path = f"/v1/users/{user}/recommendations?k=5&intervals=true&reasons=true"
    told = of_answer(stripped.get(path))
    assert (told["user"], told["known"]) == (user, False)  # the id in its kind, which an empty table of users has too
    wishes = {"k": 5, "intervals": True, "reasons": True}
    average = of_answer(stripped.post("/v1/recommendations", {"history": [], **wishes}))
    assert told["recommendations"] == average["recommendations"]
    assert stripped.get(f"/v1/explain?user={user}&item={films.items.ids[5]}").json()["items"] == []

    history = history_of(films)
    events = [{"event_id": f"of-{n}", "user": user, **one, "time": 1_700_000_000 + n} for n, one in enumerate(history)]
    assert stripped.post("/v1/feedback", {"events": events}).json() == {"accepted": 4, "duplicates": 0}
    told = of_answer(stripped.get(path))
    visitor = of_answer(stripped.post("/v1/recommendations", {"history": history, **wishes}))
    assert told["known"] is True
    assert told["recommendations"] == visitor["recommendations"] != average["recommendations"]
    why = stripped.get(f"/v1/explain?user={user}&item={films.items.ids[30]}").json()
    assert {one["item"] for one in why["items"]} == {one["item"] for one in history}


def test_pairs_are_predicted_from_feedback_or_the_item_alone(stripped: Running, films: Recommender) -> None:
    history = history_of(films)
    events = [{"event_id": f"pair-{n}", "user": "rater", **one} for n, one in enumerate(history)]
    stripped.post("/v1/feedback", {"events": events})
    items = films.items.ids.to_list()[40:42]
    pairs = [{"user": user, "item": item} for user in ("rater", films.users.ids[3]) for item in items]
    found = stripped.post("/v1/predict", {"pairs": pairs, "interval": 0.9}).json()["predictions"]
    assert [one["known"] for one in found] == ["both", "both", "item", "item"]
    rated = {one["item"]: one["rating"] for one in history}
    best = {one.item: one.prediction for one in films.recommend(rated=rated, k=90)}
    assert [one["prediction"] for one in found[:2]] == pytest.approx([best[item] for item in items], abs=1e-4)
    assert all(one["low"] <= one["prediction"] <= one["high"] for one in found)
    nobody = films.predict_pairs([-1, -1], items, 0.9)
    assert [one["high"] for one in found[2:]] == pytest.approx(nobody["high"].to_list(), abs=1e-4)


def test_models_that_rank_are_served_stripped(ranking_model: Path, tmp_path: Path) -> None:
    whole = Recommender.load(ranking_model)
    whole.stripped().save(tmp_path / "model")
    taken = whole.items.ids.to_list()[3:6]
    with serving(tmp_path / "model", tmp_path) as running:
        user = whole.users.ids[2]
        assert running.get(f"/v1/users/{user}/recommendations").json()["known"] is False
        events = [{"event_id": str(n), "user": user, "item": item} for n, item in enumerate(taken)]
        running.post("/v1/feedback", {"events": events})
        found = running.get(f"/v1/users/{user}/recommendations?k=6").json()
        wanted = whole.recommend(rated=taken, k=6)
        assert found["known"] is True
        assert [one["item"] for one in found["recommendations"]] == [one.item for one in wanted]


def test_a_model_is_stripped_while_it_is_served(film_model: Path, films: Recommender, tmp_path: Path) -> None:
    """In place, and loaded again: whoever was known by training alone is not any more."""
    shutil.copytree(film_model, tmp_path / "model")
    user = films.users.ids[20]
    with serving(tmp_path / "model", tmp_path) as running:
        path = f"/v1/users/{user}/recommendations"
        assert running.get(path).json()["known"] is True
        films.stripped().save(tmp_path / "model")
        assert running.post("/v1/admin/reload").status_code == 200
        assert running.get(path).json()["known"] is False
        assert running.get("/v1/model").json()["stripped"] is True
