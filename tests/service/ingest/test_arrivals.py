"""Outcomes from the writer's thread: those of one commit wake the event loop once, and each one arrives."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from service.ingest import Arrivals


class _CountedLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often another thread woke it."""

    woken = 0

    def call_soon_threadsafe(self, *arguments: object, **options: object) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(*arguments, **options)  # type: ignore[arg-type]


def test_those_that_are_done_together_wake_the_loop_once_and_all_arrive() -> None:
    done: list[Future[int]] = [Future() for _ in range(50)]

    async def wait_for_all() -> list[int]:
        arrivals = Arrivals(asyncio.get_running_loop())
        waiting = [arrivals.of(one) for one in done]
        for number, one in enumerate(done):  # the loop does not run meanwhile
            one.set_result(number)
        return [await one for one in waiting]

    with asyncio.Runner(loop_factory=_CountedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, _CountedLoop)
        assert runner.run(wait_for_all()) == list(range(50)) and loop.woken == 1


def test_nobody_is_forgotten_however_the_threads_meet() -> None:
    async def ask_from_threads() -> int:
        arrivals = Arrivals(asyncio.get_running_loop())
        done: list[Future[None]] = [Future() for _ in range(2_000)]
        threads = [
            threading.Thread(target=lambda part=done[start::2]: [one.set_result(None) for one in part])  # type: ignore[misc]
            for start in (0, 1)
        ]
        waiting = [arrivals.of(one) for one in done[:1_000]]
        for thread in threads:
            thread.start()
        waiting += [arrivals.of(one) for one in done[1_000:]]  # some of these are done already
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
        for thread in threads:
            thread.join()
        return len(waiting)

    assert asyncio.run(ask_from_threads()) == 2_000


def test_an_error_arrives_as_one_and_who_left_is_no_error() -> None:
    async def wait() -> None:
        arrivals, failing, late = Arrivals(asyncio.get_running_loop()), Future[None](), Future[None]()
        gone = arrivals.of(late)
        gone.cancel()
        late.set_result(None)
        failing.set_exception(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await arrivals.of(failing)
        assert gone.cancelled()

    asyncio.run(wait())
