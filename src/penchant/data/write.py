"""A frame -> a file, written beside and renamed into place, so that nobody ever sees half of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from penchant.errors import InputError

Writer = Callable[[Iterable[pl.DataFrame], Path], object]


def check_writable(path: Path) -> None:
    """Raise before long work what `write_table` would raise after it.

    Raises:
        InputError: the suffix is of no known format, or the folder does not exist or cannot be written to.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(
            f"{path}: the suffix {path.suffix!r} says no format." if path.suffix else f"{path} has no suffix.",
            remedy=f"Name the file with one of {', '.join(WRITERS)}.",
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder.", remedy="Give the name of a file.")
    parent = path.absolute().parent
    if not parent.exists():
        raise InputError(f"There is no folder {parent}.", remedy="Make it, or choose another.")
    check_folder(parent, path)


def check_folder(folder: Path, wanted: Path) -> None:
    """Raise when nothing can be made in a folder, or in the nearest one above it that exists.

    Args:
        folder: where files are to be.
        wanted: what to call it in the message.

    Raises:
        InputError: the disk refuses; it is asked by making a folder and deleting it.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".penchant.", dir=folder):
            pass
    except OSError as error:
        raise _refused(wanted, error) from error


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as CSV, TSV, Parquet or JSON lines, by the path's suffix.

    Raises:
        InputError: as for `check_writable`, or the disk refuses.
    """
    write_tables([frame], path)


def write_tables(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Write frames of one schema below each other, one in memory at a time.

    Raises:
        InputError: as for `check_writable`, or the disk refuses.
    """
    check_writable(path)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as beside:
            new = Path(beside) / f"new{path.suffix.lower()}"
            WRITERS[path.suffix.lower()](frames, new)
            new.chmod(0o644)
            new.replace(path.absolute())
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written: {error.strerror or error}.", remedy="Choose another place.")


def _separated(separator: str) -> Writer:
    def write(frames: Iterable[pl.DataFrame], path: Path) -> None:
        with path.open("wb") as file:
            for place, frame in enumerate(frames):
                frame.write_csv(file, separator=separator, include_header=place == 0)

    return write


def _json_lines(frames: Iterable[pl.DataFrame], path: Path) -> None:
    with path.open("wb") as file:
        for frame in frames:
            frame.write_ndjson(file)


def _parquet(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Each frame is a file, and the files are streamed into one: polars cannot append to Parquet."""
    parts = []
    for place, frame in enumerate(frames):
        parts.append(path.with_name(f"part{place}.parquet"))
        frame.write_parquet(parts[-1])
    if len(parts) == 1:
        parts[0].replace(path)
    else:
        pl.scan_parquet(parts, glob=False).sink_parquet(path)


WRITERS: dict[str, Writer] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}
