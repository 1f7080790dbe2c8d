"""Group commit: what many threads write at once shares one commit, and with it one wait for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Waiting(Generic[Asked, Answer]):
    """What one thread wants written, and what became of it."""

    def __init__(self, asked: Asked, size: int) -> None:
        self.asked = asked
        self.size = size
        self.answer: Answer | BaseException | None = None


class CommitGroups(Generic[Asked, Answer]):
    """Threads that write come here; whoever finds nobody writing writes for all that wait.

    While one group waits for the disk the next one gathers, so that a lone writer never waits for others,
    and many share: 32 threads on one SQLite file were measured (see docs/feedback.md).

    Args:
        write: commits some requests together, and gives an answer or an error for each. What it raises is the
            error of all of them.
        most: the size of a group, in what `submit` is told; one request may be larger than that alone.
    """

    def __init__(self, write: Callable[[list[Asked]], Sequence[Answer | Exception]], most: int) -> None:
        self._write = write
        self._most = most
        self._waiting: list[_Waiting[Asked, Answer]] = []
        self._guard = threading.Lock()
        self._turn = threading.Lock()

    def submit(self, asked: Asked, size: int) -> Answer:
        """Write one request; its answer, after its commit.

        Raises:
            whatever `write` gave or raised for it.
        """
        mine = _Waiting[Asked, Answer](asked, size)
        with self._guard:
            self._waiting.append(mine)
        while mine.answer is None:
            with self._turn:
                if mine.answer is None:  # else whoever had the turn before wrote it
                    self._write_group(self._next_group())
        if isinstance(mine.answer, BaseException):
            raise mine.answer
        return mine.answer

    def _next_group(self) -> list[_Waiting[Asked, Answer]]:
        """The first that wait, as many as fit."""
        with self._guard:
            taken, size = 0, 0
            for one in self._waiting:
                size += one.size
                if taken and size > self._most:
                    break
                taken += 1
            group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    def _write_group(self, group: list[_Waiting[Asked, Answer]]) -> None:
        try:
            answers = self._write([one.asked for one in group])
        except BaseException as error:  # Ctrl-C in the thread that writes: the others must not wait for ever
            for one in group:
                one.answer = error
            return
        for one, answer in zip(group, answers, strict=True):
            one.answer = answer
