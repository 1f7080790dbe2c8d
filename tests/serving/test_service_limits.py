"""Who may ask, how much, and what becomes of requests when the model changes or the service stops."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from running_service import SOURCE, Running, serving

import penchant
from penchant.serving.limits import Full, Rates, Room


def load(running: Running, stop: threading.Event, seen: list[int], failed: list[Exception]) -> None:
    """Ask again and again on one connection until told to stop or the service is gone."""
    n = 0
    with httpx.Client(base_url=running.url, timeout=30) as client:
        while not stop.is_set():
            n += 1
            try:
                seen.append(client.get(f"/v1/users/{n % 60}/recommendations?k=5").status_code)
            except httpx.ConnectError:
                return
            except httpx.TransportError as error:
                failed.append(error)
                return


def under_load(running: Running, act: object, threads: int = 6) -> tuple[Counter[int], list[Exception]]:
    stop, seen, failed = threading.Event(), [], []  # type: ignore[var-annotated]
    workers = [threading.Thread(target=load, args=(running, stop, seen, failed)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    time.sleep(0.5)
    act()  # type: ignore[operator]
    stop.set()
    for worker in workers:
        worker.join()
    return Counter(seen), failed


def test_a_reload_under_load_fails_no_request(film_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(film_model, folder)
    other = penchant.fit(penchant.read_ratings(film_model.parent / "ratings.csv"), "bias").save(tmp_path / "other")
    with serving(folder, tmp_path) as running:
        first = running.get("/v1/model").json()["version"]

        def reload() -> None:
            penchant.load(other).save(folder)
            answer = running.post("/v1/admin/reload").json()
            assert answer["previous"] == first
            assert running.get("/v1/model").json()["version"] == answer["version"] != first
            (folder / "arrays.safetensors").write_bytes(b"broken")
            refused = running.post("/v1/admin/reload")
            assert refused.status_code == 409
            assert refused.json()["error"]["code"] == "bad_artifact"
            assert str(folder) not in refused.text
            penchant.load(film_model).save(tmp_path / "again")
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "again", folder)
            running.send(signal.SIGHUP)
            deadline = time.monotonic() + 20
            while running.get("/v1/model").json()["version"] != first and time.monotonic() < deadline:
                time.sleep(0.05)
            assert running.get("/v1/model").json()["version"] == first

        seen, failed = under_load(running, reload)
        assert not failed
        assert set(seen) == {200}
        assert 'penchant_reloads_total{outcome="refused"} 1.0' in running.get("/metrics").text


def test_sigterm_under_load_answers_what_was_accepted(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path) as running:

        def stop() -> None:
            running.send(signal.SIGTERM)
            assert running.process.wait(20) == 0

        seen, failed = under_load(running, stop)
        assert not failed
        assert set(seen) <= {200, 503}
        assert seen[200] > 5
        assert '"stopped"' in running.logged()


def test_a_service_that_stops_says_so_to_whoever_watches(film_model: Path, tmp_path: Path) -> None:
    """By GET and by HEAD, on a connection that is answered, with nothing strange in the log."""
    with serving(film_model, tmp_path, "--drain", "3") as running:
        assert [httpx.head(f"{running.url}/{path}").status_code for path in ("healthz", "readyz")] == [200, 200]
        running.send(signal.SIGTERM)
        deadline = time.monotonic() + 3
        while (found := running.get("/readyz")).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert found.status_code == 503
        assert found.json()["error"]["code"] == "stopping"
        assert httpx.head(f"{running.url}/readyz").status_code == 503
        assert running.process.wait(20) == 0
        assert "Traceback" not in running.logged()
        assert "a request failed" not in running.logged()


def test_a_sender_that_sends_too_much_is_told_to_wait(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--rate", "1", "--burst", "3") as running:
        found = [running.get("/v1/items?limit=1") for _ in range(6)]
        statuses = [one.status_code for one in found]
        assert 429 in statuses
        assert statuses[:2] == [200, 200]
        assert int(found[-1].headers["retry-after"]) >= 1
        assert found[-1].json()["error"]["code"] == "too_many"
        assert running.get("/healthz").status_code == 200  # whoever watches is not counted


def test_what_waits_beyond_the_queue_is_refused(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--concurrency", "1", "--queue", "2") as running:
        item = running.get("/v1/items?limit=1").json()["items"][0]["item"]
        body = {"history": [{"item": item, "rating": 3}], "k": 50, "reasons": True}
        with ThreadPoolExecutor(16) as pool:
            url = f"{running.url}/v1/recommendations"
            found = list(pool.map(lambda _: httpx.post(url, json=body, timeout=30), range(64)))
    assert {one.status_code for one in found} == {200, 503}
    refused = next(one for one in found if one.status_code == 503)
    assert refused.json()["error"]["code"] == "overloaded"
    assert refused.headers["retry-after"] == "1"


def test_a_body_that_does_not_come_is_given_up(film_model: Path, tmp_path: Path) -> None:
    def slowly() -> Iterator[bytes]:
        yield b'{"history"'
        time.sleep(1.5)
        yield b": []}"

    with serving(film_model, tmp_path, "--timeout", "0.5") as running:
        kind = {"content-type": "application/json"}
        found = running.client.post("/v1/recommendations", content=slowly(), headers=kind)
        assert found.status_code == 408
        assert found.json()["error"]["code"] == "too_slow"
        assert running.get("/healthz").status_code == 200


def test_files_of_the_page_do_not_count_for_the_rate(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--rate", "1", "--burst", "3") as running:
        assert {running.get("/page/mark.svg").status_code for _ in range(10)} == {200}
        assert running.client.head("/").status_code == 200
        assert 429 in {running.get("/v1/model").status_code for _ in range(10)}


def test_an_origin_that_is_allowed_may_call(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, PENCHANT_CORS_ORIGINS="https://shop.example") as running:
        ask = {"access-control-request-method": "POST"}
        ours = running.client.options("/v1/predict", headers={"origin": "https://shop.example", **ask})
        assert ours.status_code == 204
        assert ours.headers["access-control-allow-origin"] == "https://shop.example"
        theirs = running.client.options("/v1/predict", headers={"origin": "https://other.example", **ask})
        assert theirs.status_code == 403
        assert "access-control-allow-origin" not in theirs.headers


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", "penchant", "serve", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--host", "0.0.0.0"), "no keys"),
        (("--port", "99999"), "--port"),
        (("--timeout", "none"), "--timeout"),
        (("--feedback", "mysql://x/y"), "mysql"),
    ],
)
def test_bad_settings_are_told_before_anything_starts(film_model: Path, flags: tuple[str, ...], said: str) -> None:
    found = run(str(film_model), *flags)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_no_model_is_told(tmp_path: Path) -> None:
    found = run(str(tmp_path / "none"), "--port", "0", "--feedback", str(tmp_path / "f.db"))
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


def test_the_service_loads_neither_torch_nor_matplotlib(film_model: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from penchant.serving.app import create_app
from penchant.serving.service_settings import ServiceSettings
import penchant.serving.running
create_app(Path({str(film_model)!r}), ServiceSettings(feedback={str(tmp_path / "f.db")!r}))
print({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "matplotlib", "pandas"}})
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert found.stdout.strip() == "set()", found.stderr


def test_rates_come_back_with_time() -> None:
    now = [0.0]
    rates = Rates(2.0, 3, lambda: now[0])
    assert [rates.wait("a") for _ in range(3)] == [0, 0, 0]
    assert rates.wait("a") == pytest.approx(0.5)
    assert rates.wait("b") == 0
    now[0] = 0.5
    assert rates.wait("a") == 0
    assert rates.wait("a") == pytest.approx(0.5)


def test_a_room_lets_in_who_waited_first_and_forgets_who_gave_up() -> None:
    async def play() -> list[str]:
        room, order = Room(1, 2), []
        await room.enter()

        async def visit(name: str) -> None:
            await room.enter()
            order.append(name)
            room.leave()

        first, second = asyncio.create_task(visit("first")), asyncio.create_task(visit("second"))
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await room.enter()
        first.cancel()
        await asyncio.sleep(0)
        third = asyncio.create_task(visit("third"))
        await asyncio.sleep(0)
        room.leave()
        await asyncio.gather(second, third)
        assert (room.taken, room.waiting) == (0, 0)
        return order

    assert asyncio.run(play()) == ["second", "third"]


def _read(connection: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end) and (more := connection.recv(4096)):
        answer += more
    return answer


def test_a_request_whose_headers_do_not_come_is_given_up(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--timeout", "0.5") as running:
        address = running.client.base_url.host, running.client.base_url.port or 80
        with (
            socket.create_connection(address, timeout=10) as slow,
            socket.create_connection(address, timeout=10) as mute,
        ):
            slow.sendall(b"GET /healthz HTTP/1.1\r\nhost: here\r\n")
            answer = b""
            while more := slow.recv(4096):
                answer += more
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"code":"too_slow"' in answer
            assert mute.recv(4096) == b""
        with socket.create_connection(address, timeout=10) as patient:
            patient.sendall(b"GET /healthz HTTP/1.1\r\nhost: here\r\n")
            time.sleep(0.2)
            patient.sendall(b"\r\n")
            assert _read(patient, b'{"status":"ok"}').startswith(b"HTTP/1.1 200 ")
            time.sleep(0.8)  # an idle connection is not a slow request
            patient.sendall(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n")
            assert _read(patient, b'{"status":"ok"}').startswith(b"HTTP/1.1 200 ")
