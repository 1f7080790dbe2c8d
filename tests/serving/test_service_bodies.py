"""Bodies that come slowly, or not at all, and senders that go away: nobody else waits for them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_service import Running, serving

from penchant.serving.limits import Bodies

LINES = ("POST /v1/recommendations HTTP/1.1", "host: localhost", "content-type: application/json", "content-length: %d")
HEAD = "\r\n".join((*LINES, "", "")).encode()


def connected(running: Running) -> socket.socket:
    url = running.client.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=15)


def history(running: Running, **more: Any) -> dict[str, Any]:
    item = running.get("/v1/items?limit=1").json()["items"][0]["item"]
    return {"history": [{"item": item, "rating": 3}], **more}


def metric(running: Running, name: str) -> float:
    lines = running.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def test_bodies_that_do_not_come_take_no_place(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path) as running, ExitStack() as stack:
        for n in range(64 + 256 + 10):
            connection = stack.enter_context(connected(running))
            connection.sendall(HEAD % 100 + b"{" * (n % 2))
        time.sleep(0.3)
        assert metric(running, "penchant_requests_in_work") == 0
        for _ in range(3):
            assert running.get("/v1/users/1/recommendations").status_code == 200
            assert running.post("/v1/recommendations", history(running)).status_code == 200


def test_a_body_in_pieces_is_read_whole_and_one_that_is_too_large_is_not(film_model: Path, tmp_path: Path) -> None:
    kind = {"content-type": "application/json"}
    with serving(film_model, tmp_path, "--max-body", "300000") as running:
        body = json.dumps(history(running, k=3)).encode()
        once = running.client.post("/v1/recommendations", content=body, headers=kind)

        def pieces(padding: int) -> Iterator[bytes]:
            for letter in body:
                yield bytes([letter])
            yield from (b" " * 20_000 for _ in range(padding // 20_000))

        for padding in (0, 280_000):
            in_pieces = running.client.post("/v1/recommendations", content=pieces(padding), headers=kind)
            assert (in_pieces.status_code, in_pieces.content) == (200, once.content)
        refused = httpx.post(f"{running.url}/v1/recommendations", content=pieces(320_000), headers=kind, timeout=30)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")


def test_whoever_goes_leaves_the_queue(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--concurrency", "1", "--queue", "8") as running:
        slow = history(running, k=50, reasons=True, intervals=True, diversity=0.5)
        body = json.dumps(slow).encode()
        with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
            busy = pool.submit(lambda: [running.post("/v1/recommendations", slow).status_code for _ in range(40)])
            for _ in range(10):
                gone = [stack.enter_context(connected(running)) for _ in range(8)]
                for connection in gone:
                    connection.sendall(HEAD % len(body) + body)
                for connection in gone:
                    connection.close()
                time.sleep(0.05)
                assert metric(running, "penchant_requests_waiting") <= 1
            assert set(busy.result()) <= {200, 503}
        assert (metric(running, "penchant_requests_in_work"), metric(running, "penchant_requests_waiting")) == (0, 0)


def test_the_body_that_arrives_for_longest_is_given_up_for_others() -> None:
    async def play() -> list[str]:
        bodies, order = Bodies(100), []

        async def send(name: str, pieces: int, pause: float) -> None:
            try:
                async with asyncio.timeout(5) as limit:
                    for _ in range(pieces):
                        bodies.add(limit, 30)
                        await asyncio.sleep(pause)
                    bodies.is_whole(limit)
                    order.append(name)
                    await asyncio.sleep(0.01)
            except TimeoutError:
                order.append(f"not {name}")
            finally:
                bodies.leave(limit)

        slow = [asyncio.create_task(send(name, 1, 3)) for name in "abc"]
        await asyncio.sleep(0)
        await send("quick", 2, 0)
        assert bodies.held == 30
        slow[-1].cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert bodies.held == 0
        return order

    assert sorted(asyncio.run(play())) == ["not a", "not b", "quick"]


@pytest.mark.parametrize("n_bytes", [50, 101])
def test_one_body_alone_is_given_up_only_if_it_is_too_large(n_bytes: int) -> None:
    async def play() -> bool:
        bodies = Bodies(100)
        async with asyncio.timeout(5) as limit:
            bodies.add(limit, n_bytes)
            await asyncio.sleep(0.01)
        return True

    if n_bytes <= 100:
        assert asyncio.run(play())
    else:
        with pytest.raises(TimeoutError):
            asyncio.run(play())
