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
PATIENCE = 0.02  # seconds that what is light waits for a thread, to be scored with what else comes

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
        self._heavy: deque[Waiting] = deque()  # what came first, and waits for a thread
        self._late: asyncio.TimerHandle | None = None
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
        if self._free:
            if (self._heavy or self._waiting) and not self._is_due:
                self._is_due = True
                self._loop.call_soon(self._start)
        elif self._waiting and self._late is None:
            self._late = self._loop.call_later(PATIENCE, self._answer_light)

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

    def _answer_light(self) -> None:
        """While all threads are at work for long: what is light does not wait for what is not."""
        self._late = None
        if not self._free and (batch := self._take(self._waiting)):
            light = [one for one in batch if self._is_light(one[0], [one[1]])]
            if light and self._is_light(light[0][0], [question for _, question, _ in light]):
                _deliver(light, self._answers(light))
            self._heavy.extend(one for one in batch if not one[2].done())
        self._plan()

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
        except BaseException as error:  # a panic of native code is no Exception; whoever asked waits for an answer
            return [error] * len(batch)

    def _next(self) -> list[Waiting]:
        """What waits first, and what in line behind it may go with it."""
        batch = self._take(self._heavy)
        return self._take(self._waiting, batch) if not self._heavy else batch

    def _take(self, queue: deque[Waiting], batch: list[Waiting] | None = None) -> list[Waiting]:
        """From a queue all in line that belong to the first's group; nobody waits for what was given up."""
        batch = [] if batch is None else batch
        while queue and (not batch or (queue[0][0] is batch[0][0] and len(batch) < self._most(batch[0][0]))):
            one = queue.popleft()
            if not one[2].done():
                batch.append(one)
        return batch


def at_once(n_items: int) -> int:
    """How many users' scores are in memory at the same time."""
    return max(1, min(MOST_AT_ONCE, NUMBERS_AT_ONCE // max(n_items, 1)))


def _deliver(batch: Sequence[Waiting], answers: Sequence[Any]) -> None:
    for (*_, future), answer in zip(batch, answers, strict=True):
        if future.done():  # given up, by a timeout or whoever asked
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer if isinstance(answer, Exception) else _failed(answer))
        else:
            future.set_result(answer)


def _failed(error: BaseException) -> Exception:
    """As an error that ends a request, and nothing else."""
    found = RuntimeError(f"{type(error).__name__}: {error}")
    found.__cause__ = error
    return found
