"""What reading a table will take of memory, known before it is read."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import polars as pl

from penchant.data.interactions import Interactions
from penchant.data.layouts import find_layout
from penchant.data.read import read_ratings
from penchant.data.tables import PARQUET_MARK
from penchant.errors import PenchantError
from penchant.machine import check_memory

# What reading and splitting take at their peak, measured with 5 million ratings (docs/performance.md): beside the text
# itself by line, and by row of Parquet. It is mostly columns of ids, ratings and times, once as read and once as rows.
BYTES_A_LINE = 105
BYTES_A_ROW = 140
SAMPLED_BYTES = 65_536

Parts = dict[str, int]


def check_reading(source: Any, memory: int | None) -> None:
    """Refuse to read a table that would take more memory than there is; `memory` is the most that may be held.

    Raises:
        NotEnoughMemoryError: it would.
    """
    remedy = "Give a table of fewer ratings, and only the columns that are needed."
    check_memory(f"Reading {source}", reading_memory(source), memory, remedy)


def as_interactions(source: Any, memory: int | None = None, **reading: Any) -> Interactions:
    """Interactions as they are, anything else read, if there is memory for it.

    Args:
        source: Interactions, or whatever `read_ratings` takes.
        memory: the most that may be held, in bytes; None for what is free.
        reading: arguments of `read_ratings`.

    Raises:
        DataError: it cannot be read.
        NotEnoughMemoryError: reading would take too much.
    """
    if isinstance(source, Interactions):
        return source
    check_reading(source, memory)
    return read_ratings(source, **reading)


def reading_memory(source: Any) -> Parts:
    """Bytes that reading and splitting a table of ratings will take at their peak, by what they are for.

    Nothing for a frame, which is in memory already, and for what is not there or broken: reading says so better.

    Args:
        source: a path, a folder laid out as its publisher does, or the name of a data set.
    """
    path = _file(source)
    if path is None:
        return {}
    try:
        return _of_file(path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error):
        return {}
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return {}


def _of_file(path: Path) -> Parts:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(SAMPLED_BYTES)
    if head.startswith(PARQUET_MARK):
        rows = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
        return {"its rows": BYTES_A_ROW * rows}
    if head.startswith(b"PK\x03\x04"):
        size, head = _of_zip(path)
    elif head.startswith(b"\x1f\x8b"):
        size, head = _of_gzip(path)
    lines = head.count(b"\n") * size // max(len(head), 1)
    return {"its text": size, "its columns": BYTES_A_LINE * lines}


def _file(source: Any) -> Path | None:
    """The file of ratings, where it is on this machine."""
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(source)
    if not os.path.lexists(path):
        from penchant.data.datasets import DATASETS, locate

        if str(source) not in DATASETS:
            return None
        path = locate(str(source))
    if not path.is_dir():
        return path if path.is_file() else None
    try:
        return path / find_layout(path).ratings.file
    except PenchantError:
        return None


def _of_zip(path: Path) -> tuple[int, bytes]:
    """How much the largest member unpacks to, and how it begins."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        with archive.open(largest) as text:
            return largest.file_size, text.read(SAMPLED_BYTES)


def _of_gzip(path: Path) -> tuple[int, bytes]:
    """How much it unpacks to, and how it begins.

    The last four bytes hold the size, less what is above 4 GiB; text is never packed to more than twice its size.
    """
    packed = path.stat().st_size
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        (size,) = struct.unpack("<I", file.read(4))
    while 2 * size < packed:
        size += 2**32
    with gzip.open(path) as text:
        return int(size), text.read(SAMPLED_BYTES)
