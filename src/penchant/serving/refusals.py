"""Failures as they are sent: one shape, {"error": {"code", "message", "hint"}}, without paths or traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penchant.errors import (
    ArtifactError,
    ConflictError,
    InputError,
    PenchantError,
    SettingError,
    StoreError,
    UnknownIdError,
    UnsupportedError,
)
from penchant.serving.catalogue import dumps

JSON = b"application/json"


@dataclass(eq=False)  # not frozen: Python and the framework set an exception's traceback and context
class Refused(Exception):  # noqa: N818, as it is said: the request is refused
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        message, hint: for people.
        headers: that go with it.
    """

    status: int
    code: str
    message: str
    hint: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """As JSON."""
        return dumps({"error": {"code": self.code, "message": self.message, "hint": self.hint}})


TOO_SLOW = Refused(408, "too_slow", "The request took too long to arrive.", "Send it in one piece.")

# Of the first class that an error belongs to.
KINDS: tuple[tuple[type[PenchantError], int, str], ...] = (
    (UnknownIdError, 404, "unknown_item"),
    (ConflictError, 409, "conflicting_event"),
    (UnsupportedError, 422, "unsupported"),
    (SettingError, 422, "bad_setting"),
    (InputError, 422, "bad_input"),
)

OF_IDS = ("constrained-", "function-after")  # how pydantic names the kinds that an id may have

OF_STATUS = {
    400: ("invalid_body", "The body cannot be read.", "Send a JSON object in UTF-8."),
    413: ("too_large", "The body is too large.", "Send it in parts."),
    404: ("not_found", "There is nothing here.", "The routes are in /openapi.json."),
    405: ("method_not_allowed", "This route does not take that method.", "The routes are in /openapi.json."),
}


def refused(error: BaseException) -> Refused:
    """What to send for an error; of those that are not the sender's fault, nothing of the inside."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, StoreError):
        return Refused(
            503,
            "store_unavailable",
            "Feedback cannot be stored or read now.",
            "Send the same again.",
            {"Retry-After": "5"},
        )
    if isinstance(error, ArtifactError):
        hint = "The log of the service says why. The model before goes on."
        return Refused(409, "bad_artifact", "The model in the folder cannot be used.", hint)
    for kind, status, code in KINDS:
        if isinstance(error, kind):
            return Refused(status, code, error.problem, error.remedy)
    return Refused(
        500, "internal", "Something went wrong inside.", "The log of the service has it under the request id."
    )


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Refused:
    """For a status that the router gives."""
    code, message, hint = OF_STATUS.get(status, ("refused", "The request is refused.", ""))
    return Refused(status, code, message, hint, headers or {})


def _telling(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The first, or where it is of an id, which is a whole number or text, what tells most of both errors."""
    first, *others = errors
    same = [one for one in others if one["loc"][:-1] == first["loc"][:-1]]
    if first["type"] != "int_type" or not same or not str(first["loc"][-1]).startswith(OF_IDS):
        return first
    return {**first, "msg": "An id is a whole number or text"} if same[0]["type"] == "string_type" else same[0]


def of_validation(errors: Sequence[Mapping[str, Any]]) -> Refused:
    """For what pydantic found: the first, named by its place; what was sent is not repeated."""
    first = _telling(errors)
    place = [str(part) for part in first["loc"]]
    if first["type"] == "json_invalid":
        return Refused(422, "invalid_json", "The body is not JSON.", "Send a JSON object.")
    where = ".".join(part for part in place[1:] if not part.startswith(OF_IDS)) or place[0]
    message = f"{where}: {first['msg'].removeprefix('Value error, ')}."
    return Refused(422, "invalid", message.replace("..", "."), "The shapes of requests are in /openapi.json.")
