"""The artifact: a folder that holds a fitted model, safe to load, checked before it is believed.

    manifest.json        format, versions, model, settings, log of the fit, split, data; checksums of the files
    arrays.safetensors   everything the model learnt, and the history of its users
    users.parquet        user ids in the order of rows
    items.parquet        item ids in the order of rows, display names, and the items table's columns

docs/artifact.md is the specification. Nothing in it is code, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant import __version__
from penchant.errors import ArtifactError

FORMAT = "penchant artifact"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"
USERS = "users.parquet"
ITEMS = "items.parquet"
FILES = (ARRAYS, USERS, ITEMS)


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


def save_artifact(artifact: Artifact, folder: Path) -> None:
    """Write a folder whole or not at all; an artifact that was there is replaced.

    Raises:
        ArtifactError: something that is not an artifact is in the way, or the disk refuses.
    """
    folder = folder.absolute()
    _check_replaceable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        _write(artifact, beside)
        _swap(beside, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
    except Exception as error:  # whatever the readers raise; the checksums held, so a writer was at fault
        raise ArtifactError(f"{folder} cannot be read: {error}", remedy="Fit the model again.") from error
    del manifest["files"]
    return Artifact(manifest, arrays, users, items)


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone, checked for format, version and its own checksum."""
    if not folder.is_dir():
        raise ArtifactError(f"There is no model at {folder}.", remedy="Give the folder that penchant fit wrote (-o).")
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(
            f"{folder} is not a penchant model: it has no {MANIFEST}.",
            remedy="Give the folder that penchant fit wrote (-o).",
        )
    try:
        manifest = json.loads(_read(folder / MANIFEST))
        assert isinstance(manifest, dict)
    except (ValueError, AssertionError, RecursionError) as error:
        raise ArtifactError(f"{folder / MANIFEST} is damaged: it is not JSON.", remedy=_AGAIN) from error
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder / MANIFEST} is not of a penchant model.", remedy="Give another folder.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} has format {manifest.get('format_version')}; this penchant ({__version__}) reads"
            f" format {FORMAT_VERSION}.",
            remedy="Use the penchant that wrote it, or fit the model again.",
        )
    checksum = manifest.pop("checksum", None)
    if checksum != _checksum(manifest) or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{folder / MANIFEST} was edited or truncated: its checksum differs.", remedy=_AGAIN)
    return manifest


_AGAIN = "Copy the artifact again from where it is whole, or fit the model again."


def _write(artifact: Artifact, folder: Path) -> None:
    import safetensors.numpy

    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(artifact.arrays.items())}
    safetensors.numpy.save_file(arrays, folder / ARRAYS)
    artifact.users.write_parquet(folder / USERS, compression="zstd")
    artifact.items.write_parquet(folder / ITEMS, compression="zstd")
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "penchant": __version__, **artifact.manifest}
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    manifest["checksum"] = _checksum(manifest)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    folder.chmod(0o755)  # mkdtemp's 0700, and safetensors' 0600, would keep a service of another user out
    for name in (*FILES, MANIFEST):
        (folder / name).chmod(0o644)
        _flush(folder / name)


def _flush(path: Path) -> None:
    """To the disk, so that a power cut after the rename finds whole files."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _swap(new: Path, folder: Path) -> None:
    """Rename the new folder into place; the old one is moved aside first and back if that fails."""
    if not folder.exists():
        new.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    old = folder.rename(aside / "old")
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / MANIFEST).is_file()):
        return
    if folder.exists():
        raise ArtifactError(
            f"{folder} exists and is not a penchant model; it is left as it is.", remedy="Choose another folder (-o)."
        )


def _checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its checksum, as JSON with sorted keys and no blanks."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.", remedy=_AGAIN) from error


def _unwritable(folder: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{folder} cannot be written: {error.strerror or error}.",
        remedy="Choose a folder with room that you may write.",
    )
