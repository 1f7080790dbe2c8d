"""Tables of JSON lines become Interactions, or an error that names the line and a remedy."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penchant.data.json_lines import MOST_COLUMNS, is_json
from penchant.data.pairs import read_ids
from penchant.data.read import read_ratings
from penchant.data.sizes import BYTES_A_LINE, reading_memory
from penchant.data.vocabulary import Vocabulary
from penchant.data.write import write_table
from penchant.errors import DataError

UNHURRIED = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS: list[dict[str, Any]] = [
    {"user": "anna", "item": 10, "rating": 4.5, "time": 100},
    {"user": "ben", "item": 20, "rating": 3, "time": 101},
    {"user": "anna", "item": 20, "rating": 5, "time": 102},
]


def lines(rows: list[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(row) + end for row in rows).encode()


def error_of(path: Path, content: bytes) -> DataError:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_ratings(path)
    assert caught.value.file == str(path)
    assert caught.value.remedy
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "[a]{b}.jsonl"


# --- what is read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".txt", "", ".gz", ".zip"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"], ids=repr)
def test_objects_are_rows_whatever_the_file_is_called(suffix: str, mark: bytes, end: str, tmp_path: Path) -> None:
    path, content = tmp_path / f"ratings{suffix}", mark + lines(ROWS, end)
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ratings.jsonl", content)
    else:
        path.write_bytes(gzip.compress(content) if suffix == ".gz" else content)
    data = read_ratings(path)
    assert data.users.take(data.user_rows) == ["anna", "ben", "anna"]
    assert data.items.take(data.item_rows) == [10, 20, 20]
    assert data.ratings.tolist() == [4.5, 3, 5]
    assert data.times is not None
    assert data.times.tolist() == [100, 101, 102]


def test_keys_in_any_order_and_other_values_of_any_type(path: Path) -> None:
    rows = [dict(reversed(row.items())) | {"genres": ["a"], "about": {"x": [1]}, "none": None} for row in ROWS]
    path.write_bytes(lines([ROWS[0], *rows[1:]]))
    assert read_ratings(path).ratings.tolist() == [4.5, 3, 5]


def test_a_type_that_shows_only_late(path: Path) -> None:
    rows = [{"user": row, "item": row % 7, "rating": 3} for row in range(5_000)]
    path.write_bytes(lines([*rows, {"user": "007", "item": 2**70, "rating": 0.5}]))
    data = read_ratings(path)
    assert data.users.take(data.user_rows)[-1] == "007"
    assert data.items.take(data.item_rows)[-1] == str(2**70)
    assert data.ratings[-1] == 0.5


def test_truth_values_are_ratings_and_dates_are_times(path: Path) -> None:
    path.write_bytes(lines([row | {"rating": place > 0, "time": 1994 + place} for place, row in enumerate(ROWS)]))
    data = read_ratings(path)
    assert data.ratings.tolist() == [0, 1, 1]
    assert data.notes == ("The times in 'time' are read as years: 1994 is 1994-01-01.",)


def test_what_was_written_can_be_read(path: Path) -> None:
    users = pl.Series(["007", "x", "y"])
    write_table(pl.DataFrame({"user": users, "rank": [1, 1, 2], "score": [0.5, None, 1.0]}), path)
    assert read_ids(path, Vocabulary(users, "user")) == (["007", "x", "y"], 0)


def test_the_size_is_that_of_text(path: Path) -> None:
    content = lines(ROWS * 5_000)
    path.write_bytes(content)
    parts = reading_memory(path)
    assert parts["its text"] == len(content)
    assert parts["its columns"] == pytest.approx(BYTES_A_LINE * 15_000, rel=0.01)


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"user": 1, "item"', "Expecting ':' delimiter at character 19"),
        (b"junk", "Expecting value at character 1"),
        (b"1,2,3", "Extra data at character 2"),
        (b"[1, 2]", "but an array"),
        (b"7", "but a number"),
        (b"null", "but null"),
        (b'{"user": 1, "item": 2, "rating": NaN}', "NaN is no number"),
        (b'{"user": "\xff", "item": 2, "rating": 3}', "not UTF-8"),
        (b'{"user": ' + b"[" * 99_999, "nested too deeply"),
        (b'{"user": 1, "item": 2, "rating": 3},', "Extra data at character 36"),
    ],
)
def test_a_line_that_is_no_object_is_named(bad: bytes, message: str, path: Path) -> None:
    error = error_of(path, lines(ROWS) + b"\n" + bad + b"\n" + lines(ROWS))
    assert error.line == 5
    assert error.problem.endswith(f": This line is no JSON object ({message}).")
    assert '{"user": 1, "item": 10, "rating": 4.5}' in error.remedy


def test_a_bad_value_is_named_with_its_line(path: Path) -> None:
    error = error_of(path, b"\xef\xbb\xbf" + lines([*ROWS, ROWS[0] | {"rating": None}], "\n\n"))
    assert (error.line, error.column) == (7, "rating")
    assert "The rating is missing." in error.problem


def test_an_array_of_objects_is_no_json_lines(path: Path) -> None:
    error = error_of(path, json.dumps(ROWS, indent=2).encode())
    assert "This is a JSON array, and not JSON lines." in error.problem
    assert "jq -c" in error.remedy


def test_values_of_one_key_that_do_not_fit_together(path: Path) -> None:
    error = error_of(path, lines([ROWS[0], ROWS[1] | {"rating": True}]))
    assert "The JSON lines cannot be read (" in error.problem
    assert "same type" in error.remedy


def test_a_key_for_each_line_is_refused_before_it_takes_memory(path: Path) -> None:
    error = error_of(path, lines([{f"user {row}": [row]} for row in range(200_000)]))
    assert "different keys, such as 'user 0'" in error.problem
    wide = [{"user": row, "item": row, "rating": 3} | {f"x{place}": 0 for place in range(500)} for row in range(20)]
    assert len(wide[0]) < MOST_COLUMNS
    path.write_bytes(lines(wide))
    assert len(read_ratings(path)) == 20


@pytest.mark.parametrize("head", [b"user,item", b"{user},{item}", b"{1},2,3", b"[x];y", b'"{""a"": 1}",2', b"{", b""])
def test_text_tables_are_not_taken_for_json(head: bytes) -> None:
    assert not is_json(head)


PARTS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"\n",
    b"\\",
    b"null",
    b"NaN",
    b"1e999",
    b"-",
    b"\xff",
    b"\x00",
    b'""',
]


@UNHURRIED
@given(st.integers(0, 2**32))
def test_mutations_are_read_or_explained(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    mutant = bytearray(lines([*ROWS, {"user": 1, "item": {"x": [None]}, "rating": "4"}][: rng.choice([3, 4])]))
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(mutant))
        mutant[start : start + rng.choice([0, 1, 9])] = rng.choice(PARTS)
    path.write_bytes(mutant)
    error: DataError | None = None
    try:
        data = read_ratings(path)
    except DataError as raised:
        error = raised
    if error is None:
        assert np.isfinite(data.ratings).all()
        return
    assert error.file == str(path)
    assert error.remedy
    assert error.line is None or 1 <= error.line <= mutant.count(b"\n") + 1
