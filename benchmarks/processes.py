"""Workers: one script in one fresh Python process, options in, one JSON file out."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WORKERS = Path(__file__).resolve().parent / "workers"
SHOWN_LINES = 40
ON_THE_PROCESSOR = {"CUDA_VISIBLE_DEVICES": ""}  # the notebook's models are compared where penchant's kernels run


class WorkerTimeoutError(Exception):
    """A worker was killed, since it took too long."""


class WorkerError(Exception):
    """A worker failed; the message holds the end of what it said on stderr."""


def run_worker(
    python: str | Path,
    script: str,
    options: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """Run a script of workers/ and return its result, with the wall time of the whole process put in.

    Args:
        python: the interpreter.
        options: given as --name value, and --out for the result.
        environment: variables beside those of this process.
        on_line: is given each line of the worker's stdout as it comes.
        limit: seconds after which it is killed.

    Raises:
        WorkerTimeoutError: it took longer.
        WorkerError: it ended with an error, or wrote no result.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out.json", Path(folder) / "stderr.txt"
        given = [part for name, value in {**options, "out": out}.items() for part in (f"--{name}", str(value))]
        # -E: neither PYTHONPATH nor PYTHONSTARTUP of the caller reaches a peer's environment.
        command = [str(python), "-E", "-W", "ignore", str(WORKERS / script), *given]
        started = time.perf_counter()
        code = _run(command, errors, {**os.environ, **ON_THE_PROCESSOR, **(environment or {})}, on_line, limit)
        seconds = time.perf_counter() - started
        if limit is not None and seconds >= limit:
            raise WorkerTimeoutError(f"{script} was killed after {limit:g} s")
        if code != 0 or not out.is_file():
            said = errors.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
            raise WorkerError(f"{script} ended with status {code}:\n" + "\n".join(said))
        return {**json.loads(out.read_text(encoding="utf-8")), "process_seconds": seconds}


def _run(
    command: list[str],
    errors: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None] | None,
    limit: float | None,
) -> int:
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True
        ) as process,
    ):
        killer = threading.Timer(limit or 0, process.kill)
        if limit is not None:
            killer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if on_line is not None:
                    on_line(line.rstrip())
        except BaseException:
            process.kill()
            raise
        finally:
            killer.cancel()
    return process.returncode
