"""Rounds and a disk that runs full: they wait, say so, and go on by themselves."""

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from pipelines.errors import NoSpace
from service.room import RoundRoom, free_bytes
from service.rounds import requests
from service.rounds.execution import execute
from service.rounds.quiet import Surroundings
from service.rounds.worker import RoundProcess, _work
from service.settings import Settings
from service.store.session import Store
from service.store.tables import Round
from service.vault import Vault
from tests.disks import small_disk
from tests.service.rounds.test_worker import SKIPPED, ask, claim

Change = Callable[..., Settings]


def the_round(store: Store) -> Round:
    [row] = requests.list_rounds(store)
    return row


def work(settings: Settings, store: Store) -> None:
    """What a worker does for rounds, until none can run."""
    _work(settings, store, "host:1:a", (), once=True, stop=threading.Event(), around=Surroundings())


def test_without_room_a_round_waits_says_so_and_runs_once_there_is_some(
    store: Store, vault: Vault, with_settings: Change
) -> None:
    ask(store, SKIPPED)
    work(with_settings(min_free_bytes=1 << 60), store)
    row = the_round(store)
    assert row.state == "requested" and row.fence == 0 and row.message.startswith("it waits for room: less than")
    work(with_settings(min_free_bytes=1), store)
    assert the_round(store).state == "skipped" and "waits" not in the_round(store).message


def test_a_round_that_runs_is_put_back_and_goes_on_with_the_next_claim(settings: Settings, store: Store) -> None:
    ask(store)
    running = RoundProcess(settings, claim(store))
    running.put_back("it waits for room")
    row = the_round(store)
    assert (row.state, row.message, row.owner, row.lease_until) == ("requested", "it waits for room", None, None)
    claim(store)
    assert (the_round(store).state, the_round(store).message, the_round(store).fence) == ("running", "", 2)


def test_a_round_stopped_on_a_disk_too_full_to_note_it_is_no_crash(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(store)
    running = RoundProcess(settings, held := claim(store))

    def fail(*_: object) -> None:
        raise OperationalError("", None, Exception("database or disk is full"))

    monkeypatch.setattr(held, "put_back", fail)
    with pytest.raises(OperationalError):
        running.put_back("it waits for room")
    assert running.ended()
    row = the_round(store)
    assert (row.lease_until, row.owner, row.counts.get("crashes")) == (None, None, None)


def test_a_round_that_a_stage_found_no_room_for_is_tried_later_and_cancelled_at_once(store: Store) -> None:
    round_id = ask(store)
    claim(store).put_back("it waits for room", 600)
    assert requests.claim_round(store, "host:1:a", 60) is None
    assert requests.cancel_round(store, round_id, "test").state == "cancelled"


@pytest.mark.parametrize("error", [NoSpace("no room"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_ends_no_round(settings: Settings, store: Store, vault: Vault, error: Exception) -> None:
    ask(store)

    def run(*_: object) -> None:
        raise error

    with pytest.raises(NoSpace):
        execute(settings, store, vault, claim(store), run)  # type: ignore[arg-type]
    assert the_round(store).state == "running"


def test_a_round_that_stopped_starts_again_only_with_more_than_it_stopped_at(with_settings: Change) -> None:
    room = RoundRoom(with_settings(min_free_bytes=100), free=lambda _: free.pop(0))
    free = [120, 100, 99, 100, 149, 150, 100, 99]
    assert [room.allows() for _ in range(8)] == [True, True, False, False, False, True, True, False]


def test_the_smaller_of_the_disks_of_home_and_database_counts(sqlite_settings: Settings, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        assert free_bytes(replace(sqlite_settings, database_url=f"sqlite:///{disk}/x.db")) <= 1 << 20
        assert free_bytes(replace(sqlite_settings, home=disk)) <= 1 << 20
        assert free_bytes(replace(sqlite_settings, home=disk, database_url="postgresql://h/x")) <= 1 << 20
