"""A virtual environment for a peer library, under .venvs, so that it never meets penchant's own.

    python benchmarks/peer_venv.py fastai "torch" "fastai==2.8.12"

Requirements are installed one after the other, each under the repository's constraints.txt, by the pip that
the Python in use has, with whatever package index that pip is set up for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
MARKER = "installed.txt"


def ensure(name: str, requirements: Sequence[str], flags: Mapping[str, str] | None = None) -> Path:
    """The Python of the environment of a name, which is made when it is not there or was made for something else.

    Args:
        flags: environment variables for pip, such as CFLAGS for what it compiles.

    Raises:
        subprocess.CalledProcessError: pip failed; what it says is on stderr, and nothing is left.
    """
    folder = ROOT / ".venvs" / name
    if not is_current(folder, requirements, flags):
        create(folder, requirements, flags)
    return python_of(folder)


def is_current(folder: Path, requirements: Sequence[str], flags: Mapping[str, str] | None = None) -> bool:
    """Whether a folder is an environment with just these requirements under today's constraints."""
    marker = folder / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8") == mark(requirements, flags)


def create(folder: Path, requirements: Sequence[str], flags: Mapping[str, str] | None = None) -> None:
    """Make the environment anew. The marker is written last, so half of one is never taken for whole."""
    print(f"Making an environment with {', '.join(requirements)} (once).", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        with variables(flags or {}):
            for requirement in requirements:
                install(python_of(folder), requirement)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / MARKER).write_text(mark(requirements, flags), encoding="utf-8")


@contextmanager
def variables(flags: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(flags)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def install(python: Path, requirement: str) -> None:
    """Install one requirement, quietly unless it fails."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--constraint", str(CONSTRAINTS), requirement], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr, flush=True)
        done.check_returncode()


def mark(requirements: Sequence[str], flags: Mapping[str, str] | None = None) -> str:
    """What tells one environment from another."""
    constraints = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()
    python = ".".join(map(str, sys.version_info[:2]))
    given = [f"{name}={value}" for name, value in (flags or {}).items()]
    return "\n".join((*requirements, *given, f"python {python}", f"constraints {constraints}", ""))


def python_of(folder: Path) -> Path:
    """The Python of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


if __name__ == "__main__":
    print(ensure(sys.argv[1], sys.argv[2:]))
