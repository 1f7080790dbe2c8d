"""API keys: shown once when they are made, kept as hashes, each with what it may do."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from penchant.errors import InputError, SettingError
from penchant.folders import make_like
from penchant.serving.logs import say

SCOPES = ("read", "write", "admin")
FORMAT = "penchant keys"
START = "pk_"  # so that a key is recognised where it leaked: in a log, in a repository
RANDOM_BYTES = 32  # 256 bits: nobody guesses them, so that a plain hash is as good as a slow one
LONGEST_NAME = 100


@dataclass(frozen=True)
class Key:
    """What is known of a key, which itself is kept nowhere.

    Attributes:
        name: who has it, for people.
        scopes: some of SCOPES.
        sha256: of the key, in hexadecimal digits.
        added: when, in seconds since 1970-01-01 UTC.
    """

    name: str
    scopes: tuple[str, ...]
    sha256: str
    added: int


class Keys:
    """The keys of a file, which is read again when it has changed: a removed key is refused by the next request."""

    def __init__(self, path: Path, keys: Sequence[Key], stamp: tuple[int, ...] | None) -> None:
        self.path = path
        self._keys = tuple(keys)
        self._stamp = stamp
        self._guard = threading.Lock()

    @classmethod
    def load(cls, path: Path) -> Keys:
        """The keys of a file.

        Raises:
            InputError: it is not there, cannot be read, or is not a file of keys.
        """
        stamp = _stamp(path)
        return cls(path, read_keys(path), stamp)

    def verify(self, key: str) -> frozenset[str] | None:
        """The scopes of a key, None of one that is not known; in the same time whichever it is."""
        given, found = _hash(key), None
        for one in self._current():
            if hmac.compare_digest(one.sha256, given):
                found = frozenset(one.scopes)
        return found

    def _current(self) -> tuple[Key, ...]:
        """The keys as the file has them now; none where it is gone or damaged."""
        stamp = _stamp(self.path)
        with self._guard:
            if stamp != self._stamp:
                try:
                    self._keys, self._stamp = tuple(read_keys(self.path)), stamp
                except InputError as error:
                    self._keys, self._stamp = (), stamp
                    say(logging.ERROR, "no key opens anything: the file of keys cannot be used", why=error.problem)
            return self._keys


def add_key(path: Path, name: str, scopes: Sequence[str]) -> str:
    """Make a key, add it to a file, and return it: nobody can later.

    A file that is not there is made with mode 0600; one that is keeps its mode, and its owner where that is allowed.

    Raises:
        SettingError: a scope that does not exist, or a name that cannot be or is taken.
        InputError: the file cannot be read or written, or is not a file of keys.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"The scope {unknown[0]!r} does not exist." if unknown else "A key without scopes opens nothing."
        raise SettingError(what, remedy=f"Give one or more of: {', '.join(SCOPES)}.")
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise SettingError(f"{ascii(name)[:120]} is no name.", remedy=f"Give 1 to {LONGEST_NAME} printable characters.")
    with _changing(path) as keys:
        if any(one.name == name for one in keys):
            raise SettingError(
                f"There is a key {name!r} already.",
                remedy=f"Choose another name, or penchant keys remove {path} {name}.",
            )
        key = START + secrets.token_urlsafe(RANDOM_BYTES)
        keys.append(Key(name, tuple(scope for scope in SCOPES if scope in scopes), _hash(key), int(time.time())))
    return key


def remove_key(path: Path, name: str) -> None:
    """Take a key out of a file.

    Raises:
        InputError: it is not in it; or as for `add_key`.
    """
    with _changing(path, create=False) as keys:
        left = [one for one in keys if one.name != name]
        if len(left) == len(keys):
            names = ", ".join(repr(one.name) for one in keys) or "none"
            raise InputError(f"There is no key {name!r} in {path}.", remedy=f"There are: {names}.")
        keys[:] = left


def read_keys(path: Path) -> list[Key]:
    """The keys of a file, as they were added.

    Raises:
        InputError: it is not there, cannot be read, or is not a file of keys.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError("another format")
        return [_checked(entry) for entry in content["keys"]]
    except FileNotFoundError:
        remedy = f"Make it: penchant keys add {path} --scope read."
        raise InputError(f"There is no file {path}.", remedy=remedy) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", remedy="Check who may read it.") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputError(f"{path} is not a file of keys.", remedy="Give another file: penchant keys add.") from error


def _checked(entry: Any) -> Key:
    key = Key(str(entry["name"]), tuple(entry["scopes"]), str(entry["sha256"]), int(entry["added"]))
    if not set(key.scopes) <= set(SCOPES) or len(bytes.fromhex(key.sha256)) != hashlib.sha256().digest_size:
        raise ValueError("a key that cannot be")
    return key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Another value after each change of a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@contextmanager
def _changing(path: Path, *, create: bool = True) -> Iterator[list[Key]]:
    """The keys of a file to change in place; written whole or not at all, one change after the other."""
    from filelock import FileLock

    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no folder {path.absolute().parent}.", remedy="Make it, or choose another.")
    try:
        with FileLock(f"{path}.lock", timeout=10):
            keys = [] if create and not path.exists() else read_keys(path)
            yield keys
            _write(path, keys)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", remedy="Choose another place.") from error


def _write(path: Path, keys: Sequence[Key]) -> None:
    content = json.dumps({"format": FORMAT, "keys": [asdict(key) for key in keys]}, indent=2) + "\n"
    place = path.resolve()
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)  # with mode 0600
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            if place.exists():  # who could read it can read it still: a running service of another user
                make_like(Path(name), place)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    finally:
        Path(name).unlink(missing_ok=True)
