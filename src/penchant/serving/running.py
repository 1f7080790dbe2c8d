"""The server process: listening, signals, and stopping so that what was accepted is answered."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from penchant.errors import MissingExtraError, PenchantError, SettingError
from penchant.serving.app import Made, create_app
from penchant.serving.keys import Keys
from penchant.serving.logs import prepare, say
from penchant.serving.refusals import TOO_SLOW, Refused
from penchant.serving.service_settings import ServiceSettings

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError as error:
    raise MissingExtraError("Serving", extra="serve") from error

NOT_HTTP = Refused(400, "not_http", "This is no HTTP.", "Check what is sent, and to which port.")
MOST_HEAD = 65_536  # bytes of a request before its body
PIECE = 32_768  # bytes that are parsed at a time
HEAD_TOO_LARGE = b"431 Request Header Fields Too Large"
TOO_LONG = Refused(431, "too_long", f"The headers have more than {MOST_HEAD:,} bytes.", "Ask for less at a time.")
BACKLOG = 2048
SETTLING = 1.0  # seconds that connections without a request get for one more, which is answered and the last
LOOKING = 0.02  # seconds between two looks at whether there are any
SWITCH = 0.0005  # seconds: how long the thread that answers waits for one that scores, where both run Python


class _Protocol(HttpToolsProtocol):
    """HTTP, and what is none, or too long, or too slow to arrive, refused in the shape of all failures.

    From its first byte on a request has `seconds` for its headers, and so long has, once it is answered, what is left
    of its body; so long a new connection may say nothing. What has no end before a request's headers or body can be
    told from it (lines of headers, a URL, trailers, blank lines) is refused beyond MOST_HEAD bytes.
    """

    seconds = 10.0
    _is_in_headers = False
    _is_arriving = False  # a message whose end has not come
    _unheard = 0  # bytes since the parser told of anything but lines of headers
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) <= PIECE:
            self._take(data)
        else:  # in pieces, so that what one of them can hold of headers is bounded too
            for start in range(0, len(data), PIECE):
                if self.transport.is_closing():
                    return
                self._take(data[start : start + PIECE])
        self._set_timer()

    def _take(self, data: bytes) -> None:
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > MOST_HEAD and not self.transport.is_closing():
            self._refuse(HEAD_TOO_LARGE, TOO_LONG)

    def on_message_begin(self) -> None:
        self._is_in_headers = self._is_arriving = True
        self._unheard = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._is_in_headers = False
        self._unheard = 0

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_arriving = False
        self._unheard = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_arriving:
            self._set_timer()

    def send_400_response(self, msg: str) -> None:
        del msg
        if self._is_in_headers and len(self.url) >= MOST_HEAD:  # which the parser takes for none
            self._refuse(HEAD_TOO_LARGE, TOO_LONG)
        else:
            self._refuse(b"400 Bad Request", NOT_HTTP)

    def _give_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_in_headers:
            self._refuse(b"408 Request Timeout", TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, status: bytes, found: Refused) -> None:
        if self._may_say():
            lines = (
                b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            )
            self.transport.write(lines % (status, len(found.body), found.body))
        self.transport.close()

    def _may_say(self) -> bool:
        """Whether an answer now would be taken for that to the request that is at fault."""
        cycle: Any = self.cycle  # None before the first request
        if cycle is None:
            return True
        found: bool = cycle.response_complete if self._is_in_headers else not cycle.response_started
        return found

    def _set_timer(self) -> None:
        """Run it while the sender owes what nobody else waits for; what comes in one piece never gets one."""
        if self._is_in_headers or (self._is_arriving and self.cycle.response_complete):
            if self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(self.seconds, self._give_up)
        elif self._timer is not None:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _protocol(seconds: float) -> type[_Protocol]:
    """The protocol with a time for headers."""
    return type("Protocol", (_Protocol,), {"seconds": seconds})


class _Server(uvicorn.Server):
    """uvicorn with our signals, and with time between the last that it accepts and the first that it closes."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        accepted = [one for listening in sockets or () for one in _rest(listening)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, connection)
        until = loop.time() + SETTLING
        while self.server_state.connections and loop.time() < until and not self.force_exit:
            await asyncio.sleep(LOOKING)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        return made


def _rest(listening: socket.socket) -> Iterator[socket.socket]:
    """Connections that the kernel has accepted and nobody has taken: closing the socket would reset them."""
    with suppress(OSError):  # EAGAIN: that was all
        while True:
            yield listening.accept()[0]


def listen(settings: ServiceSettings) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingError: the address or the port is not to be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
        found.setblocking(False)
    except OSError as error:
        raise SettingError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}.",
            remedy="Choose another with --host and --port; --port 0 takes any that is free.",
        ) from error
    return found


def address_of(listening: socket.socket) -> str:
    """The address of a service for people."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    folder: Path,
    settings: ServiceSettings,
    keys: Keys | None,
    listening: socket.socket,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the model again.

    Args:
        ready: is called once the model and the store are there, and signals are heeded.

    Raises:
        ArtifactError, SettingError, StoreError: as for `create_app`.
    """
    prepare(settings.log_level)
    sys.setswitchinterval(SWITCH)
    made = create_app(folder, settings, keys)
    gc.freeze()  # what was loaded lives as long as the process; going through it for garbage would hold requests up
    config = uvicorn.Config(
        made.gate,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.grace,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or "127.0.0.1",
        server_header=False,
        http=_protocol(settings.timeout),
        ws="none",
    )
    server = _Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(server, made, settings, listening, ready))


async def _run(
    server: _Server, made: Made, settings: ServiceSettings, listening: socket.socket, ready: Callable[[], None]
) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    kept: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(made))
        kept.add(task)
        task.add_done_callback(kept.discard)

    def stop() -> None:
        if stopping.is_set():  # the second time they mean it
            server.force_exit = True
        stopping.set()

    for number, act in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload)):
        loop.add_signal_handler(number, act)
    ready()
    serving = loop.create_task(server.serve(sockets=[listening]))
    waiting = loop.create_task(stopping.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        say(logging.INFO, "stopping", in_work=made.gate.room.taken, waiting=made.gate.room.waiting)
        made.service.is_ready = False
        made.gate.is_stopping = True  # every answer closes its connection, so that nobody sends more on one
        await asyncio.sleep(settings.drain)
        server.should_exit = True
    waiting.cancel()
    await serving
    say(logging.INFO, "stopped")


async def _reload(made: Made) -> None:
    with suppress(PenchantError):  # it is in the log
        await asyncio.get_running_loop().run_in_executor(made.service.store_pool, made.service.reload)
