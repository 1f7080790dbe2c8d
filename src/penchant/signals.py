"""Signals: SIGTERM ends a command as Ctrl-C does, and neither comes in the middle of printing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

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


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, both signals wait until the end.

    A KeyboardInterrupt inside rich leaves its console collecting for ever, and nothing more is printed. (Masks would
    not do: a signal goes to any thread that lets it through, and Python then handles it in the main one.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {number: signal.signal(number, lambda number, _: waiting.append(number)) for number in BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for caught in waiting[:1]:
            signal.raise_signal(caught)
