"""The file with the number of a service's process, and telling that process to load its model again.

The process holds a lock on the file for as long as it lives: a number that a crash has left behind may belong to
another program by now, which SIGHUP would end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penchant.errors import ServiceError, SettingError

try:
    import fcntl
except ImportError:  # not POSIX, which has no SIGHUP either
    fcntl = None  # type: ignore[assignment]

STARTED = "Start it with penchant serve --pid-file {path}, or leave --pid-file out."


@contextmanager
def held(path: Path | None) -> Iterator[Callable[[], None]]:
    """Inside, the file is this process's; yields what writes the number into it. It is removed at the end.

    Raises:
        SettingError: it cannot be written, or is that of another service that runs.
    """
    if path is None:
        yield lambda: None
        return
    descriptor = _opened(path)

    def write() -> None:
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    try:
        yield write
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _opened(path: Path) -> int:
    """The file locked and empty, whatever a process that is gone has left in it."""
    if fcntl is None:
        raise SettingError("There are no signals on this system.", remedy="Leave --pid-file out.")
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):  # removed between the two by the service before
                    if os.path.samestat(os.fstat(descriptor), path.stat()):
                        _check_is_ours(path, os.pread(descriptor, 32, 0))
                        os.ftruncate(descriptor, 0)
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    except BlockingIOError:
        raise SettingError(
            f"{path} is the file of another service, which runs.", remedy="Stop it, or give another --pid-file."
        ) from None
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror}.", remedy="Give another --pid-file.") from error


def _check_is_ours(path: Path, content: bytes) -> None:
    if content.strip() and not content.strip().isdigit():
        raise SettingError(f"{path} is there, and has no number of a process.", remedy="Give another --pid-file.")


def hang_up(path: Path) -> int:
    """Tell the service of a file to load its model again (SIGHUP); the number of its process.

    Raises:
        ServiceError: there is none, or it is somebody else's.
    """
    number = _running(path)
    try:
        os.kill(number, signal.SIGHUP)
    except OSError as error:
        raise ServiceError(
            f"The process {number} of {path} was not told: {error.strerror}.",
            remedy="Run as the user of the service, or give --notify URL.",
        ) from error
    return number


def _running(path: Path) -> int:
    remedy = STARTED.format(path=path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from error
    try:
        if fcntl is not None:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                raise ServiceError(f"No service runs that holds {path}.", remedy=remedy)
        text = os.read(descriptor, 32).decode(errors="replace").strip()
    finally:
        os.close(descriptor)
    if not text.isdecimal():
        raise ServiceError(f"{path} has no number: its service is starting.", remedy="Tell it again when it answers.")
    return int(text)
