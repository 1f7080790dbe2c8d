"""Scores for many requests at a time: whatever waits when a thread is free is scored in one product of matrices.

On 100,000 items a product for 16 users takes little longer than for one, since the items' factors are read from
memory once. A single request waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

NUMBERS_AT_ONCE = 2_000_000  # 8 MB of scores
MOST_AT_ONCE = 32

Work = Callable[[Any, Sequence[Any]], Sequence[Any]]
Waiting = tuple[Any, Any, asyncio.Future[Any]]


class Batcher:
    """Threads that answer questions in batches; made and asked on one event loop.

    Args:
        work: a group and questions of it -> an answer, or an exception, for each.
        most: of a group, how many may go together.
        threads: how many.
    """

    def __init__(self, work: Work, most: Callable[[Any], int], threads: int) -> None:
        self._work = work
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiting] = deque()
        self._awake = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"scoring-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def ask(self, group: Any, question: Any) -> asyncio.Future[Any]:
        """The answer to come; questions of one group share a batch."""
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._awake:
            self._waiting.append((group, question, future))
            self._awake.notify()
        return future

    def close(self) -> None:
        """Answer what waits, and stop."""
        with self._awake:
            self._closed = True
            self._awake.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._next():
            try:
                answers: Sequence[Any] = self._work(batch[0][0], [question for _, question, _ in batch])
            except Exception as error:
                answers = [error] * len(batch)
            self._loop.call_soon_threadsafe(_deliver, [future for *_, future in batch], answers)

    def _next(self) -> list[Waiting]:
        """What waits first, and all in line behind it that belong to its group."""
        with self._awake:
            while not self._waiting and not self._closed:
                self._awake.wait()
            batch: list[Waiting] = []
            while self._waiting and (not batch or self._joins(batch)):
                batch.append(self._waiting.popleft())
            return batch

    def _joins(self, batch: list[Waiting]) -> bool:
        group = batch[0][0]
        return self._waiting[0][0] is group and len(batch) < self._most(group)


def at_once(n_items: int) -> int:
    """How many users' scores are in memory at the same time."""
    return max(1, min(MOST_AT_ONCE, NUMBERS_AT_ONCE // max(n_items, 1)))


def _deliver(futures: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.cancelled():  # given up, by a timeout or whoever asked
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
