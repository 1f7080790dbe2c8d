"""A file is written whole or not at all, whatever its format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from penchant.data.write import WRITERS, check_folder, check_writable, write_table, write_tables
from penchant.errors import InputError

FRAME = pl.DataFrame({"user": [1, 2, 3], "name": ["Ä", 'b"', None], "score": [0.5, 1.25, 2.0]})
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": pl.read_csv,
    ".tsv": lambda path: pl.read_csv(path, separator="\t"),
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
}


def blocks(frame: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    return (frame.slice(start, size) for start in range(0, frame.height, size))


@pytest.mark.parametrize("suffix", [*WRITERS, ".CSV"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocks_are_written_below_each_other(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"out{suffix}"
    write_tables(blocks(FRAME, size), path)
    assert READERS[suffix.lower()](path).equals(FRAME)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_was_there_is_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_table(FRAME, path)
    write_table(FRAME.head(1), path)
    assert READERS[suffix](path).height == 1


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ends_early_leaves_what_was_there(tmp_path: Path, suffix: str, error: type[BaseException]) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("before", encoding="utf-8")

    def frames() -> Iterator[pl.DataFrame]:
        yield FRAME
        raise error

    with pytest.raises(error):
        write_tables(frames(), path)
    assert path.read_text(encoding="utf-8") == "before"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []

    def frames() -> Iterator[pl.DataFrame]:
        for number in range(5):
            alive.append(number)
            yield FRAME

    write_tables(frames(), tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").height == 15
    assert alive == list(range(5))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.txt", "suffix '.txt' says no format"),
        ("out", "has no suffix"),
        ("nosuch/out.csv", "There is no folder"),
        ("folder.csv", "is a folder"),
        ("file/out.csv", "cannot be written: Not a directory"),
    ],
)
def test_a_place_that_will_not_do_is_told_before_and_after(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for check in (check_writable, lambda path: write_table(FRAME, path)):
        with pytest.raises(InputError, match=said) as caught:
            check(tmp_path / name)
        assert caught.value.remedy
    assert {found.name for found in tmp_path.iterdir()} == {"folder.csv", "file"}


def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("permissions bind nobody here")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            check_writable(tmp_path / "out.csv")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_is_asked_by_the_nearest_that_exists(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b", tmp_path / "a" / "b" / "model")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="model cannot be written"):
        check_folder(tmp_path / "file" / "b", Path("model"))


def test_a_relative_path_is_written_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(FRAME, Path("out.csv"))
    assert (tmp_path / "out.csv").exists()
