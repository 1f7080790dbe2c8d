"""Threads that share out numbered pieces of work. Kernels and BLAS release the lock that Python code holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Workers:
    """A context, and its threads end with it. The caller's thread is one of them."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._others = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def share(self, pieces: Numbers, work: Callable[[Numbers], None]) -> None:
        """Deal the pieces out to the threads, and wait for all."""
        threads = min(self.threads, len(pieces))
        others = []
        if self._others is not None:
            others = [self._others.submit(work, self._dealt(pieces, threads, one)) for one in range(1, threads)]
        work(self._dealt(pieces, max(threads, 1), 0))
        for other in others:
            other.result()

    @staticmethod
    def _dealt(pieces: Numbers, threads: int, one: int) -> Numbers:
        return np.ascontiguousarray(pieces[one::threads])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._others is not None:
            self._others.shutdown()
