"""BLAS on one thread, whoever asks for it, and results in order with few in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant import threads
from penchant.threads import in_order, one_blas_thread


def blas_threads() -> list[int]:
    return [library.get_num_threads() for library in threads._blas()]


def test_blas_is_held_to_one_thread_and_let_go_again() -> None:
    before = blas_threads()
    with one_blas_thread():
        assert set(blas_threads()) <= {1}
        with one_blas_thread():
            assert set(blas_threads()) <= {1}
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        _ = 1 / 0
    assert blas_threads() == before


def test_the_last_of_several_threads_lets_blas_go() -> None:
    before = blas_threads()
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with one_blas_thread():
            first_in.set()
            assert second_in.wait(10)
        first_out.set()

    def second() -> list[int]:
        assert first_in.wait(10)
        with one_blas_thread():
            second_in.set()
            assert first_out.wait(10)
            return blas_threads()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        one.result()
        assert set(other.result()) <= {1}
    assert blas_threads() == before


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(), max_size=40), st.integers(1, 16))
def test_results_are_those_of_map(tasks: list[int], n_threads: int) -> None:
    assert list(in_order(lambda task: task * 2, tasks, n_threads)) == [task * 2 for task in tasks]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_few_are_in_memory(n_threads: int) -> None:
    lock = threading.Lock()
    started, most, working = 0, 0, 0

    def work(task: int) -> int:
        nonlocal started, working, most
        with lock:
            started += 1
            working += 1
            most = max(most, working)
        time.sleep(0.001)
        with lock:
            working -= 1
        return task

    for taken, result in enumerate(in_order(work, range(40), n_threads)):
        assert result == taken
        with lock:
            assert started - taken <= n_threads + 1
    assert most <= n_threads
    assert started == 40


def test_the_first_is_done_alone() -> None:
    done: list[int] = []

    def work(task: int) -> list[int]:
        seen = list(done)
        if task == 0:
            time.sleep(0.02)
        done.append(task)
        return seen

    seen = list(in_order(work, range(6), 4))
    assert seen[0] == []
    assert all(0 in one for one in seen[1:])


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_error_comes_in_its_place_and_ends_it(n_threads: int) -> None:
    started: list[int] = []

    def work(task: int) -> int:
        started.append(task)
        if task == 4:
            raise ValueError("four")
        return task

    found = in_order(work, range(1000), n_threads)
    assert list(islice(found, 4)) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="four"):
        next(found)
    assert len(started) < 20


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    found = in_order(lambda task: task, range(1000), 4)
    assert next(found) == 0
    assert next(found) == 1
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


INTERRUPTED = """
import random, signal
import numpy as np
from penchant import signals
from penchant.threads import Workers, in_order

def interrupt(number, frame):
    raise KeyboardInterrupt

signals.BOTH = (signal.SIGALRM,)  # the only signal with a timer so fine
signal.signal(signal.SIGALRM, interrupt)
draw = random.Random(7)

def share():
    with Workers(2) as workers:
        while True:
            workers.share(np.arange(4), lambda pieces: None)

def in_turn():
    for _ in in_order(lambda task: task, iter(int, 1), 2):
        pass

for number in range(3000):
    try:
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(2e-5, 8e-4))
        (share if number % 2 else in_turn)()
    except KeyboardInterrupt:
        pass
print("through")
"""


@pytest.mark.skipif(os.name != "posix", reason="timers of POSIX")
def test_an_interruption_anywhere_leaves_no_lock_taken() -> None:
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert (run.stdout, run.stderr) == ("through\n", "")
