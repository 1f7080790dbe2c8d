"""Threads: BLAS held to one; work on several, in pieces that are waited for or with results that come in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from penchant.signals import held_back

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

T = TypeVar("T")
U = TypeVar("U")

_lock = threading.Lock()
_inside = 0
_before: list[int] = []


@cache
def _blas() -> tuple[Any, ...]:
    """The BLAS libraries of this process. Looking for them goes through all loaded libraries: 1 to 3 ms, so once."""
    import numpy as np  # its BLAS has to be there to be found
    from threadpoolctl import ThreadpoolController

    del np
    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set_threads(numbers: Iterable[int]) -> None:
    for library, number in zip(_blas(), numbers, strict=True):
        # In later versions of threadpoolctl, set_num_threads() does nothing in a thread other than the first to call
        # it, since threads would fight over the number. Here they do not.
        setter = getattr(library, "_real_set_num_threads", library.set_num_threads)
        setter(number)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS computes on the thread that calls it.

    With another number of threads it adds in another order, and the last bits would differ. The number belongs to the
    whole process: who comes in sets it, and the last who goes out sets it back, from whatever threads.
    """
    global _inside, _before  # as the number that they look after
    with _lock:
        if _inside == 0:
            _before = [library.get_num_threads() for library in _blas()]
        _inside += 1
        _set_threads([1] * len(_before))  # each time: some libraries have a number for each thread
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _set_threads(_before)


def in_order(work: Callable[[T], U], tasks: Iterable[T], threads: int) -> Iterator[U]:
    """The result of each task, in the order of tasks, worked on by some threads; `work` sees to its own locks.

    At most threads + 1 results are in memory: those in work, and the one that the caller has. The first task is done
    before others begin, so that what is computed once and kept is computed once. On one thread it is map().
    """
    rest = iter(tasks)
    for first in islice(rest, 1) if threads > 1 else rest:
        yield work(first)
    if threads > 1:
        yield from _by_threads(work, rest, threads)


def _by_threads(work: Callable[[T], U], tasks: Iterator[T], threads: int) -> Iterator[U]:
    waiting: deque[Future[U]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        with held_back():
            for task in islice(tasks, threads):
                waiting.append(pool.submit(work, task))
        while waiting:
            with held_back():
                result = waiting.popleft().result()
                for task in islice(tasks, 1):
                    waiting.append(pool.submit(work, task))
            yield result
    finally:  # also when the caller stops, or presses Ctrl-C
        with held_back():
            pool.shutdown(cancel_futures=True)


class Workers:
    """Threads that share out numbered pieces of work, again and again. A context, and its threads end with it.

    The caller's thread is one of them. Kernels and BLAS release the lock that Python code holds.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._others = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def share(self, pieces: Numbers, work: Callable[[Numbers], None]) -> None:
        """Deal the pieces out to the threads, and wait for all; Ctrl-C waits with it."""
        if self._others is None:
            work(pieces.copy())
            return
        threads = min(self.threads, len(pieces))
        with held_back():
            others = [self._others.submit(work, self._dealt(pieces, threads, one)) for one in range(1, threads)]
            try:
                work(self._dealt(pieces, max(threads, 1), 0))
            finally:
                wait(others)
            for other in others:
                other.result()

    @staticmethod
    def _dealt(pieces: Numbers, threads: int, one: int) -> Numbers:
        return pieces[one::threads].copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._others is not None:
            with held_back():
                self._others.shutdown()
