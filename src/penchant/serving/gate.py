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

from penchant.serving.keys import Keys
from penchant.serving.limits import Bodies, Full, Rates, Room, end_now
from penchant.serving.logs import LOGGER, say_answered
from penchant.serving.observed import Observed
from penchant.serving.origins import Origins
from penchant.serving.refusals import JSON, TOO_SLOW, Refused, refused
from penchant.serving.service_settings import ServiceSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]

OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/favicon.ico"})
PROBES = frozenset({"/healthz", "/readyz"})
UNQUEUED = PROBES | {"/metrics"}
ADMIN = ("/v1/admin/", "/metrics")
UNTIMED = "/v1/admin/reload"  # it goes on whoever waits for it, and who asked is to hear what became of it
BODIES_AT_ONCE = 64  # of the largest size, that may arrive at the same time
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
        self.origins = Origins(settings, keys is not None)
        self.bodies = Bodies(BODIES_AT_ONCE * settings.max_body)
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
        self.body: bytes | None = None  # what was read and not handed on yet
        self.has_body = b"transfer-encoding" in self.headers or b"content-length" in self.headers
        self.is_sent_slowly = self.is_gone = False
        given = self.headers.get(b"x-request-id", b"")
        self.id = given if REQUEST_ID.fullmatch(given) else b"%s-%x" % (PROCESS, next(NUMBERS))

    async def run(self) -> None:
        started = time.perf_counter()
        try:
            if self.path not in PROBES:
                self.gate.origins.check_host(self.headers.get(b"host"))
            if not await self._is_preflight():
                self._admit()
                async with asyncio.timeout(self.gate.settings.timeout) as limit:
                    await self._inside(limit)
        except TimeoutError:
            await self._refuse(self._given_up())
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of native code is no Exception
            found = refused(error)
            if found.status == 500:
                LOGGER.exception("a request failed", extra={"fields": {"request": self.id.decode()}})
            if self.status != 500:  # the framework raises again what it has answered
                await self._refuse(found)
        finally:
            self._tell(time.perf_counter() - started)

    def _given_up(self) -> Refused:
        if self.is_gone:
            return _gone()
        return TOO_SLOW if self.is_sent_slowly else _busy("timed_out", "The answer took too long.")

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
        if self.gate.keys is None:
            self.gate.origins.check_page(self.method, self.headers)
        if self.path not in UNQUEUED and not _is_of_the_page(self.path):
            self._check_rate(sender)
        if self.has_body or self.method in ("POST", "PUT", "PATCH"):
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
            raise Refused(403, "wrong_scope", f"This key has not the scope {needed}.", "Use a key whose scope it is.")
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
        if has_body and kind != JSON and self.method in ("POST", "PUT", "PATCH"):
            raise Refused(415, "not_json", "The body is not of type application/json.", "Send JSON.")
        if has_body and self.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise Refused(415, "encoded", "The body is compressed, or encoded otherwise.", "Send it as it is.")
        if length.isdigit() and int(length) > self.gate.settings.max_body:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(
            413, "too_large", f"The body has more than {self.gate.settings.max_body:,} bytes.", "Send it in parts."
        )

    # --- inside -----------------------------------------------------------------------------------------

    async def _inside(self, limit: asyncio.Timeout) -> None:
        if self.path in UNQUEUED:
            await self.gate.app(self.scope, self._receive, self._answer)
            return
        room = self.gate.room
        try:
            if self.has_body:  # before a place is taken: whoever sends slowly holds none
                await self._read(limit)
            if not room.take():
                await self._wait(limit)
        except Full:
            raise _busy("overloaded", "Too many requests are waiting.") from None
        finally:
            if self.has_body:
                self.gate.bodies.leave(limit)
        if self.path == UNTIMED:
            limit.reschedule(None)
        try:
            await self.gate.app(self.scope, self._hand_on, self._answer)
        finally:
            room.leave()

    async def _read(self, limit: asyncio.Timeout) -> None:
        """All of the body; what comes in one piece, as nearly all do, is not counted."""
        self.is_sent_slowly = True
        message = await self._receive()
        found = message.get("body", b"")
        if message.get("more_body"):
            found, bodies = bytearray(found), self.gate.bodies
            bodies.add(limit, len(found))
            while message.get("more_body") and len(found) <= self.gate.settings.max_body:
                message = await self._receive()
                piece = message.get("body", b"")
                found += piece
                bodies.add(limit, len(piece))
            bodies.is_whole(limit)
        if message["type"] != "http.request":
            raise _gone()
        if len(found) > self.gate.settings.max_body:
            raise self._too_large()
        self.body = bytes(found)
        self.is_sent_slowly = False

    async def _wait(self, limit: asyncio.Timeout) -> None:
        """Wait for a place, as long as there is somebody to answer."""
        watching = asyncio.create_task(self._watch(limit))
        try:
            await self.gate.room.wait()
        finally:
            watching.cancel()

    async def _watch(self, limit: asyncio.Timeout) -> None:
        if self.body is None:
            self.body = b""  # the message that says that there is none is read here
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        end_now(limit)

    async def _hand_on(self) -> Message:
        if self.body is None:
            return await self._receive()
        body, self.body = self.body, None
        return {"type": "http.request", "body": body, "more_body": False}

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
        origin, origins = self.headers.get(b"origin"), self.gate.origins
        if origin is None or not origins.allowed:
            return []
        if not origins.may_read(origin):
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


def _gone() -> Refused:
    return Refused(400, "gone", "The request broke off.")


def _busy(code: str, message: str) -> Refused:
    return Refused(503, code, message, "Try again in a moment.", {"Retry-After": "1"})
