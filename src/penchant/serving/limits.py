"""How much is let in: requests a second of each sender, bytes of bodies that arrive, and requests in work at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress

MOST_SENDERS = 100_000  # whose buckets are remembered


class Rates:
    """Token buckets: each sender may send `burst` requests at once, and gets `rate` back a second.

    Args:
        rate: 0 for no limit.
        clock: seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, sender: str) -> float:
        """0 where a request may come in now; else the seconds after which it may."""
        if not self.rate:
            return 0.0
        now = self._clock()
        tokens, then = self._buckets.pop(sender, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - then) * self.rate)
        allowed = tokens >= 1
        self._buckets[sender] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MOST_SENDERS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self.rate


class Full(Exception):  # noqa: N818
    """More waits than may."""


class Room:
    """Places for requests in work, and a queue in front. On one event loop."""

    def __init__(self, places: int, queue: int) -> None:
        self.places = places
        self.queue = queue
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Take a place, or wait for one.

        Raises:
            Full: the queue is.
        """
        if not self.take():
            await self.wait()

    def take(self) -> bool:
        """Take a place if one is free; whether it was.

        Raises:
            Full: none is, and the queue is full.
        """
        if self.taken < self.places:
            self.taken += 1
            return True
        if len(self._waiting) >= self.queue:
            raise Full
        return False

    async def wait(self) -> None:
        """Wait in the queue for a place, where `take` has found none."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            else:
                with suppress(ValueError):  # it was its turn just now
                    self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give a place back: to who waits first."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1


class Bodies:
    """Bodies that arrive in pieces, counted until they have a place: not more than so many bytes of all together.

    Where more come, the one that has been arriving for longest is given up: who sends at once is never refused for
    those who send slowly, however many they are. On one event loop.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._sizes: dict[asyncio.Timeout, int] = {}
        self._arriving: dict[asyncio.Timeout, None] = {}  # the first to arrive first

    def add(self, limit: asyncio.Timeout, n_bytes: int) -> None:
        """A piece has come.

        Args:
            limit: the time that its request has; to give the request up is to end it now.
        """
        self._arriving.setdefault(limit)
        self._sizes[limit] = self._sizes.get(limit, 0) + n_bytes
        self.held += n_bytes
        while self.held > self.most and self._arriving:
            oldest = next(iter(self._arriving))
            self.leave(oldest)
            end_now(oldest)

    def is_whole(self, limit: asyncio.Timeout) -> None:
        """All of it is there, and it is not given up any more."""
        self._arriving.pop(limit, None)

    def leave(self, limit: asyncio.Timeout) -> None:
        """It counts no more; or never did."""
        self._arriving.pop(limit, None)
        self.held -= self._sizes.pop(limit, 0)


def end_now(limit: asyncio.Timeout) -> None:
    """Let the time of a request be over."""
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())
