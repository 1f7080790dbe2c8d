"""Signals: SIGTERM ends a command as Ctrl-C does, and neither comes while printing or locking."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

BOTH = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminable() -> Iterator[list[int]]:
    """Inside, SIGTERM is taken as Ctrl-C is: a fit keeps its best epoch, a half-written file is removed.

    Yields the list of signals received.
    """
    received: list[int] = []

    def interrupt(number: int, frame: object) -> NoReturn:
        del frame
        received.append(number)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread, which alone receives signals
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _handler(number: int) -> Any:
    """Who is told of a signal, in the end."""
    found: Any = signal.getsignal(number)
    while isinstance(found, _Holding) and not found.is_holding:
        found = found.before[number]
    return found


class _Holding:
    """A handler that notes a signal and lets it wait. Once no longer holding, it hands over to the handler before it.

    Handlers are changed one by one, and a signal may come in between: what is left behind then still hands over.
    """

    def __init__(self) -> None:
        self.before: dict[int, Any] = {number: _handler(number) for number in BOTH}
        self.waiting: list[int] = []
        self.is_holding = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        handler = self.before[number]
        if self.is_holding:
            self.waiting.append(number)
        elif callable(handler):
            handler(number, frame)
        elif handler != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def let_go(self) -> None:
        self.is_holding = False
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for caught in self.waiting[:1]:
            signal.raise_signal(caught)


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, both signals wait until the end.

    A KeyboardInterrupt inside rich leaves its console collecting for ever, and nothing more is printed; between taking
    a lock and entering its block, as it can come wherever Python code locks (queues, semaphores, futures), it leaves
    the lock taken, and the threads that need it wait for ever. (Masks would not do: a signal goes to any thread that
    lets it through, and Python then handles it in the main one.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    holding = _Holding()
    try:
        for number in BOTH:
            signal.signal(number, holding)
        yield
    finally:
        holding.let_go()
