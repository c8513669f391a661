"""Outcomes on their way from the writer's thread into an event loop: all of one commit wake the loop once.

    outcomes = await arrivals.of(writer.submit([conversation]))

asyncio.wrap_future does the same for one future alone, and the writer's thread would stop at each for the loop to take over.
"""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class Arrivals:
    """The way into one event loop, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._landing = threading.Lock()
        self._landed: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()

    def of(self, done: "Future[Result]") -> "asyncio.Future[Result]":
        """What resolves in the loop as `done` does in its thread. To cancel it cancels nothing there."""
        waiting: asyncio.Future[Result] = self._loop.create_future()
        done.add_done_callback(lambda _: self._land(waiting, done))
        return waiting

    def _land(self, waiting: asyncio.Future[Any], done: Future[Any]) -> None:
        with self._landing:
            is_first = not self._landed
            self._landed.append((waiting, done))
        if is_first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._landed:
            waiting, done = self._landed[0]
            error = done.exception()
            if not waiting.done():
                waiting.set_exception(error) if error is not None else waiting.set_result(done.result())
            self._landed.popleft()  # only now: whoever lands meanwhile is not the first, and this loop sees it
