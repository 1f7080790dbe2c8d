"""What reading is estimated to take, for each kind of file, and what cannot be known."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest

from penchant.data.sizes import BYTES_A_LINE, BYTES_A_ROW, check_reading, reading_memory
from penchant.errors import NotEnoughMemoryError

LINE = "10001,20002,3.5\n"
N = 20_000
TEXT = "user,item,rating\n" + LINE * N


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(TEXT, encoding="utf-8")
    (tmp_path / "items.csv").write_text("item,title\n", encoding="utf-8")
    return path


def test_text_is_counted_by_its_first_lines(csv: Path) -> None:
    parts = reading_memory(csv)
    assert parts["its text"] == len(TEXT)
    assert parts["its columns"] == pytest.approx(BYTES_A_LINE * N, rel=0.01)
    assert reading_memory(str(csv)) == reading_memory(csv.parent) == parts


def test_packed_text_is_counted_unpacked(csv: Path, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "ratings.csv.gz", "wt", encoding="utf-8") as file:
        file.write(TEXT)
    with zipfile.ZipFile(tmp_path / "ratings.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", "short")
        archive.writestr("ratings.csv", TEXT)
    assert reading_memory(tmp_path / "ratings.csv.gz") == reading_memory(csv)
    assert reading_memory(tmp_path / "ratings.zip") == reading_memory(csv)


def test_parquet_says_its_rows(tmp_path: Path) -> None:
    pl.DataFrame({"user": range(N), "item": range(N)}).write_parquet(tmp_path / "ratings.parquet")
    assert reading_memory(tmp_path / "ratings.parquet") == {"its rows": BYTES_A_ROW * N}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1 and nothing more",
        b"PK\x03\x04",
        b"PK\x03\x04 broken",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00broken",
    ],
)
def test_what_is_broken_is_for_reading_to_say(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ratings").write_bytes(content)
    assert sum(reading_memory(tmp_path / "ratings").values()) == 0


def test_what_is_not_there_is_for_reading_to_say(tmp_path: Path) -> None:
    for source in (tmp_path / "nothing.csv", "no-such-data-set", tmp_path, pl.DataFrame({"a": [1]}), None, 3):
        assert reading_memory(source) == {}


def test_a_named_data_set_is_its_folder(published: Path) -> None:
    assert reading_memory("ml-latest-small") == reading_memory(published / "ml-latest-small" / "ratings.csv")


def test_too_large_a_table_is_refused(csv: Path) -> None:
    check_reading(csv, None)
    check_reading(csv, 10**12)
    with pytest.raises(NotEnoughMemoryError, match=r"Reading .*ratings.csv would take about") as caught:
        check_reading(csv, 10**6)
    assert "only the columns" in caught.value.remedy
