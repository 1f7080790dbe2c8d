"""The gate that every request passes: who it is from, how much is let in, and what is told of it afterwards.

It is plain ASGI, since each of Starlette's own middlewares would cost a task for every request.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from penchant.serving.keys import Keys
from penchant.serving.limits import Full, Rates, Room
from penchant.serving.logs import LOGGER, say_answered
from penchant.serving.observed import Observed
from penchant.serving.refusals import JSON, TOO_SLOW, Refused, refused
from penchant.serving.service_settings import ServiceSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]

OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/favicon.ico"})
UNQUEUED = frozenset({"/healthz", "/readyz", "/metrics"})
ADMIN = ("/v1/admin/", "/metrics")
PROCESS = os.urandom(6).hex().encode()  # asking for random bytes each time would hand the interpreter's lock over
NUMBERS = itertools.count(1)
REQUEST_ID = re.compile(rb"[\w.:-]{1,64}")

PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", PAGE_POLICY),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


def scope_of(method: str, path: str) -> str | None:
    """What a key has to allow; None where no key is needed. A route that does not exist needs one too."""
    if path in OPEN or _is_of_the_page(path):
        return None
    if path.startswith(ADMIN):
        return "admin"
    return "write" if path == "/v1/feedback" and method == "POST" else "read"


def _is_of_the_page(path: str) -> bool:
    """One of the dozens of files that a browser asks for at once."""
    return path == "/" or path.startswith("/page/")


class Gate:
    """See the module. `app` is what is behind it; `keys` is None where no key is needed."""

    def __init__(
        self, app: App, settings: ServiceSettings, room: Room, observed: Observed, keys: Keys | None = None
    ) -> None:
        self.app = app
        self.settings = settings
        self.room = room
        self.observed = observed
        self.keys = keys
        self.rates = Rates(settings.requests_a_second, settings.burst)
        self.is_stopping = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request; websockets are refused by the router behind."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Passage(self, scope, receive, send).run()


class _Passage:
    """One request on its way."""

    def __init__(self, gate: Gate, scope: Any, receive: Receive, send: Send) -> None:
        self.gate, self.scope = gate, scope
        self._receive, self._send = receive, send
        self.headers: Headers = dict(scope["headers"])
        self.method, self.path = scope["method"], scope["path"]
        self.status = 0
        self.read = 0
        self.is_sent_slowly = False
        given = self.headers.get(b"x-request-id", b"")
        self.id = given if REQUEST_ID.fullmatch(given) else b"%s-%x" % (PROCESS, next(NUMBERS))

    async def run(self) -> None:
        started = time.perf_counter()
        try:
            if not await self._is_preflight():
                self._admit()
                async with asyncio.timeout(self.gate.settings.timeout):
                    await self._inside()
        except TimeoutError:
            await self._refuse(TOO_SLOW if self.is_sent_slowly else _busy("timed_out", "The answer took too long."))
        except Exception as error:
            found = refused(error)
            if found.status == 500:
                LOGGER.exception("a request failed", extra={"fields": {"request": self.id.decode()}})
            if self.status != 500:  # the framework raises again what it has answered
                await self._refuse(found)
        finally:
            self._tell(time.perf_counter() - started)

    def _tell(self, seconds: float) -> None:
        route = getattr(self.scope.get("route"), "path", "").replace(":path", "") or "none"
        self.gate.observed.answered(route, self.method if route != "none" else "any", self.status, seconds)
        say_answered(self.id, self.method if self.method.isalpha() else "any", route, self.status, seconds)

    # --- who may ----------------------------------------------------------------------------------------

    def _admit(self) -> None:
        needed = scope_of(self.method, self.path)
        sender = self._address()
        if self.gate.keys is not None and needed is not None:
            try:
                sender = self._check_key(needed)
            except Refused:
                self._check_rate("?" + sender)  # guesses are counted by address
                raise
        if self.path not in UNQUEUED and not _is_of_the_page(self.path):
            self._check_rate(sender)
        if self.method in ("POST", "PUT", "PATCH"):
            self._check_body()

    def _check_key(self, needed: str) -> str:
        word, _, key = self.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        challenge = {"WWW-Authenticate": "Bearer"}
        if word.lower() != "bearer" or not key.strip():
            raise Refused(401, "no_key", "This needs a key.", "Send Authorization: Bearer KEY.", challenge)
        scopes = self.gate.keys.verify(key.strip()) if self.gate.keys is not None else None
        if scopes is None:
            raise Refused(401, "unknown_key", "This key is not known.", "Ask who runs the service for one.", challenge)
        if needed not in scopes:
            raise Refused(403, "wrong_scope", f"This key does not allow to {needed}.", "Use a key whose scope it is.")
        return key

    def _check_rate(self, sender: str) -> None:
        wait = self.gate.rates.wait(sender)
        if wait:
            hint = "Send fewer requests a second."
            raise Refused(429, "too_many", "Too many requests.", hint, {"Retry-After": str(math.ceil(wait))})

    def _address(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else ""

    def _check_body(self) -> None:
        kind = self.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        length = self.headers.get(b"content-length", b"")
        has_body = b"transfer-encoding" in self.headers or (length.isdigit() and int(length) > 0)
        if has_body and kind != JSON:
            raise Refused(415, "not_json", "The body is not of type application/json.", "Send JSON.")
        if length.isdigit() and int(length) > self.gate.settings.max_body:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(
            413, "too_large", f"The body has more than {self.gate.settings.max_body:,} bytes.", "Send it in parts."
        )

    # --- inside -----------------------------------------------------------------------------------------

    async def _inside(self) -> None:
        if self.path in UNQUEUED:
            await self.gate.app(self.scope, self._counted, self._answer)
            return
        try:
            await self.gate.room.enter()
        except Full:
            raise _busy("overloaded", "Too many requests are waiting.") from None
        try:
            await self.gate.app(self.scope, self._counted, self._answer)
        finally:
            self.gate.room.leave()

    async def _counted(self) -> Message:
        self.is_sent_slowly = True
        message = await self._receive()
        self.is_sent_slowly = bool(message.get("more_body"))
        if message["type"] == "http.request":
            self.read += len(message.get("body", b""))
            if self.read > self.gate.settings.max_body:
                raise HTTPException(413)  # which the framework does not take for a body that it cannot read
        return message

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *SECURITY, (b"x-request-id", self.id), *self._cors()]
            if not self.path.startswith("/page/") and self.path != "/":
                headers.append((b"cache-control", b"no-store"))
            if self.gate.is_stopping or self.status == 413:  # what is left of a large body is not read
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def _refuse(self, found: Refused) -> None:
        if self.status:  # the answer has begun; closing the connection is all that can be said
            raise ConnectionError("the answer broke off")
        headers = [(b"content-type", JSON), (b"content-length", str(len(found.body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in found.headers.items()]
        await self._answer({"type": "http.response.start", "status": found.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else found.body})

    # --- pages of other origins -------------------------------------------------------------------------

    def _cors(self) -> list[tuple[bytes, bytes]]:
        origin, allowed = self.headers.get(b"origin"), self.gate.settings.origins
        if origin is None or not allowed:
            return []
        if "*" not in allowed and origin.decode("latin-1") not in allowed:
            return [(b"vary", b"origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"x-request-id, retry-after"),
            (b"vary", b"origin"),
        ]

    async def _is_preflight(self) -> bool:
        """Answer the question of a browser whether a page of another origin may ask."""
        if self.method != "OPTIONS" or b"access-control-request-method" not in self.headers:
            return False
        allowed = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
            (b"access-control-max-age", b"600"),
        ]
        is_allowed = any(name == b"access-control-allow-origin" for name, _ in self._cors())
        headers = [(b"content-length", b"0"), *(allowed if is_allowed else [])]
        await self._answer({"type": "http.response.start", "status": 204 if is_allowed else 403, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})
        return True


def _busy(code: str, message: str) -> Refused:
    return Refused(503, code, message, "Try again in a moment.", {"Retry-After": "1"})
