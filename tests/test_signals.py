"""Signals wait while something is printed, and SIGTERM is taken as Ctrl-C."""

from __future__ import annotations

import signal
import threading

import pytest

from penchant.signals import BOTH, held_back, terminable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_end(number: int) -> None:
    reached = []

    def print_something() -> None:
        with held_back():
            signal.raise_signal(number)
            reached.append("the end")

    with terminable() as received, pytest.raises(KeyboardInterrupt):
        print_something()
    assert reached == ["the end"]
    assert received == ([number] if number == signal.SIGTERM else [])


def test_afterwards_all_is_as_before() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with terminable(), held_back():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def test_other_threads_are_left_alone() -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with terminable(), held_back():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
