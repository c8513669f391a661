"""Whether this process can store what is sent to it, and what stops the wheel: found out without ever waiting for long.

A database that hangs, a full disk or a flood of questions must not hang whoever asks, nor make the load worse.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import Busy, PerennialError
from service.api_keys import KeyRing
from service.ingest import Writer
from service.obstacles import Obstacle, find_obstacles
from service.settings import Settings
from service.store import models, rounds
from service.store.clock import database_time
from service.store.health import backlog, last_beat
from service.store.session import Store
from service.store.trainable import TrainableWatch
from service.web.schemas import CurationHealth

PATIENCE_SECONDS = 1.5
PROBE_EVERY_SECONDS = 1.0
_ALIVE_SECONDS = 1.0

Found = TypeVar("Found")


class Look(Generic[Found]):
    """What a function finds, called in a thread of its own: one call at a time, at most one every so many seconds.

    Whoever asks meanwhile gets the same answer, and nobody waits longer than `patience_seconds`, also when it hangs.
    """

    def __init__(
        self, call: Callable[[], Found], every_seconds: float = 0.0, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._call, self._every, self._patience = call, every_seconds, patience_seconds
        self._latest: Future[Found | None] | None = None
        self._begun = 0.0

    async def __call__(self) -> Found | None:
        """What it found; None if it failed or takes too long."""
        clock = time.monotonic()
        if self._latest is None or (self._latest.done() and clock - self._begun >= self._every):
            self._latest, self._begun = Future(), clock
            threading.Thread(target=self._run, args=(self._latest,), name="look", daemon=True).start()
        waiting = asyncio.wrap_future(self._latest)
        done, _ = await asyncio.wait([waiting], timeout=self._patience)
        return waiting.result() if done else None

    def _run(self, future: "Future[Found | None]") -> None:
        try:
            found = self._call()
        except (SQLAlchemyError, PerennialError, OSError):
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(found)


class Progress(NamedTuple):
    """How far the work behind ingest is."""

    curation: CurationHealth
    worker_seen_seconds_ago: float | None
    obstacles: list[Obstacle]


class Stand(NamedTuple):
    """Who is champion, and how many rounds are in which state."""

    champion: str | None
    rounds: dict[str, int]


class Vitals:
    """The looks of one web process."""

    def __init__(
        self, settings: Settings, store: Store, writer: Writer, trainable: TrainableWatch, keys: KeyRing
    ) -> None:
        self.writes = Look(lambda: _write(store, writer), every_seconds=PROBE_EVERY_SECONDS)
        self.progress = Look(lambda: _look(settings, store, trainable))
        self.stand = Look(lambda: _stand(store))
        self.keys = Look(keys.refresh)


def _write(store: Store, writer: Writer) -> bool:
    """Whether a row was just changed and committed, by the thread that stores conversations, and its keys are there."""
    if store.keys.name() is None:  # without its people's keys it stores nothing new
        return False
    try:
        probe = writer.probe()
        while writer.is_alive:
            try:
                probe.result(_ALIVE_SECONDS)
                return True
            except TimeoutError:  # one probe is enough for a database that hangs
                continue
    except Busy:
        pass
    return False


def _stand(store: Store) -> Stand:
    with store.read() as session:
        return Stand(models.champion_id(session), rounds.count_by_state(session))


def _look(settings: Settings, store: Store, trainable: TrainableWatch) -> Progress:
    with store.read() as session:
        waiting, seen, at = backlog(session), last_beat(session), database_time(session)
    oldest = None if waiting.oldest is None else (at - waiting.oldest).total_seconds()
    return Progress(
        curation=CurationHealth(waiting=waiting.waiting, oldest_seconds=oldest),
        worker_seen_seconds_ago=None if seen is None else (at - seen).total_seconds(),
        obstacles=find_obstacles(settings, store, counts=trainable),
    )
