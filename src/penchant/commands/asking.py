"""What commands ask the library for before they start: tables, models, the ids that somebody typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from penchant import progress, terminal
from penchant.errors import InputError, UnknownIdError

MANIFEST = "manifest.json"  # as in artifact, which would load polars


def read_table(
    source: str, json: bool, how: Mapping[str, Any], told: Sequence[str] = (), memory: int | None = None
) -> Any:
    """Read a table of ratings and tell what was read; notes that were told before are not told again.

    Raises:
        NotEnoughMemoryError: reading would take more than is free; `memory` is the most that may be held instead.
    """
    from penchant.data.read import read_ratings
    from penchant.data.sizes import check_reading

    fetch_if_named(source)
    check_reading(source, memory)
    with progress.waiting(f"Reading {source}"):
        found = read_ratings(source, **how)
    if not json:
        n_ratings, n_items = terminal.counted(len(found), "rating"), terminal.counted(found.n_items, "item")
        by = f"{n_ratings} of {n_items} by {terminal.counted(found.n_users, 'user')}"
        terminal.say(f"Read {source}: {by}, from {found.scale[0]:g} to {found.scale[1]:g}.")
    for note in found.notes:
        if note not in told:
            terminal.warn(note)
    return found


def join_feedback(table: Any, url: str, reading: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A table and the feedback that is stored at a URL, telling what was joined; and for `about`, how far it was read.

    Raises:
        StoreError: there is no feedback, or it cannot be read.
    """
    from penchant.serving.merging import with_feedback
    from penchant.serving.reading import read_all
    from penchant.serving.store import FeedbackStore

    with progress.waiting("Reading the feedback"), FeedbackStore.open(url, create=False) as store:
        _, events, reached = read_all(store)
    joined = with_feedback(table, events, **merging(reading))
    for note in joined.notes[len(table.notes) :]:
        terminal.warn(note)
    return joined, reached.to_about()


def merging(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flags of READING that say how feedback is joined to a table."""
    return {"duplicates": reading["duplicates"], "positive_from": reading["positive_from"]}


def fetch_if_named(source: str) -> None:
    """A data set that is not here yet is fetched with a bar before it is read."""
    from penchant.data.datasets import DATASETS, locate

    if source in DATASETS and not Path(source).exists():
        locate(source, progress=progress.DownloadBar(source))


def load(folder: Path, module: str | None) -> Any:
    """A saved recommender; `module` is where the class of a torch module of the user's own is."""
    if module is not None:
        from penchant.job import load_with

        return load_with(folder, module)
    from penchant.serving.recommender import Recommender

    return Recommender.load(folder)


def load_several(folder: Path, module: str | None) -> dict[str, Any]:
    """The recommender of a folder, or those of the folders in it, by name."""
    inside = sorted(one for one in folder.iterdir() if (one / MANIFEST).is_file()) if folder.is_dir() else []
    if (folder / MANIFEST).exists() or not inside:
        one = load(folder, module)
        return {terminal.display_name(one): one}
    return {one.name: load(one, module) for one in inside}


def check_apart(out: Path | None, *sources: object) -> None:
    """Raise before anything is read where writing a file, or a model's folder, would destroy what is read.

    Args:
        out: what is to be written; None for nothing.
        sources: what is read: paths of files, models, folders of models and data sets, or a data set's name; None, and
            paths of nothing, are passed over.

    Raises:
        InputError: they are one file, also by another name or a link; or a file that is read lies in the folder.
    """
    if out is None:
        return
    for file in (file for source in sources if source is not None for file in _files_of(str(source))):
        if _would_replace(out, file):
            known_as = "" if str(file) == str(out) else f", as {file}"
            raise InputError(
                f"{out} is read by this command{known_as}; to write it would destroy that.",
                remedy="Choose another name for what is written.",
            )


def feedback_file(url: str | None) -> Path | None:
    """The file in which feedback is kept; None where it is in no file.

    Raises:
        SettingError: it can be kept in no such place.
    """
    if url is None:
        return None
    from penchant.serving.databases import parse_url

    found = parse_url(url)
    return Path(str(found.database)) if found.drivername == "sqlite" else None


def _files_of(source: str) -> Iterator[Path]:
    """The files that are read where a source is named, as far as they are there."""
    place = Path(source)
    if not _is_there(place):
        from penchant.data.datasets import DATASETS, find

        here = find(source) if source in DATASETS else None
        yield from _files_of(str(here)) if here is not None else ()
    elif place.is_dir():
        from penchant.artifact import FILES
        from penchant.data.layouts import LAYOUTS

        of_data = [table.file for one in LAYOUTS for table in (one.ratings, one.items, one.users) if table]
        of_models = [found.parent for found in place.glob(f"*/{MANIFEST}")]
        yield from (place / name for name in (MANIFEST, *FILES, *of_data))
        yield from (folder / name for folder in of_models for name in (MANIFEST, *FILES))
    else:
        yield place


def _is_there(place: Path) -> bool:
    with suppress(OSError, ValueError):  # a name that no file can have
        return place.exists()
    return False


def _would_replace(out: Path, file: Path) -> bool:
    """Whether to write a file or a folder would replace a file, which may not be there."""
    with suppress(OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return out.samefile(file) or (out.is_dir() and out.resolve() in file.resolve(strict=True).parents)
    return False


def known_user(recommender: Any, typed: str) -> Any:
    """A user's id in its type; blanks around it that belong to the shell are forgiven."""
    ids = recommender.users
    for text in (typed, typed.strip()):
        if len(ids.rows([text], missing="minus one")) and ids.rows([text], missing="minus one")[0] >= 0:
            return ids.parse(text)
    raise ids.unknown(typed)


def known_item(recommender: Any, typed: str) -> int:
    """The row of an item by its name or id, blanks around it forgiven."""
    try:
        return int(recommender.find_item(typed))
    except UnknownIdError:
        if typed.strip() == typed:
            raise
        return int(recommender.find_item(typed.strip()))


def plain(one: Any) -> dict[str, Any]:
    """The fields of an answer for JSON, without the digits that a float32 does not have."""
    fields = one if isinstance(one, Mapping) else vars(one)
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in fields.items()}


def listed(text: str) -> list[str]:
    """Words separated by commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def metrics_of(text: str | None) -> list[str] | None:
    """Names of metrics, checked before anything is read.

    Raises:
        SettingError: one that does not exist, or none.
    """
    if text is None:
        return None
    from penchant.rank_metrics import part_metrics

    part_metrics(listed(text))
    return listed(text)
