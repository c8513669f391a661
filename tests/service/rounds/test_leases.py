"""Leases under clocks that are wrong: of a worker, of the machine, of the database."""

import time
from collections.abc import Callable

import pytest
from sqlmodel import select

from service.curation.claim import claim as claim_conversations
from service.rounds import requests
from service.rounds.leases import CONFIRM_SECONDS, LeaseWatch
from service.store.clock import database_seconds
from service.store.session import Store
from service.store.tables import Conversation, Round
from service.vault import Vault
from tests.factories import conversation, put
from tests.service.rounds.test_worker import ask, claim

LEASE = 60.0


@pytest.fixture(params=[3600.0, -3600.0], ids=["ahead", "behind"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets this process's clock an hour wrong, as another machine's may be."""
    right = time.time
    return lambda: monkeypatch.setattr(time, "time", lambda: right() + request.param)


def test_a_worker_with_a_wrong_clock_takes_no_round_over(store: Store, wrong_clock: Callable[[], None]) -> None:
    ask(store)
    held = claim(store, LEASE)
    wrong_clock()
    assert requests.claim_round(store, "host:2:b", LEASE) is None
    assert requests.claim_round(store, "host:2:b", LEASE, LeaseWatch()) is None
    held.renew(LEASE)
    with store.read() as session:
        lease = session.exec(select(Round.lease_until)).one()
        assert lease == pytest.approx(database_seconds(session) + LEASE, abs=30)


def test_a_worker_with_a_wrong_clock_takes_no_conversation_over(
    store: Store, vault: Vault, wrong_clock: Callable[[], None]
) -> None:
    put(store, vault, conversation())
    assert len(claim_conversations(store, vault, 5).jobs) == 1
    wrong_clock()
    assert not claim_conversations(store, vault, 5).jobs
    with store.read() as session:
        lease = session.exec(select(Conversation.curation_lease_until)).one()
        assert lease == pytest.approx(database_seconds(session) + LEASE, abs=30)


class Clocks:
    """A monotonic clock, and the time of day that may jump."""

    def __init__(self) -> None:
        self.monotonic = 0.0
        self.jump = 0.0

    @property
    def now(self) -> float:
        return 1_000_000.0 + self.monotonic + self.jump


@pytest.mark.parametrize("jump", [40 * 86_400.0, -40 * 86_400.0], ids=["forward", "back"])
def test_a_jump_of_the_clock_takes_nothing_from_a_worker_that_renews(jump: float) -> None:
    clocks, row = Clocks(), Round(id=1, recipe_name="r", recipe="", recipe_digest="", requested_by="t", fence=1)
    watch = LeaseWatch(monotonic=lambda: clocks.monotonic)
    for second in range(600):
        clocks.monotonic = float(second)
        clocks.jump = jump if second > 100 else 0.0
        if second % 2 == 0 and second != 102:  # one heartbeat is late
            row.lease_until = clocks.now + LEASE
        assert watch.abandoned([row], clocks.now, LEASE) == []


@pytest.mark.parametrize(
    ("lease_until", "at_once", "later"),
    [
        (None, True, 0.0),  # given back
        (999_000.0, False, CONFIRM_SECONDS),  # it ran out
        (1_000_000.0 + 40 * 86_400, False, LEASE + CONFIRM_SECONDS + 1),  # the clock was set back since
    ],
)
def test_a_round_whose_worker_is_gone_is_taken_over_whatever_the_clock_says(
    lease_until: float | None, at_once: bool, later: float
) -> None:
    clocks = Clocks()
    row = Round(id=1, recipe_name="r", recipe="", recipe_digest="", requested_by="t", fence=1, lease_until=lease_until)
    watch = LeaseWatch(monotonic=lambda: clocks.monotonic)
    assert bool(watch.abandoned([row], clocks.now, LEASE)) == at_once
    clocks.monotonic = later
    assert watch.abandoned([row], clocks.now, LEASE) == [row]


def test_a_lease_that_ran_out_is_taken_once_it_was_seen_to_stand_still(store: Store) -> None:
    ask(store)
    claim(store, lease_seconds=-1)
    clocks = Clocks()
    watch = LeaseWatch(monotonic=lambda: clocks.monotonic)
    assert requests.claim_round(store, "host:2:b", LEASE, watch) is None
    clocks.monotonic = CONFIRM_SECONDS
    taken = requests.claim_round(store, "host:2:b", LEASE, watch)
    assert taken is not None and taken[1].fence == 2


def test_a_renewal_between_two_looks_is_seen(store: Store) -> None:
    ask(store)
    held = claim(store, lease_seconds=-1)
    clocks = Clocks()
    watch = LeaseWatch(monotonic=lambda: clocks.monotonic)
    requests.claim_round(store, "host:2:b", LEASE, watch)
    held.renew(-1)
    clocks.monotonic = CONFIRM_SECONDS
    assert requests.claim_round(store, "host:2:b", LEASE, watch) is None
