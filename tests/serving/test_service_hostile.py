"""Requests that nobody would think of, made from the OpenAPI document, and bytes that no client sends."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from running_service import Running, serving

schemathesis = pytest.importorskip("schemathesis")
EXAMPLES = 30  # of each route that the document allows, and as many that it forbids

BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_no_request_that_the_document_allows_or_forbids_is_a_500(service: Running) -> None:
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # of a route without parameters there is nothing that it forbids
                BOUNDED(given(case=operation.as_strategy(generation_mode=mode))(_ask))()


def _ask(case: Any) -> None:
    response = case.call()
    assert response.status_code < 500, (case.as_curl_command(), response.text)
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/json"], (case.as_curl_command(), response.text)
        assert set(response.json()["error"]) == {"code", "message", "hint"}, response.text


# --- by hand: bytes that no client sends ----------------------------------------------------------------


def _connected(running: Running) -> socket.socket:
    url = running.client.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=15)


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"}") and (more := connection.recv(65_536)):
        answer += more
    return answer


def _until_closed(connection: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while more := connection.recv(65_536):
            answer += more
    return answer


def _memory(running: Running) -> int:
    """MB of the process."""
    lines = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def _endless(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(100_000_000 // len(piece)):
            connection.sendall(piece)

    return send


CHUNKED = b"POST /v1/recommendations HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"a: " + b"x" * 60_000 + b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\n", b"a:b\r\n" * 2_000),
        (b"GET /healthz HTTP/1.1\r\na: ", b"x" * 50_000),
        (b"GET /healthz HTTP/1.1\r\n", b"x" * 50_000),
        (b"GET /", b"x" * 50_000),
        (b"", b"\r\n" * 30_000),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: " + b"x" * 60_000 + b"\r\n"),
        (CHUNKED + b"2;", b"x" * 50_000),
    ],
    ids=["fields", "short fields", "a value", "a name", "a path", "blank lines", "trailers", "an extension"],
)
def test_what_comes_without_end_is_refused_before_it_is_in_memory(service: Running, start: bytes, piece: bytes) -> None:
    before = _memory(service)
    with _connected(service) as connection, pytest.raises(ConnectionError):
        _endless(start, piece)(connection)
    assert _memory(service) < before + 60
    assert service.get("/healthz").status_code == 200


def test_a_head_that_is_too_large_is_told_and_one_that_is_large_is_read(service: Running) -> None:
    with _connected(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\na: " + b"x" * 60_000 + b"\r\n\r\n")
        assert _answer(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"a: " + b"x" * 110_000)
        answer = _until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"too_long"' in answer
    with _connected(service) as connection:
        connection.sendall(b"GET /v1/items?search=" + b"x" * 66_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert _until_closed(connection).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_does_not_come_keeps_no_connection(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--timeout", "1") as running, _connected(running) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n")
        assert _answer(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"a")
        started = time.monotonic()
        assert _until_closed(connection) == b""
        assert time.monotonic() - started < 5
        with _connected(running) as patient:
            patient.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n")
            assert _answer(patient).startswith(b"HTTP/1.1 200 ")
            patient.sendall(b"ab")
            time.sleep(1.5)  # all has come: idle, not slow
            patient.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert _answer(patient).startswith(b"HTTP/1.1 200 ")
