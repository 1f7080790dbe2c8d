"""Telling a service that there is another model: the file with its number, and its address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from running_service import SOURCE, Running, serving

from penchant.errors import ServiceError, SettingError
from penchant.serving.pid_file import hang_up, held
from penchant.serving.telling import Services, reload


def test_the_file_is_there_as_long_as_the_service(film_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "serve.pid"
    file.write_text("1\n")  # as a crash leaves it
    with serving(film_model, tmp_path, "--pid-file", str(file)) as running:
        assert file.read_text() == f"{running.process.pid}\n"
        assert hang_up(file) == running.process.pid
        second = subprocess.run(
            [sys.executable, "-m", "penchant", "serve", str(film_model), "--port", "0", "--pid-file", str(file)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
        )
        assert second.returncode == 2
        assert "is the file of another service, which runs" in second.stderr
        assert hang_up(file) == running.process.pid
        assert running.stop() == 0
    assert not file.exists()
    assert "a model is loaded" in running.logged()


def test_what_a_crash_left_behind_is_nobody(tmp_path: Path) -> None:
    """The number may be another program's by now: here it is one that SIGHUP would end."""
    file = tmp_path / "serve.pid"
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file.write_text(f"{stranger.pid}\n")
    with pytest.raises(ServiceError, match="No service runs that holds"):
        hang_up(file)
    assert stranger.poll() is None
    stranger.kill()
    assert stranger.wait() == -signal.SIGKILL
    assert stranger.stdin is not None
    stranger.stdin.close()


def test_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "serve.pid"
    with pytest.raises(ServiceError, match="No such file"):
        hang_up(file)
    with held(file) as write:
        with pytest.raises(ServiceError, match="its service is starting"):
            hang_up(file)
        write()
        assert file.read_text() == f"{os.getpid()}\n"
        with pytest.raises(SettingError, match="another service"), held(file):
            pass
    assert not file.exists()
    with pytest.raises(SettingError, match="cannot be written"), held(tmp_path):
        pass
    with held(None) as write:
        write()


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str | None]]]:
    """A server that answers so, and the keys that it was shown."""
    shown: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown.append(self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", shown
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"hello", "is not a service of penchant"),
        (200, b"[]", "is not a service of penchant"),
        (200, b'{"other": 1}', "is not a service of penchant"),
        (404, b"<html>", "refuses: it answers 404"),
        (500, b'{"error": "text"}', "refuses: it answers 500"),
    ],
)
def test_what_is_no_service_is_told(status: int, body: bytes, words: str) -> None:
    with answering(status, body) as (url, _), pytest.raises(ServiceError, match=words):
        reload(url)


def test_a_key_goes_to_no_other_address() -> None:
    with answering(200, b'{"version": "1"}') as (elsewhere, stolen):
        for status in (301, 302, 307, 308):
            with answering(status, b"", Location=elsewhere) as (url, shown), pytest.raises(ServiceError):
                reload(url, "secret")
            assert shown == ["Bearer secret"]
        assert stolen == []


def test_nobody_there_is_told() -> None:
    with answering(200, b"") as (url, _):
        pass
    with pytest.raises(ServiceError, match=r"does not answer: .*refused"):
        reload(url)


def test_others_are_told_though_one_does_not_answer() -> None:
    with answering(200, b'{"version": "abc"}') as (url, _):
        pass
    with answering(200, b'{"version": "abc"}') as (there, _), answering(200, b'{"version": "xyz"}') as (other, _):
        told = Services((url, there, other)).tell("abcdef")
    assert [one.version for one in told] == [None, "abc", None]
    assert "does not answer" in told[0].problem
    assert told[1].problem == ""
    assert "another one: xyz, not abc" in told[2].problem
    assert "--model-dir" in told[2].remedy


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://host:x", "http://a b", "http://me:key@host", "/file"]
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(SettingError, match=r"no address|more than an address"):
        Services((url,))


@pytest.mark.parametrize("key", ["", " ", "two\nlines", "schlüssel"])
def test_what_is_no_key_is_refused_at_once(key: str) -> None:
    with pytest.raises(SettingError, match="key"):
        Services((), key)


def test_a_service_says_which_version_it_serves(service: Running) -> None:
    version = service.get("/v1/model").json()["version"]
    assert reload(service.url) == version
    assert reload(f"{service.url}/") == version


def test_a_file_that_is_no_pid_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\n")
    with pytest.raises(SettingError, match="has no number of a process"), held(path):
        pass
    assert path.read_text() == "user,item,rating\n"
    path.write_text("12345\n")  # left behind by a crash
    with held(path) as write:
        write()
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
