"""What tests share: small data with known answers, and the published data where it is."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none, split_random
from penchant.data.synthetic import checkerboard, planted

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

settings.register_profile("penchant", deadline=None)  # a busy machine is no failure
settings.load_profile("penchant")


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published data sets, from PENCHANT_DATA; tests that need it are skipped elsewhere."""
    folder = os.environ.get("PENCHANT_DATA")
    if not folder or not (Path(folder) / "ml-latest-small").is_dir():
        pytest.skip("PENCHANT_DATA does not name a folder with ml-latest-small and the other published data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def board() -> Split:
    return split_none(checkerboard())


@pytest.fixture(scope="session")
def ratings() -> Interactions:
    """About 3,000 planted ratings of 80 users and 120 items."""
    return planted(80, 120, 4000, seed=1)


@pytest.fixture(scope="session")
def split(ratings: Interactions) -> Split:
    return split_random(ratings, 0.2, seed=3)


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """Modules of benchmarks/, as one of its scripts imports them."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module
        ours = {path.stem for path in BENCHMARKS.glob("*.py")}
        for name in (set(sys.modules) - before) & ours:
            sys.modules.pop(name)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the cache of the person who runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def calling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], Any]:
    """What runs command lines in a folder, checks their exit codes, and gives what they write: (stdout, stderr)."""
    from penchant.cli import run

    def in_folder(folder: Path) -> Any:
        monkeypatch.setattr(sys, "warnoptions", ["error"])
        monkeypatch.chdir(folder)

        def say(line: str, code: int = 0) -> tuple[str, str]:
            capsys.readouterr()
            found = run(line.split())
            out, err = capsys.readouterr()
            assert found == code, err
            return out, err

        return say

    return in_folder
