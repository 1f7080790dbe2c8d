"""Logs of the service: a JSON object a line on stderr, without ids of users, addresses or keys."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from typing import Any

LOGGER = logging.getLogger("penchant.service")


class JsonLines(logging.Formatter):
    """One object a line; what is given as `extra={"fields": …}` is in it."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": _CLOCK.written(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            found["trace"] = self.formatException(record.exc_info)
        return json.dumps(found)


def prepare(level: str) -> None:
    """Send the service's and the server's logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("penchant.service", "uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name in ("penchant.service", "uvicorn") else []
        logger.propagate = name not in ("penchant.service", "uvicorn")
        logger.setLevel(
            level.upper() if name == "penchant.service" else max(logging.WARNING, logging.getLevelName(level.upper()))
        )


class _Clock:
    """The time as logs have it, written out once a second."""

    def __init__(self) -> None:
        self._kept = -1, ""

    def written(self, moment: float) -> str:
        """Seconds since 1970 as 2026-01-31T23:59:59.123Z; for any number of threads."""
        second = int(moment)
        known, text = self._kept
        if second != known:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._kept = second, text
        return f"{text}.{int(1000 * (moment - second)):03}Z"


_CLOCK = _Clock()


def say_answered(request: bytes, method: str, route: str, status: int, seconds: float) -> None:
    """The line of a request, as `say` would write it, but without the library: that took half as long as a list."""
    if LOGGER.isEnabledFor(logging.INFO):
        now = _CLOCK.written(time.time())
        with suppress(OSError, ValueError):  # a full disk, a reader that has gone: the answer counts
            sys.stderr.write(
                f'{{"time": "{now}", "level": "info", "message": "answered", "request": "{request.decode()}",'
                f' "method": "{method}", "route": "{route}", "status": {status},'
                f' "milliseconds": {1000 * seconds:.2f}}}\n'
            )


def say(level: int, message: str, **fields: Any) -> None:
    """Log a message with fields."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, message, extra={"fields": fields})
