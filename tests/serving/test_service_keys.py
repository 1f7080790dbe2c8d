"""Which key opens which route."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from running_service import serving

from penchant.serving.app import create_app
from penchant.serving.keys import Keys, add_key, remove_key
from penchant.serving.service_settings import ServiceSettings

SCOPES = {"reader": {"read"}, "writer": {"write"}, "admin": {"admin"}, "all": {"read", "write", "admin"}}
ROUTES = [
    ("GET", "/v1/users/1/recommendations", "read"),
    ("POST", "/v1/recommendations", "read"),
    ("POST", "/v1/predict", "read"),
    ("GET", "/v1/explain?user=1&item=1", "read"),
    ("POST", "/v1/explain", "read"),
    ("GET", "/v1/items", "read"),
    ("GET", "/v1/items/1", "read"),
    ("GET", "/v1/items/1/similar", "read"),
    ("GET", "/v1/map", "read"),
    ("GET", "/v1/model", "read"),
    ("GET", "/v1/nothing", "read"),
    ("GET", "/v1/feedback", "read"),
    ("POST", "/v1/feedback", "write"),
    ("POST", "/v1/admin/reload", "admin"),
    ("GET", "/metrics", "admin"),
    ("GET", "/", None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/openapi.json", None),
]


Questions = Callable[[httpx.AsyncClient, dict[str, str]], Awaitable[None]]
Ask = Callable[[Questions], None]


@pytest.fixture
def ask(film_model: Path, tmp_path: Path) -> Iterator[Ask]:
    """Asks an application with keys, which are given by the names of their owners."""
    file = tmp_path / "keys.json"
    keys = {name: add_key(file, name, sorted(scopes)) for name, scopes in SCOPES.items()}
    settings = ServiceSettings(feedback=str(tmp_path / "feedback.db"), rate=1.0, burst=100)
    made = create_app(film_model, settings, Keys.load(file))

    def run(questions: Questions) -> None:
        async def inside() -> None:
            transport = httpx.ASGITransport(made.gate)
            client = httpx.AsyncClient(transport=transport, base_url="http://service")
            async with made.routes.router.lifespan_context(made.routes), client:
                await questions(client, keys)

        asyncio.run(inside())

    yield run
    made.service.live.overlay.store.close()


def test_each_route_wants_its_scope(ask: Ask) -> None:
    async def questions(client: httpx.AsyncClient, keys: dict[str, str]) -> None:
        for method, path, scope in ROUTES:
            for key in (None, "wrong", *SCOPES):
                headers = {} if key is None else {"authorization": f"Bearer {keys.get(key, key)}"}
                found = await client.request(method, path, headers=headers, json={} if method == "POST" else None)
                if scope is None or (key in SCOPES and scope in SCOPES[key]):
                    assert found.status_code not in (401, 403), (path, key)
                elif key in SCOPES:
                    assert found.status_code == 403, (path, key)
                    assert found.json()["error"]["code"] == "wrong_scope"
                else:
                    assert found.status_code == 401, (path, key)
                    assert found.headers["www-authenticate"] == "Bearer"
                    assert found.json()["error"]["code"] == ("no_key" if key is None else "unknown_key")

    ask(questions)


@pytest.mark.parametrize("header", ["Basic {}", "Bearer", "Bearer ", "{}", "Bearer {}x", "bearer {}"])
def test_what_is_a_key(ask: Ask, header: str) -> None:
    async def questions(client: httpx.AsyncClient, keys: dict[str, str]) -> None:
        found = await client.get("/v1/model", headers={"authorization": header.format(keys["reader"])})
        assert found.status_code == (200 if header == "bearer {}" else 401)

    ask(questions)


def test_who_guesses_keys_is_slowed_down(ask: Ask) -> None:
    async def questions(client: httpx.AsyncClient, keys: dict[str, str]) -> None:
        guesses = [await client.get("/v1/model", headers={"authorization": f"Bearer {n}"}) for n in range(110)]
        assert guesses[-1].status_code == 429
        assert (await client.get("/v1/model", headers={"authorization": f"Bearer {keys['reader']}"})).status_code == 200

    ask(questions)


def test_a_process_that_others_can_reach_asks_for_keys(film_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    first, second = add_key(file, "one", ["read"]), add_key(file, "two", ["read"])
    with serving(film_model, tmp_path, "--host", "0.0.0.0", PENCHANT_KEYS=str(file)) as running:
        headers = {"authorization": f"Bearer {first}"}
        assert running.get("/v1/model").status_code == 401
        assert running.get("/v1/model", headers=headers).status_code == 200
        remove_key(file, "one")
        assert running.get("/v1/model", headers=headers).status_code == 401
        assert running.get("/v1/model", headers={"authorization": f"Bearer {second}"}).status_code == 200
        assert first not in running.logged()
