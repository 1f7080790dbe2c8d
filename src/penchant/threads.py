"""Threads: BLAS held to one, and work on several whose results come in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")

_lock = threading.Lock()
_inside = 0
_limiter: Any = None


@cache
def _blas() -> Any:
    """The BLAS libraries of this process. Looking for them goes through all loaded libraries: 2 to 5 ms, so once."""
    import numpy as np  # its BLAS has to be there to be found
    from threadpoolctl import ThreadpoolController

    del np
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS computes on the thread that calls it.

    With another number of threads it adds in another order, and the last bits would differ. The number belongs to the
    whole process: the first who comes in sets it, and the last who goes out sets it back, from whatever threads.
    """
    global _inside, _limiter  # as the number that they look after
    with _lock:
        if _inside == 0:
            _limiter = _blas().limit(limits=1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limiter.restore_original_limits()
                _limiter = None


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
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in islice(tasks, threads):
                waiting.append(pool.submit(work, task))
            while waiting:
                result = waiting.popleft().result()
                for task in islice(tasks, 1):
                    waiting.append(pool.submit(work, task))
                yield result
        finally:  # also when the caller stops, or presses Ctrl-C
            for one in waiting:
                one.cancel()
