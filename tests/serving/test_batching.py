"""Batches: what goes together, what is answered where, and what was given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from penchant.serving.batching import NUMBERS_AT_ONCE, Batcher, at_once


class Worked:
    """Remembers batches and the threads that they were answered on."""

    def __init__(self, held: threading.Event | None = None) -> None:
        self.batches: list[tuple[Any, list[Any]]] = []
        self.threads: list[str] = []
        self.held = held

    def __call__(self, group: Any, questions: Sequence[Any]) -> list[Any]:
        self.batches.append((group, list(questions)))
        self.threads.append(threading.current_thread().name)
        if self.held is not None:
            self.held.wait(10)
        if "all fail" in questions:
            raise RuntimeError("all failed")
        return [ValueError(one) if one == "bad" else (group, one) for one in questions]


async def ask(batcher: Batcher, *questions: tuple[Any, Any]) -> list[Any]:
    return await asyncio.gather(*(batcher.ask(*one) for one in questions), return_exceptions=True)


@pytest.mark.parametrize("is_light", [True, False])
def test_what_comes_together_goes_together_by_group(is_light: bool) -> None:
    worked = Worked()

    async def main() -> list[Any]:
        batcher = Batcher(worked, lambda _: 3, 1, lambda *_: is_light)
        found = await ask(batcher, *((group, n) for n, group in enumerate("aaaabb")))
        batcher.close()
        return found

    assert asyncio.run(main()) == list(zip("aaaabb", range(6), strict=True))
    assert worked.batches == [("a", [0, 1, 2]), ("a", [3]), ("b", [4, 5])]
    own = threading.current_thread().name
    assert {thread == own for thread in worked.threads} == {is_light}


def test_an_error_is_of_its_question_or_of_the_batch() -> None:
    async def main() -> list[Any]:
        batcher = Batcher(Worked(), lambda _: 2, 2)
        found = await ask(batcher, ("a", "good"), ("a", "bad"), ("a", "all fail"), ("a", "too"))
        batcher.close()
        return found

    good, bad, *both = asyncio.run(main())
    assert good == ("a", "good")
    assert isinstance(bad, ValueError)
    assert [str(one) for one in both] == ["all failed"] * 2


def test_what_waits_while_a_thread_works_is_one_batch_and_what_was_given_up_is_not_in_it() -> None:
    held = threading.Event()
    worked = Worked(held)

    async def main() -> None:
        batcher = Batcher(worked, lambda _: 9, 1)
        first = batcher.ask("a", 0)
        while not worked.batches:
            await asyncio.sleep(0.001)
        others = [batcher.ask("a", n) for n in (1, 2, 3)]
        others[1].cancel()
        await asyncio.sleep(0)
        held.set()
        assert await first == ("a", 0)
        assert await asyncio.gather(others[0], others[2]) == [("a", 1), ("a", 3)]
        batcher.close()

    asyncio.run(main())
    assert worked.batches == [("a", [0]), ("a", [1, 3])]


def test_closing_answers_what_waits() -> None:
    async def main() -> Any:
        batcher = Batcher(Worked(), lambda _: 9, 1)
        waiting = batcher.ask("a", 0)
        batcher.close()
        return await waiting

    assert asyncio.run(main()) == ("a", 0)


def test_scores_in_memory_are_bounded() -> None:
    assert at_once(10) == 32
    assert at_once(500_000) * 500_000 <= NUMBERS_AT_ONCE
    assert at_once(10**9) == 1


def test_what_is_light_goes_on_while_all_threads_hang() -> None:
    held = threading.Event()

    def work(group: Any, questions: Sequence[Any]) -> list[Any]:
        if "heavy" in questions:
            held.wait(10)
        return list(questions)

    async def main() -> None:
        batcher = Batcher(work, lambda _: 9, 1, lambda _, questions: "heavy" not in questions)
        stuck = [batcher.ask("a", "heavy")]
        await asyncio.sleep(0.01)
        stuck += [batcher.ask("a", "heavy"), batcher.ask("b", "heavy")]
        for n in range(3):
            found = await asyncio.wait_for(asyncio.gather(batcher.ask("a", n), batcher.ask("b", n)), 5)
            assert found == [n, n]
        assert not any(one.done() for one in stuck)
        stuck[1].cancel()
        held.set()
        assert await stuck[0] == await stuck[2] == "heavy"
        batcher.close()

    asyncio.run(main())


@pytest.mark.parametrize("is_light", [True, False])
def test_a_panic_is_an_answer_too(is_light: bool) -> None:
    class Panic(BaseException):
        pass

    def work(group: Any, questions: Sequence[Any]) -> list[Any]:
        if "panic" in questions:
            raise Panic("none")
        return list(questions)

    async def main() -> list[Any]:
        batcher = Batcher(work, lambda _: 1, 1, lambda *_: is_light)
        found = await asyncio.wait_for(ask(batcher, ("a", "panic"), ("a", "good")), 5)
        batcher.close()
        return found

    failed, good = asyncio.run(main())
    assert isinstance(failed, RuntimeError)
    assert str(failed) == "Panic: none"
    assert good == "good"
