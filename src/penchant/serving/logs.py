"""Logs of the service: a JSON object a line on stderr, without ids of users, addresses or keys."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

LOGGER = logging.getLogger("penchant.service")


class JsonLines(logging.Formatter):
    """One object a line; what is given as `extra={"fields": …}` is in it."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
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


def say(level: int, message: str, **fields: Any) -> None:
    """Log a message with fields."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, message, extra={"fields": fields})
