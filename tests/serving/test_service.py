"""Every route of a real server process, and each error."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from running_service import SOURCE, Running, serving

import penchant
from penchant.serving.app import create_app
from penchant.serving.service_settings import ServiceSettings

HOSTILE = [
    ("/nothing", 404, "not_found"),
    ("/v1/items/none", 404, "unknown_item"),
    ("/v1/items/none/similar", 404, "unknown_item"),
    ("/v1/items/1/similar?k=0", 422, "invalid"),
    ("/v1/items?limit=1000000", 422, "invalid"),
    ("/v1/items?k=3", 422, "invalid"),
    ("/v1/map?k=3", 422, "invalid"),
    ("/v1/users/1/recommendations?k=0", 422, "invalid"),
    ("/v1/users/1/recommendations?k=x", 422, "invalid"),
    ("/v1/users/1/recommendations?kk=3", 422, "invalid"),
    ("/v1/users/1/recommendations?diversity=2", 422, "invalid"),
    ("/v1/users/1/recommendations?where=nonsense", 422, "bad_setting"),
    ("/v1/users/1/recommendations?where=colour%3Dred", 422, "bad_setting"),
    ("/v1/users/1/recommendations?exclude=none", 404, "unknown_item"),
    ("/v1/users/%00/recommendations", 422, "invalid"),
    ("/v1/explain?user=1&item=none", 404, "unknown_item"),
    ("/v1/explain?user=1", 422, "invalid"),
    ("/page/../../pyproject.toml", 404, "not_found"),
    ("/page/%2e%2e/app.py", 404, "not_found"),
]
BODIES: list[tuple[str, Any, int, str]] = [
    ("/v1/recommendations", {"history": [{"item": "none", "rating": 3}]}, 404, "unknown_item"),
    ("/v1/recommendations", {"history": [{"item": 1, "rating": 50}]}, 422, "bad_input"),
    ("/v1/recommendations", {"history": [{"item": 1}]}, 422, "bad_input"),
    ("/v1/recommendations", {"history": [{"item": True, "rating": 3}]}, 422, "invalid"),
    ("/v1/recommendations", {"history": [], "wish": 1}, 422, "invalid"),
    ("/v1/recommendations", {}, 422, "invalid"),
    ("/v1/recommendations", [], 422, "invalid"),
    ("/v1/predict", {"pairs": []}, 422, "invalid"),
    ("/v1/predict", {"pairs": [{"user": 1, "item": 2**70}]}, 422, "invalid"),
    ("/v1/explain", {"history": [], "item": "none"}, 404, "unknown_item"),
    ("/v1/feedback", {"events": []}, 422, "invalid"),
    ("/v1/feedback", {"events": [{"event_id": "a", "user": 1, "item": 1, "rating": 9}]}, 422, "bad_input"),
    ("/v1/feedback", {"events": [{"event_id": "a", "user": 1, "item": 1, "time": 10**12}]}, 422, "bad_input"),
]


def error_of(response: Any, status: int, code: str) -> dict[str, str]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert list(response.json()) == ["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["code"] == code, error
    assert "Traceback" not in response.text
    assert str(Path(__file__).parents[2]) not in response.text
    return error


@pytest.fixture(scope="module")
def films(film_model: Path) -> Any:
    return penchant.load(film_model)


def test_a_list_is_that_of_the_library(service: Running, films: Any) -> None:
    user = films.users.ids[3]
    told = service.get(f"/v1/users/{user}/recommendations?k=5").json()
    assert told["user"] == user
    assert told["known"] is True
    wanted = films.recommend(user, 5)
    assert [one["item"] for one in told["recommendations"]] == [one.item for one in wanted]
    assert told["recommendations"][0]["name"] == wanted[0].name
    assert told["recommendations"][0]["score"] == pytest.approx(wanted[0].score, abs=1e-4)
    assert told["recommendations"][0]["interval"] is None


@pytest.mark.parametrize(
    ("query", "wishes"),
    [
        ("where=genres%3DDrama&where=year%3E%3D1980", {"where": ["genres=Drama", "year>=1980"]}),
        ("diversity=0.5", {"diversity": 0.5}),
        ("popularity_damping=1.5", {"popularity_damping": 1.5}),
        ("include_seen=true", {"include_seen": True}),
        ("k=500", {"k": 500}),
    ],
)
def test_wishes_are_those_of_the_library(service: Running, films: Any, query: str, wishes: dict[str, Any]) -> None:
    user = films.users.ids[7]
    told = service.get(f"/v1/users/{user}/recommendations?{query}").json()["recommendations"]
    assert [one["item"] for one in told] == [one.item for one in films.recommend(user, **wishes)]


def test_what_is_excluded_is_left_out(service: Running, films: Any) -> None:
    best = [one.item for one in films.recommend(films.users.ids[0], 3)]
    path = f"/v1/users/{films.users.ids[0]}/recommendations?k=1&exclude={best[0]}&exclude={best[1]}"
    assert [one["item"] for one in service.get(path).json()["recommendations"]] == best[2:]


def test_a_visitor_is_folded_in_with_reasons_and_intervals(service: Running, films: Any) -> None:
    items = films.items.ids.to_list()[:3]
    history = [{"item": item, "rating": rating} for item, rating in zip(items, (5, 1, 4), strict=True)]
    body = {"history": history, "k": 4, "intervals": True, "reasons": True}
    told = service.post("/v1/recommendations", body).json()
    wanted = films.recommend(rated=dict(zip(items, (5, 1, 4), strict=True)), k=4)
    assert [one["item"] for one in told["recommendations"]] == [one.item for one in wanted]
    for one in told["recommendations"]:
        assert one["interval"]["low"] <= one["prediction"] <= one["interval"]["high"]
        assert one["reason"] is None or one["reason"]["item"] in items
    assert "user" not in told


def test_an_unknown_user_is_told_so_and_answered_as_an_average_one(service: Running, films: Any) -> None:
    told = service.get("/v1/users/stranger/recommendations?k=3").json()
    assert told["known"] is False
    assert [one["item"] for one in told["recommendations"]] == [one.item for one in films.recommend(rated={}, k=3)]


def test_feedback_changes_the_very_next_list(service: Running, films: Any) -> None:
    user, before = films.users.ids[11], None
    before = service.get(f"/v1/users/{user}/recommendations").json()["recommendations"]
    events = [{"event_id": f"next-{one['item']}", "user": user, "item": one["item"], "rating": 1} for one in before[:4]]
    assert service.post("/v1/feedback", {"events": events}).json() == {"accepted": 4, "duplicates": 0}
    assert service.post("/v1/feedback", {"events": events}).json() == {"accepted": 0, "duplicates": 4}
    after = service.get(f"/v1/users/{user}/recommendations").json()["recommendations"]
    assert not {one["item"] for one in after} & {one["item"] for one in before[:4]}
    assert [one["score"] for one in after] != [one["score"] for one in before[4:]]
    error_of(service.post("/v1/feedback", {"events": [{**events[0], "rating": 2}]}), 409, "conflicting_event")


def test_a_newcomer_with_feedback_is_known(service: Running, films: Any) -> None:
    item = films.items.ids[0]
    service.post("/v1/feedback", {"events": [{"event_id": "n", "user": "newcomer", "item": item, "rating": 5}]})
    told = service.get("/v1/users/newcomer/recommendations?k=3").json()
    assert told["known"] is True
    assert [one["item"] for one in told["recommendations"]] == [
        one.item for one in films.recommend(rated={item: 5}, k=3)
    ]


def test_predictions_are_those_of_the_library(service: Running, films: Any) -> None:
    users, items = films.users.ids.to_list()[20:23], films.items.ids.to_list()[:3]
    pairs = [{"user": user, "item": item} for user, item in zip(users, items, strict=True)]
    told = service.post("/v1/predict", {"pairs": [*pairs, {"user": "who", "item": "what"}], "interval": 0.9}).json()
    wanted = films.predict_pairs(users, items, 0.9)
    found = told["predictions"]
    for name in ("prediction", "low", "high"):
        assert np.allclose([one[name] for one in found[:3]], wanted[name].to_numpy(), atol=1e-4)
    assert [one["known"] for one in found] == ["both", "both", "both", "neither"]


def test_an_explanation_sums_to_the_score(service: Running, films: Any) -> None:
    user, item = films.users.ids[20], films.items.ids[5]
    told = service.get(f"/v1/explain?user={user}&item={item}").json()
    total = told["average"] + sum(one["adds"] for one in told["items"]) + told["rest"]
    assert total == pytest.approx(told["score"], abs=1e-3)
    history = [{"item": films.items.ids[1], "rating": 5}]
    visitor = service.post("/v1/explain", {"history": history, "item": item}).json()
    assert visitor["rest"] == pytest.approx(0, abs=1e-3)
    assert [one["item"] for one in visitor["items"]] == [films.items.ids[1]]


TYPED = [("the story 4", "The Story 4"), ("stor", "The Story"), ("marchen", "Film"), ("Stroy 12", "The Story")]


@pytest.mark.parametrize(("typed", "first"), TYPED)
def test_items_are_found_by_what_is_typed(service: Running, typed: str, first: str) -> None:
    found = service.get("/v1/items", params={"search": typed, "limit": 3}).json()["items"]
    assert found[0]["name"].startswith(first)
    assert set(found[0]) == {"item", "name", "ratings", "columns"}


def test_nothing_typed_is_the_most_popular(service: Running) -> None:
    counts = [one["ratings"] for one in service.get("/v1/items?limit=5").json()["items"]]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == 5


def test_items_and_their_neighbours(service: Running, films: Any) -> None:
    item = films.items.ids[2]
    assert service.get(f"/v1/items/{item}").json()["name"] == films.item_names[2]
    told = service.get(f"/v1/items/{item}/similar?k=4").json()["similar"]
    assert [one["item"] for one in told] == [one.item for one in films.similar(item, 4)]
    drawn = service.get("/v1/map?limit=20").json()
    assert len(drawn["items"]) == 20
    assert 0 < drawn["axes"][1] <= drawn["axes"][0] <= 1


def test_the_model_is_described_without_folders(service: Running, film_model: Path) -> None:
    card = service.get("/v1/model").json()
    manifest = json.loads((film_model / "manifest.json").read_text(encoding="utf-8"))
    assert card["version"] == manifest["checksum"][:16]
    assert card["metrics"]["metrics"] == manifest["about"]["valid"]["metrics"]
    assert card["rating_scale"] == manifest["about"]["data"]["scale"]
    assert {column["name"]: column["kind"] for column in card["columns"]}["genres"] == "words"
    assert card["index"]["kind"] == "exact"
    assert str(film_model.parent) not in json.dumps(card)


@pytest.mark.parametrize(("path", "status", "code"), HOSTILE)
def test_an_error_has_one_shape(service: Running, path: str, status: int, code: str) -> None:
    error_of(service.get(path), status, code)


@pytest.mark.parametrize(("path", "body", "status", "code"), BODIES)
def test_a_bad_body_has_the_same_shape(service: Running, path: str, body: Any, status: int, code: str) -> None:
    error_of(service.post(path, body), status, code)


def test_bodies_that_are_none(service: Running) -> None:
    kind = {"content-type": "application/json"}
    client = service.client
    error_of(client.post("/v1/recommendations", content=b"{", headers=kind), 422, "invalid_json")
    error_of(
        client.post("/v1/recommendations", content=b"a=1", headers={"content-type": "text/plain"}), 415, "not_json"
    )
    zipped = {**kind, "content-encoding": "gzip"}
    error_of(client.post("/v1/recommendations", content=b"\x1f\x8b", headers=zipped), 415, "encoded")
    error_of(client.put("/v1/recommendations", content=b"{}", headers=kind), 405, "method_not_allowed")
    large = b'{"history":[' + b" " * 1_000_001 + b"]}"
    error_of(client.post("/v1/recommendations", content=large, headers=kind), 413, "too_large")
    error_of(client.post("/v1/recommendations", content=iter([large]), headers=kind), 413, "too_large")


def test_headers_that_protect(service: Running) -> None:
    for path in ("/", "/healthz", "/nothing", "/v1/model"):
        headers = service.get(path, headers={"origin": "https://elsewhere.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-request-id"]
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
    assert service.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert service.get("/healthz", headers={"x-request-id": 'a"b'}).headers["x-request-id"] != 'a"b'


def test_metrics_tell_what_was_served(service: Running) -> None:
    service.get("/v1/users/1/recommendations")
    text = service.get("/metrics").text
    assert 'penchant_requests_total{method="GET",route="/v1/users/{user}/recommendations",status="200"}' in text
    assert 'penchant_model_info{model="mf"' in text
    share = next(line for line in text.splitlines() if line.startswith("penchant_served_share "))
    assert 0 < float(share.split()[1]) <= 1


def test_the_page_and_what_it_needs(service: Running) -> None:
    assert "text/html" in service.get("/").headers["content-type"]
    assert service.get("/openapi.json").json()["paths"]["/v1/users/{user}/recommendations"]
    assert service.get("/docs").status_code == 404


def test_the_log_is_json_without_users(service: Running) -> None:
    service.get("/v1/users/somebody-private/recommendations")
    lines = [json.loads(line) for line in service.logged().splitlines()]
    assert any(line.get("route") == "/v1/users/{user}/recommendations" for line in lines)
    assert "somebody-private" not in service.logged()


def test_a_model_that_ranks(ranking_model: Path, tmp_path: Path) -> None:
    with serving(ranking_model, tmp_path) as running:
        item = running.get("/v1/items?limit=1").json()["items"][0]["item"]
        told = running.post("/v1/recommendations", {"history": [{"item": item}], "reasons": True}).json()
        assert told["recommendations"][0]["prediction"] is None
        assert told["recommendations"][0]["reason"]["item"] == item
        error_of(running.post("/v1/predict", {"pairs": [{"user": 1, "item": item}]}), 422, "unsupported")
        events = [{"event_id": "a", "user": "new", "item": item}]
        assert running.post("/v1/feedback", {"events": events}).json()["accepted"] == 1
        assert item not in [
            one["item"] for one in running.get("/v1/users/new/recommendations").json()["recommendations"]
        ]
        assert running.get("/v1/model").json()["rating_scale"] is None


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("GET", "/v1/users/5/recommendations?k=3&where=genres%3DWar", {}),
        ("GET", "/v1/users/5/recommendations?k=0", {}),
        ("GET", "/v1/users/%20/recommendations", {}),
        ("GET", "/v1/items/5/similar?k=2", {}),
        ("GET", "/v1/items/5/similar?k=many", {}),
        ("GET", "/v1/items/nothing/similar", {}),
        ("POST", "/v1/recommendations", {"json": {"history": [{"item": 5, "rating": 4}], "k": 2}}),
        ("POST", "/v1/recommendations", {"json": {"history": [{"item": 5, "rating": "4"}]}}),
        ("POST", "/v1/recommendations", {"json": {"history": [{"item": 5}]}}),
        ("POST", "/v1/recommendations", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ("POST", "/v1/recommendations", {"json": {"history": [], "wish": 1}}),
    ],
)
def test_what_is_answered_without_the_framework_is_what_the_framework_answers(
    film_model: Path, tmp_path: Path, method: str, path: str, how: dict[str, Any]
) -> None:
    settings = ServiceSettings(feedback=str(tmp_path / "feedback.db"))
    made = create_app(film_model, settings)

    async def ask(app: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **how)

    async def both() -> tuple[httpx.Response, httpx.Response]:
        async with made.routes.router.lifespan_context(made.routes):
            return await ask(made.gate), await ask(made.routes)

    direct, framed = asyncio.run(both())
    assert direct.status_code == framed.status_code
    assert direct.json() == framed.json()


def test_ids_with_slashes(tmp_path: Path) -> None:
    rows = [(f"u/{n % 7}", f"a/b{n % 5}", 1 + n % 5) for n in range(35)]
    table = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row")
    saved = penchant.fit(penchant.read_ratings(table), "mf", epochs=1).save(tmp_path / "model")
    with serving(saved, tmp_path) as running:
        told = running.get("/v1/users/u%2F3/recommendations?include_seen=true").json()
        assert told["user"] == "u/3"
        assert told["known"]
        assert running.get("/v1/items/a%2Fb2").json()["item"] == "a/b2"
        assert running.get("/v1/items/a/b2/similar").json()["item"] == "a/b2"
        assert running.get("/v1/users/u/3/recommendations").json()["user"] == "u/3"
        assert running.get("/v1/users//recommendations").status_code == 422
        assert 'route="/v1/users/{user}/recommendations"' in running.get("/metrics").text


def test_a_model_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penchant", "serve", str(tmp_path / "none"), "--port", "0"]
    found = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)
    assert found.returncode == 2
    assert "none" in found.stderr
    assert list(tmp_path.iterdir()) == []
