"""Telling running services that there is another model in their folder."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penchant.errors import ServiceError, SettingError
from penchant.serving.pid_file import hang_up

ROUTE = "/v1/admin/reload"
PATIENCE = 120.0  # seconds: the service answers when the model is loaded and tried out
LONGEST = 100_000  # bytes of an answer that are read


@dataclass(frozen=True)
class Told:
    """What became of telling one service.

    Attributes:
        service: its address, or the file with the number of its process.
        version: what it serves now, as it says; None of a signal, which nobody answers.
        problem, remedy: why it was not told, "" where it was.
    """

    service: str
    version: str | None = None
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Services:
    """The services of a model.

    Attributes:
        urls: their addresses.
        key: with the scope admin, or None.
        pid_file: of one on this machine, or None.

    Raises:
        SettingError: an address is none.
    """

    urls: tuple[str, ...] = ()
    key: str | None = None
    pid_file: Path | None = None

    def __post_init__(self) -> None:
        for url in self.urls:
            _check_url(url)
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key.strip()):
            raise SettingError("The key is not one that penchant keys add has printed.", remedy="Give it as it was.")

    def tell(self, version: str) -> list[Told]:
        """Tell all of them, whatever becomes of the others.

        Args:
            version: of the artifact that they are to load.
        """
        told = []
        if self.pid_file is not None:
            told.append(_told(str(self.pid_file), lambda file=self.pid_file: hang_up(file) and None))
        told += [_told(url, lambda url=url: _reloaded(url, self.key, version)) for url in self.urls]
        return told


def _told(service: str, tell: Any) -> Told:
    try:
        return Told(service, tell())
    except ServiceError as error:
        return Told(service, None, error.problem, error.remedy)


def reload(url: str, key: str | None = None) -> str:
    """Let a service load its model again; the version that it serves then.

    Raises:
        ServiceError: it does not answer, refuses the key, or refuses the model.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url.rstrip("/") + ROUTE, b"", headers, method="POST")  # noqa: S310, checked
    try:
        with _opener().open(request, timeout=PATIENCE) as answer:
            return str(json.loads(answer.read(LONGEST))["version"])
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, error.code, error.read(LONGEST)) from None
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise ServiceError(
            f"{url} does not answer: {why}.",
            remedy="Check the address and whether the service runs; when it starts, it loads the new model.",
        ) from None
    except (ValueError, LookupError, TypeError):
        raise ServiceError(f"{url} is not a service of penchant.", remedy="Check the address.") from None


def _reloaded(url: str, key: str | None, version: str) -> str:
    served = reload(url, key)
    if not version.startswith(served):
        raise ServiceError(
            f"{url} has loaded a model, but another one: {served}, not {version[: len(served)]}.",
            remedy="Check that it serves the folder of --model-dir.",
        )
    return served


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key goes to the address that was given and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)


def _refused(url: str, status: int, body: bytes) -> ServiceError:
    """What a service says, in its own words where it is one of ours."""
    try:
        said = json.loads(body)["error"]
        why, hint = str(said["message"]), str(said.get("hint") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        why, hint = f"it answers {status}", ""
    if status in (401, 403):
        hint = "Give a key with the scope admin in the variable PENCHANT_KEY: penchant keys add FILE --scope admin."
    return ServiceError(
        f"{url} refuses: {why.rstrip('.')}.", remedy=hint or "Its log says more; it goes on with the model before."
    )


def _check_url(url: str) -> None:
    remedy = "Give the address that penchant serve prints, such as http://127.0.0.1:8000."
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_one = False
    if not is_one or any(letter.isspace() or not letter.isprintable() for letter in url):
        raise SettingError(f"{url!r} is no address of a service.", remedy=remedy)
    if parts.username or parts.query or parts.fragment:
        raise SettingError(f"{url!r} has more than an address in it.", remedy=remedy)
