"""The artifact: a folder that holds a fitted model, safe to load, checked before it is believed.

    manifest.json        format, versions, model, settings, log of the fit, split, data; checksums of the files
    arrays.safetensors   everything the model learnt, and the history of its users
    users.parquet        user ids in the order of rows
    items.parquet        item ids in the order of rows, display names, and the items table's columns

docs/artifact.md is the specification. Nothing in it is code, and nothing is unpickled.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant import __version__
from penchant.errors import ArtifactError
from penchant.folders import make_like, put

FORMAT = "penchant artifact"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"
USERS = "users.parquet"
ITEMS = "items.parquet"
FILES = (ARRAYS, USERS, ITEMS)
LEFT_FOR = 24 * 60 * 60.0  # seconds after which nobody writes an unfinished artifact any more


@dataclass(frozen=True)
class Artifact:
    """What a folder holds, as plain values.

    Attributes:
        manifest: everything that is not an array or a table, without checksums.
        arrays: by name.
        users: one column "id".
        items: columns "id" and "name", then those of the items table prefixed with "column/".
    """

    manifest: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    users: pl.DataFrame
    items: pl.DataFrame
    checksum: str = field(default="", compare=False)


def save_artifact(artifact: Artifact, folder: Path, previous: Path | None = None) -> None:
    """Write a folder whole or not at all; an artifact that was there is replaced. A link to one stays a link.

    Who may read it is what the umask says; of one that replaces another, what was said of that.

    Args:
        previous: where to keep the artifact that was there, beside it; the one that was kept there before is removed.

    Raises:
        ArtifactError: something that is not an artifact is in the way, the disk refuses, or the manifest holds
            what JSON has no word for.
    """
    files = _serialise(artifact)
    try:
        place = folder.resolve()
        for one in (place, previous):
            if one is not None:
                check_replaceable(one)
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        try:
            beside.mkdir(0o700 if place.exists() else 0o777)  # where there is a model, in the end as that is
            _write(files, beside, place)
            put(beside, place, previous)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise ArtifactError(
            f"{folder} cannot be written: {getattr(error, 'strerror', None) or error}.",
            remedy="Choose a folder with room that you may write.",
        ) from error


def _sweep(place: Path) -> None:
    """Remove what processes that were killed while they wrote have left beside a place, once it is a day old."""
    for left in place.parent.glob(f".{glob.escape(place.name)}.????????"):
        with suppress(OSError):
            is_old = time.time() - left.lstat().st_mtime > LEFT_FOR
            if is_old and not left.is_symlink() and {one.name for one in left.iterdir()} <= {MANIFEST, *FILES}:
                shutil.rmtree(left)


def load_artifact(folder: Path) -> Artifact:
    """Read a folder after checking all of it.

    Raises:
        ArtifactError: not an artifact, of a later format, truncated or edited.
    """
    manifest = load_manifest(folder)
    files = {}
    for name in FILES:
        content = _read(folder / name)
        if hashlib.sha256(content).hexdigest() != manifest["files"].get(name):
            raise ArtifactError(
                f"{folder / name} is not what was saved: its checksum differs, so it was truncated or edited.",
                remedy="Copy the artifact again from where it is whole, or fit the model again.",
            )
        files[name] = content
    try:
        import safetensors.numpy

        arrays = safetensors.numpy.load(files[ARRAYS])
        users, items = pl.read_parquet(files[USERS]), pl.read_parquet(files[ITEMS])
    except (Exception, pl.exceptions.PanicException) as error:  # the checksums held, so a writer was at fault
        raise ArtifactError(f"{folder} cannot be read: {error}", remedy="Fit the model again.") from error
    checksum = _checksum(manifest)
    del manifest["files"]
    return Artifact(manifest, arrays, users, items, checksum)


def size_of(folder: Path) -> int:
    """Bytes of the files of an artifact that can be read."""
    return sum((folder / name).stat().st_size for name in (MANIFEST, *FILES))


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone, checked for format, version and its own checksum."""
    place = folder / MANIFEST
    if not _exists(folder):
        raise ArtifactError(f"There is no model at {folder}.", remedy="Give the folder that penchant fit wrote (-o).")
    if not _exists(place):
        raise ArtifactError(
            f"{folder} is not a penchant model: it has no {MANIFEST}.",
            remedy="Give the folder that penchant fit wrote (-o).",
        )
    manifest = _parse_manifest(_read(place), place)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{place} is not of a penchant model.", remedy="Give another folder.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} has format {manifest.get('format_version')}; this penchant ({__version__}) reads"
            f" format {FORMAT_VERSION}.",
            remedy="Use the penchant that wrote it, or fit the model again.",
        )
    checksum = manifest.pop("checksum", None)
    try:
        unchanged = checksum == _checksum(manifest)
    except (ValueError, RecursionError):  # half a surrogate pair, infinity: nothing that we ever write
        unchanged = False
    if not unchanged or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{place} was edited or truncated: its checksum differs.", remedy=_AGAIN)
    return manifest


_AGAIN = "Copy the artifact again from where it is whole, or fit the model again."


def _parse_manifest(content: bytes, place: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(content, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{place} is damaged: it is not JSON.", remedy=_AGAIN) from error
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{place} is not of a penchant model.", remedy="Give another folder.")
    return manifest


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that is there twice, readers would differ on which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def version_of(folder: Path) -> str:
    """The checksum of a manifest, which covers every byte of the artifact.

    Raises:
        ArtifactError: as for `load_manifest`.
    """
    return _checksum(load_manifest(folder))


def _serialise(artifact: Artifact) -> dict[str, bytes]:
    """The files by name. Made in memory, so that there is one place where a disk can be full: `_write`."""
    import safetensors.numpy

    arrays = {name: np.asarray(array, order="C") for name, array in sorted(artifact.arrays.items())}
    files = {
        ARRAYS: safetensors.numpy.save(arrays),
        USERS: _parquet(artifact.users),
        ITEMS: _parquet(artifact.items),
    }
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "penchant": __version__, **artifact.manifest}
    manifest["files"] = {name: hashlib.sha256(files[name]).hexdigest() for name in FILES}
    try:
        # As a reader will see it: keys are strings, and a file name that is not UTF-8 has "?" in it.
        text = json.dumps(manifest, ensure_ascii=False, allow_nan=False)
        manifest = json.loads(text.encode(errors="replace"))
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"The manifest cannot be written as JSON: {error}.",
            remedy="Use plain numbers, strings, lists and dictionaries in about and in a module's settings.",
        ) from error
    manifest["checksum"] = _checksum(manifest)
    files[MANIFEST] = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def _parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd")
    return file.getvalue()


def _write(files: dict[str, bytes], folder: Path, place: Path) -> None:
    """All files, on the disk, so that a power cut after the rename finds them whole."""
    for name, content in files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if (place / name).exists():
            make_like(folder / name, place / name)
    if place.is_dir():
        make_like(folder, place)


def check_replaceable(folder: Path) -> None:
    """Whether all of what is in the way may be deleted: nothing, or the files of an artifact and no others."""
    if not folder.exists():
        return
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {folder.name}
    if not found or (MANIFEST in found and found <= {MANIFEST, *FILES} and _looks_ours(folder / MANIFEST)):
        return
    others = sorted(found - {MANIFEST, *FILES})
    holds = f", but holds {others[0]!r}" if folder.is_dir() and others else ""
    raise ArtifactError(
        f"{folder} exists and is not a penchant model{holds}; it is left as it is.",
        remedy="Choose another folder (-o), or move it away.",
    )


def _looks_ours(manifest: Path) -> bool:
    """Many programs have a manifest.json. Ours may be damaged and still be replaced."""
    return f'"{FORMAT}"'.encode() in _read(manifest)


def _json(value: Any) -> str:
    """JSON with sorted keys and no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its checksum, as JSON with sorted keys and no blanks, in UTF-8."""
    return hashlib.sha256(_json(manifest).encode()).hexdigest()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or a device would be read for ever
            raise ArtifactError(f"{path} is missing or not a file.", remedy=_AGAIN)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"{path} cannot be read: {error.strerror or error}.", remedy=_AGAIN)
