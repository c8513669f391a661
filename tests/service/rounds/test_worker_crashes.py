"""A worker that crashes again and again does not look like one that works: healthz and the overview say so."""

import os
import socket
import threading
from datetime import timedelta

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from service.obstacles import CRASH_WINDOW, MAX_CRASHES, find_obstacles
from service.rounds.worker import run_worker
from service.settings import Settings
from service.store import health
from service.store.crashes import KILLED, note_crash
from service.store.session import Store
from service.store.tables import WorkerCrash, WorkerSeen, now
from tests.factories import whole_healthz

NOBODY = 4_194_305  # above the largest process id that Linux gives


def crash_once(settings: Settings) -> None:
    def broken() -> bool:
        raise RecursionError("whatever the text was")

    with pytest.raises(RecursionError):
        run_worker(settings, once=True, stop=threading.Event(), chores=[broken])


def crashes(store: Store) -> list[str]:
    with store.read() as session:
        return list(session.exec(select(WorkerCrash.how)).all())


def names(settings: Settings, store: Store) -> set[str]:
    return {one.name for one in find_obstacles(settings, store)}


def test_a_crash_loop_shows_in_healthz_and_on_the_overview(
    settings: Settings, store: Store, client: TestClient
) -> None:
    for _ in range(MAX_CRASHES):
        assert "worker_crashes" not in whole_healthz(client).text
        crash_once(settings)
        health.beat(store, "host:1")  # the next one has been started already
    told = whole_healthz(client).json()
    assert told["status"] == "degraded"
    [found] = [one for one in told["obstacles"] if one["name"] == "worker_crashes"]
    assert "crashed 3 times within 10 minutes" in found["sentence"] and "RecursionError" in found["sentence"]
    assert "whatever the text was" not in str(told)
    assert "orkers crashed 3 times" in client.get("/").text


def test_a_worker_that_was_killed_is_noted_by_the_next_one(settings: Settings, store: Store) -> None:
    health.beat(store, f"{socket.gethostname()}:{NOBODY}")
    health.beat(store, f"{socket.gethostname()}:{os.getppid()}")  # this one lives
    health.beat(store, f"elsewhere:{NOBODY}")  # nobody here can tell
    for _ in range(2):
        run_worker(settings, once=True, stop=threading.Event(), chores=[])
    assert crashes(store) == [KILLED]


def test_a_worker_that_ends_as_it_should_is_no_crash_and_was_seen(settings: Settings, store: Store) -> None:
    owner = f"{socket.gethostname()}:{os.getpid()}"
    for _ in range(2):
        run_worker(settings, once=True, stop=threading.Event(), chores=[lambda: health.beat(store, owner) is not None])
    assert crashes(store) == []
    with store.read() as session:
        assert session.exec(select(WorkerSeen.ended)).one() is True


def test_crashes_that_are_long_over_stop_nobody(settings: Settings, store: Store) -> None:
    with store.begin() as session:
        for _ in range(MAX_CRASHES):
            note_crash(session, "host:1", "OSError", now() - CRASH_WINDOW - timedelta(seconds=1))
    assert "worker_crashes" not in names(settings, store)
