"""The file of a search: its trials, kept safely while they are made, and what they follow from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.data.write import check_folder
from penchant.errors import InputError, MissingExtraError
from penchant.models.fitting import FitOptions
from penchant.search_space import Dimension, label

FIRST_LINE = b'{"op_code":'  # how a file of optuna's journal begins


class _Unlocked:
    """What optuna takes for a lock. Ours is held for the whole search, and ends with the process however that ends."""

    def acquire(self) -> bool:
        """Do nothing."""
        return True

    def release(self) -> None:
        """Do nothing."""


def check_storage(path: Path) -> None:
    """Raise InputError where a file cannot keep trials, or holds something else."""
    if path.is_dir():
        raise InputError(f"{path} is a folder.", remedy="Give the name of a file.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no folder {path.absolute().parent}.", remedy="Make it, or choose another.")
    check_folder(path.absolute().parent, path)
    try:
        with path.open("rb") as file:
            start = file.read(len(FIRST_LINE))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", remedy="Choose another file.") from error
    if start and start != FIRST_LINE:
        raise _no_search(path)


def _no_search(path: Path) -> InputError:
    return InputError(f"{path} is not a file of trials.", remedy="Give --storage a new file, or one that it made.")


@contextmanager
def opened(path: Path | None) -> Iterator[Any]:
    """A file of trials that no other process has; None stays None. Optuna says nothing meanwhile."""
    optuna = load_optuna()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        if path is None:
            yield None
            return
        from filelock import FileLock, Timeout
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        lock = FileLock(f"{path}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"Another process is tuning with {path}.", remedy="Wait for its end, or give another file."
            ) from None
        try:
            check_storage(path)
            _drop_half_a_line(path)
            try:
                storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_Unlocked()))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise _no_search(path) from error
            yield storage
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _drop_half_a_line(path: Path) -> None:
    """What a process wrote that was killed while it wrote; optuna would not read past it.

    Raises:
        InputError: another line is not of a file of trials; then nothing is dropped.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        try:
            if not all("op_code" in json.loads(line) for line in content[:whole].splitlines()):
                raise _no_search(path)
        except (ValueError, TypeError) as error:
            raise _no_search(path) from error
        if whole < len(content):
            file.truncate(whole)


def fingerprint(
    model: str,
    fixed: Mapping[str, Any],
    inner: Split,
    metric: str,
    space: Sequence[Dimension],
    pruning: bool,
    options: FitOptions,
) -> dict[str, Any]:
    """What must be the same where a search goes on: all that the trials follow from."""
    assert inner.valid is not None
    return {
        "model": model,
        "table": f"{len(inner.train) + len(inner.valid):,} ratings, {_digest(inner.train)}",
        "split": f"{inner.how}, {_digest(inner.valid)}",
        "metric": metric,
        "seed": options.seed,
        "fixed settings": ", ".join(f"{name}={label(value)}" for name, value in sorted(fixed.items())) or "none",
        "searched settings": "; ".join(map(str, space)),
        "patience": options.patience,
        "keep_best": options.keep_best,
        "pruning": pruning,
    }


def _digest(ratings: Interactions) -> str:
    found = hashlib.blake2b(digest_size=8)
    for column in (ratings.user_rows, ratings.item_rows, ratings.ratings, ratings.times):
        found.update(b"none" if column is None else column.tobytes())
    for ids in (ratings.users.ids, ratings.items.ids):
        found.update(repr(ids.to_list()).encode())
    for table in (ratings.user_table, ratings.item_table):
        found.update(b"none" if table is None else repr(table.to_dict(as_series=False)).encode())
    return found.hexdigest()


def other_search(path: Path | None, before: Mapping[str, Any], now: Mapping[str, Any]) -> InputError:
    """The error for a file with the trials of another search, by their fingerprints."""
    names = [name for name in now if before.get(name) != now[name]]
    differences = "; ".join(f"its {name}: {before.get(name)}, now: {now[name]}" for name in names)
    return InputError(
        f"{path} has the trials of another search ({', '.join(names)}). {differences}.",
        remedy="Give the same table and options as before, or another file.",
    )


def load_optuna() -> Any:
    """The library, loaded when it is needed.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("Tuning", extra="tune") from error
    return optuna
