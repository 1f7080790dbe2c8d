"""What goes wrong inside: a store that hangs, looks that fail, panics, a log that cannot be written."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_service import SOURCE

from penchant.serving.app import Made, create_app
from penchant.serving.batching import Batcher
from penchant.serving.service_settings import ServiceSettings
from penchant.serving.store import FeedbackStore

Client = httpx.AsyncClient


def in_process(folder: Path, store: Path, act: Callable[[Made, Client], Awaitable[Any]], **settings: Any) -> Any:
    """What comes of acting on a service inside this process."""
    made = create_app(folder, ServiceSettings(feedback=str(store / "feedback.db"), **settings))

    async def play() -> Any:
        async with made.routes.router.lifespan_context(made.routes):
            transport = httpx.ASGITransport(made.gate, raise_app_exceptions=False)
            async with Client(transport=transport, base_url="http://localhost", timeout=30) as client:
                return await act(made, client)

    return asyncio.run(play())


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Something that hangs until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def _hanging(held: threading.Event) -> Callable[..., Any]:
    def hang(*_: Any) -> Any:
        held.wait(30)
        return ()

    return hang


def test_what_needs_no_store_goes_on_while_the_store_hangs(
    film_model: Path, tmp_path: Path, held: threading.Event
) -> None:
    async def act(made: Made, client: Client) -> None:
        event = {"event_id": "1", "user": "somebody", "item": 1, "rating": 4}
        assert (await client.post("/v1/feedback", json={"events": [event]})).status_code == 200
        made.service.live.overlay.store.of_user = _hanging(held)  # type: ignore[method-assign]
        pairs = {"pairs": [{"user": "somebody", "item": 1}]}
        stuck = [asyncio.create_task(client.get("/v1/users/somebody/recommendations")) for _ in range(3)]
        stuck += [asyncio.create_task(client.get("/v1/users/somebody/recommendations?reasons=true"))]
        stuck += [asyncio.create_task(client.post("/v1/predict", json=pairs)) for _ in range(4)]
        stuck += [asyncio.create_task(client.get("/v1/explain?user=somebody&item=1")) for _ in range(4)]
        await asyncio.sleep(0.2)
        visitor = {"history": [{"item": 1, "rating": 4}]}
        others = [
            client.post("/v1/recommendations", json=visitor),
            client.post("/v1/recommendations", json={**visitor, "reasons": True}),
            client.get("/v1/users/1/recommendations"),
            client.post("/v1/predict", json={"pairs": [{"user": 1, "item": 1}]}),
            client.get("/v1/items?search=film"),
        ]
        found = await asyncio.wait_for(asyncio.gather(*others), 10)
        assert [one.status_code for one in found] == [200] * len(others)
        assert not any(one.done() for one in stuck)
        held.set()
        assert {(await one).status_code for one in stuck} == {200}

    in_process(film_model, tmp_path, act, timeout=60)


class Panic(BaseException):
    """As native code has them."""


@pytest.mark.parametrize("error", [ValueError("a strange row"), Panic("a strange row")])
def test_a_look_that_fails_is_told_and_the_next_is_taken(
    film_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async def until(client: Client, status: int) -> httpx.Response:
        deadline = time.monotonic() + 20
        while (found := await client.get("/readyz")).status_code != status and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return found

    def fail() -> None:
        raise error

    async def act(made: Made, client: Client) -> None:
        assert (await until(client, 200)).status_code == 200
        made.service.live.overlay.refresh = fail  # type: ignore[method-assign]
        found = await until(client, 503)
        assert found.json()["error"]["code"] == "feedback_unseen"
        assert (await client.get("/v1/users/1/recommendations")).status_code == 200
        del made.service.live.overlay.refresh
        assert (await until(client, 200)).status_code == 200

    in_process(film_model, tmp_path, act, feedback_poll=0.01)
    assert "cannot be read" in caplog.text


def test_all_is_closed_whatever_fails(film_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, close = [], FeedbackStore.close

    def told(store: FeedbackStore) -> None:
        closed.append(store)
        close(store)

    def fail(_: Batcher) -> None:
        raise ValueError("no end")

    async def act(made: Made, _: Client) -> None:
        assert made.service.is_ready

    monkeypatch.setattr(FeedbackStore, "close", told)
    monkeypatch.setattr(Batcher, "close", fail)
    with pytest.raises(ValueError, match="no end"):
        in_process(film_model, tmp_path, act)
    assert len(closed) == 1


def test_a_panic_is_refused_in_the_shape_of_all_failures(film_model: Path, tmp_path: Path) -> None:
    def panic(*_: Any) -> None:
        raise Panic("of a table")

    async def act(made: Made, client: Client) -> None:
        made.service.run = panic  # type: ignore[method-assign]
        found = await client.get("/v1/map")
        assert (found.status_code, found.json()["error"]["code"]) == (500, "internal")
        assert "of a table" not in found.text

    in_process(film_model, tmp_path, act)


def test_a_reload_is_waited_for(film_model: Path, tmp_path: Path) -> None:
    async def act(made: Made, client: Client) -> None:
        reload = made.service.live.reload

        def slowly() -> Any:
            time.sleep(1)
            return reload()

        made.service.live.reload = slowly  # type: ignore[method-assign]
        found = await client.post("/v1/admin/reload")
        assert (found.status_code, found.json()["version"]) == (200, made.service.live.loaded.version)

    in_process(film_model, tmp_path, act, timeout=0.3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_log_that_cannot_be_written_breaks_no_answer(film_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penchant", "serve", str(film_model), "--port", "0"]
    command += ["--feedback", str(tmp_path / "f.db")]
    environment = {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=full, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+?:\d+", process.stdout.readline())
            assert found
            with httpx.Client(base_url=found.group(), timeout=30) as client:
                ports = set()
                for _ in range(6):
                    answer = client.get("/v1/users/1/recommendations?k=1")
                    assert answer.status_code == 200
                    ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
                assert len(ports) == 1  # one connection, which was kept
        finally:
            process.terminate()
            process.wait(30)
