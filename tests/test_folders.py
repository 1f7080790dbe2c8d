"""A folder in the place of another: whole at every moment, the one before kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penchant import folders
from penchant.folders import bring_back, put

CAN_EXCHANGE = sys.platform == "linux"


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "content").write_text(content)
    return path


def content(path: Path) -> str:
    return (path / "content").read_text()


@pytest.fixture(params=[True, False], ids=["in one step", "by two renames"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not request.param:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    return tmp_path / "place"


def test_a_place_that_is_empty(place: Path) -> None:
    put(folder(place.with_name("new"), "1"), place)
    assert (content(place), list(place.parent.iterdir())) == ("1", [place])


def test_what_was_there_is_removed(place: Path) -> None:
    folder(place, "1")
    put(folder(place.with_name("new"), "2"), place)
    assert (content(place), list(place.parent.iterdir())) == ("2", [place])


def test_what_was_there_is_kept_until_the_next(place: Path) -> None:
    previous = place.with_name("previous")
    folder(place, "1")
    for number in ("2", "3", "4"):
        put(folder(place.with_name("new"), number), place, previous)
        assert (content(place), content(previous)) == (number, str(int(number) - 1))
    assert sorted(place.parent.iterdir()) == [place, previous]


def test_what_refuses_leaves_the_place_as_it_was(place: Path) -> None:
    folder(place, "1")
    with pytest.raises(OSError, match="No such file"):
        put(place.with_name("not there"), place, place.with_name("previous"))
    assert content(place) == "1"


def test_after_a_crash_between_two_renames(tmp_path: Path) -> None:
    place, previous = tmp_path / "place", folder(tmp_path / "previous", "1")
    assert bring_back(place, previous)
    assert content(place) == "1"
    folder(previous, "0")
    assert not bring_back(place, previous)
    assert (content(place), content(previous)) == ("1", "0")
    shutil.rmtree(place)
    shutil.rmtree(previous)
    assert not bring_back(place, previous)


REPLACING = """
import sys
from pathlib import Path
from penchant.folders import put
place, number = Path(sys.argv[1]), 0
while True:
    number += 1
    new = place.with_name(f"new{number}")
    new.mkdir()
    (new / "content").write_text(str(number))
    put(new, place, place.with_name("previous"))
    print(number, flush=True)
"""


@pytest.mark.skipif(not CAN_EXCHANGE, reason="needs renameat2")
@pytest.mark.parametrize("wait", [0.0, 0.003, 0.01])
def test_kill_9_at_any_moment_leaves_a_whole_folder(wait: float, tmp_path: Path) -> None:
    place = folder(tmp_path / "place", "0")
    process = subprocess.Popen([sys.executable, "-c", REPLACING, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
        assert int(content(place)) >= 0  # there is always one, also meanwhile
    time.sleep(wait)
    process.kill()
    told = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    last = int(told[-1]) if told else 200
    assert int(content(place)) in (last, last + 1)
    assert int(content(tmp_path / "previous")) < int(content(place))


@pytest.mark.skipif(not CAN_EXCHANGE, reason="needs renameat2")
def test_a_file_system_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        folders.exchange(tmp_path / "none", tmp_path / "neither")
    assert caught.value.errno == 2
    assert os.strerror(2) in str(caught.value)
