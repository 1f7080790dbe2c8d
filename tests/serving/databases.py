"""A PostgreSQL of the tests' own, from the binaries of the system's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
SETTINGS = "-c listen_addresses='' -c max_connections=100 -c shared_buffers=16MB -c log_min_messages=fatal"


class PostgreSQL:
    """A running server that listens on a socket only."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self.data = folder / "data"
        self.user = "postgres" if os.geteuid() == 0 else None

    def run(self, program: str, *arguments: str) -> None:
        # The server's own output must not be a pipe of ours: it stays open as long as the server runs.
        with (self.folder / "log").open("ab") as log:
            command = [str(self.binaries / program), *arguments]
            subprocess.run(command, check=True, stdout=log, stderr=log, user=self.user, cwd=self.folder, timeout=60)

    def start(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-o", f"{SETTINGS} -k {self.folder}", "start")

    def stop(self, how: str = "immediate") -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", how, "stop")

    def url(self, database: str) -> str:
        return f"postgresql://penchant:secret@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self.run("createdb", "-h", str(self.folder), "-U", "penchant", name)
        return self.url(name)


@contextmanager
def running_postgresql(parent: Path | None = None) -> Iterator[PostgreSQL]:
    """Make and start a server in a folder of its own; a test is skipped where there is none to start."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=parent))  # short: the name of a socket has 107 characters at most
    server = PostgreSQL(BINARIES[-1].parent, folder)
    try:
        if server.user is not None:
            shutil.chown(folder, server.user)
        server.run("initdb", "-D", str(server.data), "-U", "penchant", "-E", "UTF8", "--no-sync", "-A", "trust")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
