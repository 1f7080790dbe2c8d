"""A frame -> a file, written beside and renamed into place, so that nobody ever sees half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from penchant.errors import InputError

WRITERS: dict[str, Callable[[pl.DataFrame, Any], object]] = {
    ".csv": lambda frame, path: frame.write_csv(path),
    ".tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".jsonl": lambda frame, path: frame.write_ndjson(path),
}


def check_writable(path: Path) -> None:
    """Raise before long work what `write_table` would raise after it.

    Raises:
        InputError: the suffix is of no known format, or the folder does not exist.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"{path}: the suffix '{path.suffix}' says no format.", remedy=f"Use {', '.join(WRITERS)}.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no folder {path.absolute().parent}.", remedy="Make it, or choose another.")


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as CSV, TSV, Parquet or JSON lines, by the path's suffix.

    Raises:
        InputError: as for `check_writable`, or the disk refuses.
    """
    check_writable(path)
    try:
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        os.close(handle)
        try:
            WRITERS[path.suffix.lower()](frame, beside)
            Path(beside).chmod(0o644)
            Path(beside).replace(path)
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}.", remedy="Choose another place."
        ) from error
