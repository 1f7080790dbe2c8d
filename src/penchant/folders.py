"""A folder put into the place of another so that there is a whole one in it at every moment."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

HERE = -100  # AT_FDCWD: paths are as they are
EXCHANGE = 2  # RENAME_EXCHANGE
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV)  # of a kernel or a file system


def put(new: Path, place: Path, previous: Path | None = None) -> None:
    """Rename a folder into a place. What was there is kept as `previous` instead of what that was, or is removed.

    On Linux the two change their names in one step, and a process that dies at any moment leaves a whole folder in the
    place. Elsewhere there is a moment between two renames: `bring_back` helps after it.

    Raises:
        OSError: the disk refuses. The place is as it was.
    """
    if not place.exists():
        new.rename(place)
    elif exchange(new, place):
        _keep(new, previous)
    elif previous is not None:
        _remove(previous)
        _replace(new, place, previous)
    else:
        aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.old.", dir=place.parent))
        try:
            _replace(new, place, aside / "old")
        finally:
            _remove(aside)


def bring_back(place: Path, previous: Path) -> bool:
    """Whether a place was empty though there is a previous folder; then that is put there."""
    if place.exists() or not previous.exists():
        return False
    previous.rename(place)
    return True


def make_like(new: Path, old: Path) -> None:
    """Give a file or folder the mode of the one that it is to replace, and its owner and group where that is allowed.

    Where the group may not be given, what the mode allows to it is taken away: it would be allowed to another group.

    Raises:
        OSError: the old one cannot be looked at, or the mode not be set.
    """
    found, mine = old.stat(), new.stat()
    mode = stat.S_IMODE(found.st_mode)
    if hasattr(os, "chown"):
        try:
            os.chown(new, found.st_uid, found.st_gid)  # before the mode, of which it removes some bits
        except OSError:
            with suppress(OSError):
                os.chown(new, -1, found.st_gid)
            if new.stat().st_gid != found.st_gid:
                mode &= ~stat.S_IRWXG
    if mode != stat.S_IMODE(mine.st_mode):
        new.chmod(mode)


def exchange(first: Path, second: Path) -> bool:
    """Two folders change their names in one step; False where this system cannot.

    Raises:
        OSError: it can, and refuses.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if rename(HERE, os.fsencode(first), HERE, os.fsencode(second), EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(second))


def _keep(old: Path, previous: Path | None) -> None:
    """What was replaced takes the place of what was replaced before it."""
    if previous is None:
        _remove(old)
    elif not previous.exists():
        old.rename(previous)
    elif exchange(old, previous):
        _remove(old)
    else:
        _remove(previous)
        old.rename(previous)


def _replace(new: Path, place: Path, aside: Path) -> None:
    """By two renames; the first is undone where the second fails."""
    old = place.rename(aside)
    try:
        new.rename(place)
    except BaseException:  # Ctrl-C between the two renames as well
        if not place.exists():
            old.rename(place)
        raise


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
