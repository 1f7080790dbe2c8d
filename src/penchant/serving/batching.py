"""Scores for many requests at a time: whatever waits when there is time for it is scored in one product of matrices.

On 100,000 items a product for 16 users takes little longer than for one, since the items' factors are read from
memory once. What is light is answered on the event loop itself, all that came in one look at the connections together:
handing a single list to a thread and back takes 31 µs, and scoring and writing it 48.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

NUMBERS_AT_ONCE = 2_000_000  # 8 MB of scores
MOST_AT_ONCE = 32
LIGHT_NUMBERS = 250_000  # scores that are made on the event loop, in about a millisecond

Work = Callable[[Any, Sequence[Any]], Sequence[Any]]
Waiting = tuple[Any, Any, asyncio.Future[Any]]


class Batcher:
    """Answers questions in batches; made and asked on one event loop.

    Args:
        work: a group and questions of it -> an answer, or an exception, for each.
        most: of a group, how many may go together.
        is_light: whether a batch takes so little time that it is answered on the event loop.
        threads: how many answer the others.
    """

    def __init__(
        self,
        work: Work,
        most: Callable[[Any], int],
        threads: int,
        is_light: Callable[[Any, Sequence[Any]], bool] = lambda *_: False,
    ) -> None:
        self._work = work
        self._most = most
        self._is_light = is_light
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, "scoring")
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiting] = deque()
        self._is_due = False

    def ask(self, group: Any, question: Any) -> asyncio.Future[Any]:
        """The answer to come; questions of one group share a batch."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((group, question, future))
        self._plan()
        return future

    def close(self) -> None:
        """Answer what waits, and stop."""
        while batch := self._next():
            _deliver(batch, self._answers(batch))
        self._pool.shutdown()

    def _plan(self) -> None:
        """Start after all else that is ready now: it may ask as well."""
        if self._waiting and self._free and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._is_due = False
        batch = self._next()
        if not batch:
            return
        if self._is_light(batch[0][0], [question for _, question, _ in batch]):
            _deliver(batch, self._answers(batch))
        else:
            self._free -= 1
            self._pool.submit(self._on_thread, batch)
        self._plan()  # what else waits takes its turn after the connections were looked at

    def _on_thread(self, batch: list[Waiting]) -> None:
        answers = self._answers(batch)
        self._loop.call_soon_threadsafe(self._finish, batch, answers)

    def _finish(self, batch: list[Waiting], answers: Sequence[Any]) -> None:
        self._free += 1
        _deliver(batch, answers)
        self._plan()

    def _answers(self, batch: list[Waiting]) -> Sequence[Any]:
        try:
            return self._work(batch[0][0], [question for _, question, _ in batch])
        except Exception as error:
            return [error] * len(batch)

    def _next(self) -> list[Waiting]:
        """What waits first, and all in line behind it that belong to its group; nobody waits for what was given up."""
        batch: list[Waiting] = []
        while self._waiting and (not batch or self._joins(batch)):
            one = self._waiting.popleft()
            if not one[2].done():
                batch.append(one)
        return batch

    def _joins(self, batch: list[Waiting]) -> bool:
        group = batch[0][0]
        return self._waiting[0][0] is group and len(batch) < self._most(group)


def at_once(n_items: int) -> int:
    """How many users' scores are in memory at the same time."""
    return max(1, min(MOST_AT_ONCE, NUMBERS_AT_ONCE // max(n_items, 1)))


def _deliver(batch: Sequence[Waiting], answers: Sequence[Any]) -> None:
    for (*_, future), answer in zip(batch, answers, strict=True):
        if future.done():  # given up, by a timeout or whoever asked
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
