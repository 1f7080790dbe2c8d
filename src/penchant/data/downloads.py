"""One file from the network, whole or not at all, and what is in it: downloading, verifying, unpacking."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from penchant.errors import DownloadError

CHUNK_BYTES = 65_536
# All that zipfile raises on a file that is cut, altered, encrypted or packed by an unknown method.
DAMAGED_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError,
)  # fmt: skip


class Progress(Protocol):
    """What is told how a download gets on; tqdm's bars are such, and any object with these four.

    For each archive in turn: `total` is set to its bytes (0 if unknown), `update` adds bytes, and at its
    end come `reset`, `update(total)` and `close`. A failed download only closes.
    """

    total: int

    def update(self, n: int, /) -> object:
        """`n` more bytes came."""

    def reset(self) -> object:
        """Start at 0 again."""

    def close(self) -> object:
        """One archive is done, or failed."""


# --- downloading ------------------------------------------------------------------------------------


class _Watch:
    """Stands between pooch and the caller's progress, to keep what pooch does not tell.

    That is the size that the server announced, and its response, which pooch leaves open when it is cut.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._total = 0
        self._response: Any = None

    def keep(self, response: Any, **_: object) -> None:
        """Take part in the request, as its hook."""
        self._response = response

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        if self._progress is not None:
            self._progress.total = total

    def update(self, n: int) -> None:
        if self._progress is not None:
            self._progress.update(n)

    def reset(self) -> None:
        if self._progress is not None:
            self._progress.reset()

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        if self._progress is not None:
            self._progress.close()


def download(url: str, target: Path, progress: Progress | None) -> None:
    """Fetch one file whole.

    Raises:
        DownloadError: there is no connection, the server does not have it, or it was cut.
    """
    import pooch
    from requests import exceptions

    watch = _Watch(progress)
    downloader = pooch.HTTPDownloader(
        progressbar=watch,
        chunk_size=CHUNK_BYTES,
        headers={"Accept-Encoding": "identity"},  # packed on the way, it would not have the announced size
        hooks={"response": watch.keep},
    )
    try:
        downloader(url, str(target), None)
    except exceptions.RequestException as error:
        watch.close()
        _check_size(target, watch.total)
        raise _explain(error) from error
    _check_size(target, watch.total)


def _check_size(target: Path, announced: int) -> None:
    """Old versions of the HTTP library take a cut connection for the end of the file."""
    size = target.stat().st_size if target.exists() else 0
    if size < announced:
        raise DownloadError(
            f"the connection was cut after {size:,} of {announced:,} bytes.",
            remedy="Try again; it starts from the beginning.",
        )


def _explain(error: Any) -> DownloadError:
    """What a failed request means."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return DownloadError(
            f"the server answered {error.response.status_code} {error.response.reason}.",
            remedy="Its publisher may have moved it, or the server is in trouble: try again later.",
        )
    if isinstance(error, exceptions.Timeout):
        return DownloadError(f"the server did not answer in time ({error}).", remedy="Try again later.")
    if isinstance(error, exceptions.ConnectionError):
        return DownloadError(f"there is no connection ({_cause(error)}).", remedy="Check the network and its proxy.")
    return DownloadError(f"the download failed ({error}).", remedy="Try again.")


def _cause(error: Any) -> str:
    """The cause of a failed connection, without the names of the library's objects that are strung before it."""
    innermost = getattr(error.args[0], "reason", error) if error.args else error
    return str(innermost).rpartition("): ")[2]


def check_md5(archive: Path, expected: str | None) -> None:
    """Compare a file's md5 with the published one, where there is one.

    Raises:
        DownloadError: they differ.
    """
    got = digest(archive, "md5") if expected else None
    if got != expected:
        raise DownloadError(
            f"the checksum (md5) is wrong: expected {expected}, got {got}.",
            remedy="Try again; if it stays so, this is not the file that its publisher once published.",
        )


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


# --- unpacking --------------------------------------------------------------------------------------


def unpack(archive: Path, target: Path, inner: str = "") -> None:
    """Unpack the files of a zip below one of its folders; every file's CRC is checked as it is read.

    Raises:
        DownloadError: the archive is damaged, or has a member that would land outside `target` or is not
            a regular file.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _check_member(member)
            for member in opened.infolist():
                _unpack_member(opened, member, target, inner)
    except DAMAGED_ZIP as error:
        raise DownloadError(f"the zip file is damaged ({error}).", remedy="Fetch it again.") from error


def _check_member(member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    leads_out = path.is_absolute() or ".." in path.parts or "\\" in member.filename
    is_nameless = not path.parts and not member.is_dir()
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where it was packed on a system without kinds
    if leads_out or is_nameless or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DownloadError(
            f"the zip file is unsafe: its member {member.filename!r} leads out of its folder or is no regular file.",
            remedy="Nothing was unpacked. Do not use this file; tell its publisher.",
        )


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, inner: str) -> None:
    path = PurePosixPath(member.filename)
    if member.is_dir() or not path.is_relative_to(inner) or path.parts[0] == "__MACOSX":
        return
    destination = target / path.relative_to(inner)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, destination.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
