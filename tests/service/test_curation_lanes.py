"""What is heavy to curate waits behind everything else, in a lane of its own: nobody waits for another's text."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
from sqlmodel import select

from pipelines.curate.config import OVER_BUDGET
from pipelines.curate.curate import Curator
from pipelines.curate.process import CuratorProcess
from pipelines.errors import MissingDependency
from pipelines.records import Conversation, Curated, Quarantined
from service.curation import Spending, curate_due
from service.curation import curate as curating
from service.curation.budget import LIGHT_CHARACTERS, PERSON_SECONDS, WINDOW_SECONDS
from service.rounds.chores import open_chores
from service.settings import Settings
from service.store import tables
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.factories import conversation, correct, put
from tests.pipelines.curate.chats import CONFIG
from tests.service.curating import shared_curator

LONG = "It was a long day in the harbour of Velmora. " * 700


@pytest.fixture(scope="session")
def curator() -> Curator:
    return shared_curator()


class Watched:
    """A curator that notes what it is given, and answers as it is told."""

    def __init__(self, curator: Curator, answer: Callable[[Conversation], Curated | None] = lambda one: None) -> None:
        self._curator, self._answer = curator, answer
        self.asked: list[str] = []

    def curate(self, one: Conversation, secret: bytes, key: bytes) -> Curated:
        self.asked.append(one.messages[0].content[:20])
        return self._answer(one) or self._curator.curate(one, secret, key)


def people(store: Store) -> list[str]:
    with store.read() as session:
        return list(session.exec(select(tables.Conversation.person_id)))


def states(store: Store) -> list[tuple[str, bool]]:
    with store.read() as session:
        query = select(tables.Conversation).order_by(tables.Conversation.received_at, tables.Conversation.id)  # type: ignore[arg-type]
        return [(row.state, row.heavy) for row in session.exec(query)]


def test_a_long_conversation_goes_behind_those_that_came_after_it(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation(LONG[:31_000], LONG[:31_000], LONG[:31_000]))
    put(store, vault, *(conversation(f"What is {n}?", "A number.", user=f"u-{n}") for n in range(3)))
    watched = Watched(curator)
    assert curate_due(store, vault, watched, lane="light") == {"clean": 3}
    assert states(store)[0] == ("received", True) and len(watched.asked) == 3
    assert curate_due(store, vault, watched, lane="light") == {}
    assert sum(curate_due(store, vault, watched, lane="heavy").values()) == 1
    assert states(store)[0][1] is False and len(watched.asked) == 4


def test_corrections_count_as_often_as_they_may_have_to_be_tried(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation(LONG[:5_000], LONG[:3_000], id="c"))
    for n in range(9):
        correct(store, vault, "c:1", f"A better answer, number {n}.", user=f"u-{n}")
    assert 8_000 < LIGHT_CHARACTERS < 8_000 * 11
    watched = Watched(curator)
    assert curate_due(store, vault, watched, lane="light") == {} and watched.asked == []
    assert states(store) == [("received", True)]


def test_what_takes_too_long_in_the_light_lane_is_tried_again_in_the_heavy_one(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, conversation("slow", "Hello!"))
    put(store, vault, conversation("What is one?", "A number.", user="u-2"))

    def slow(one: Conversation) -> Curated | None:
        return Quarantined(id=one.id, reason=OVER_BUDGET) if one.messages[0].content == "slow" else None

    assert curate_due(store, vault, Watched(curator, slow), lane="light") == {"clean": 1}
    assert states(store)[0] == ("received", True)
    assert curate_due(store, vault, Watched(curator, slow), lane="heavy") == {"quarantined": 1}
    with store.read() as session:
        assert session.exec(select(tables.Quarantine.reason)).one() == OVER_BUDGET


def test_a_person_who_had_too_much_goes_behind_the_others_until_the_window_is_over(
    store: Store, vault: Vault, curator: Curator
) -> None:
    at = [0.0]
    spending = Spending(lambda: at[0])
    put(store, vault, conversation("Hi", "Hello!", user="greedy"))
    greedy = people(store)[0]
    put(store, vault, conversation("Ho", "Hello!", user="other"))
    spending.charge(PERSON_SECONDS + 0.1, {greedy: 2})
    assert curate_due(store, vault, curator, lane="light", spending=spending) == {"clean": 1}
    assert states(store) == [("received", True), ("clean", False)]
    assert curate_due(store, vault, curator, lane="heavy", spending=spending) == {"clean": 1}
    at[0] = WINDOW_SECONDS + 1
    put(store, vault, conversation("Hi again", "Hello!", user="greedy"))
    assert curate_due(store, vault, curator, lane="light", spending=spending) == {"clean": 1}


def test_time_is_charged_to_those_who_wrote_the_text(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("Hi", "Yes", id="c", user="owner"))
    owner = people(store)[0]
    correct(store, vault, "c:1", LONG[:20_000], user="writer")
    spending = Spending()

    def slow(one: Conversation) -> None:
        time.sleep(0.05)

    curate_due(store, vault, Watched(curator, slow), spending=spending)
    with store.read() as session:
        writer = session.exec(select(tables.Correction.person_id)).one()
    assert spending.of([writer]) > 0.04 > spending.of([owner])


def test_of_the_heavy_ones_whoever_had_least_is_next(store: Store, vault: Vault, curator: Curator) -> None:
    texts = (LONG[:31_000], LONG[:31_000], LONG[:31_000])
    put(store, vault, *(conversation(*texts, user="greedy") for _ in range(3)))
    greedy = people(store)[0]
    put(store, vault, conversation(*texts, user="modest"))
    curate_due(store, vault, curator, lane="light")
    spending = Spending()
    spending.charge(1.0, {greedy: 1})
    curate_due(store, vault, curator, lane="heavy", spending=spending)
    assert [heavy for _, heavy in states(store)] == [True, True, True, False]


def test_a_batch_gives_back_what_it_does_not_come_to(
    store: Store, vault: Vault, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curating, "BATCH_SECONDS", 0.05)
    put(store, vault, *(conversation(f"What is {n}?", "A number.") for n in range(4)))

    def slow(one: Conversation) -> None:
        time.sleep(0.06)

    watched = Watched(curator, slow)
    assert curate_due(store, vault, watched, lane="light") == {"clean": 1}
    assert curate_due(store, vault, watched, lane="light") == {"clean": 1}  # at once: no lease keeps it


def test_corrections_are_tried_until_the_deadline_and_the_others_left_out(
    store: Store, vault: Vault, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curating, "CORRECTIONS_SECONDS", 0.0)
    put(store, vault, conversation("Where is the key?", "Under the mat.", id="c"))
    correct(store, vault, "c:1", "qwz xkcv bnmq " * 40)
    assert curate_due(store, vault, curator) == {"clean": 1}
    with store.read() as session:
        assert session.exec(select(tables.Correction.refused)).one() == f"quarantined:{OVER_BUDGET}"


def test_a_curator_that_cannot_start_again_leaves_the_queue_as_it_is(store: Store, vault: Vault) -> None:
    put(store, vault, conversation())

    class Gone:
        def curate(self, one: Conversation, secret: bytes, key: bytes) -> Curated:
            raise MissingDependency("the curation process did not start")

    with pytest.raises(MissingDependency):
        curate_due(store, vault, Gone())
    assert states(store) == [("received", False)]


def test_the_processor_time_of_a_conversation_is_bounded(curator: Curator) -> None:
    tight = Curator(CONFIG.model_copy(update={"budget_seconds": 0.001}))
    messages = [message for n in range(20) for message in (("user", f"{LONG[:3_000]} {n}"), ("assistant", "Yes."))]
    given = Conversation.model_validate(
        {
            "id": "c",
            "messages": [
                {"id": str(n), "role": role, "content": text, "parent": str(n - 1) if n else None}
                for n, (role, text) in enumerate(messages)
            ],
        }
    )
    assert tight.curate(given, b"s" * 32, b"k" * 32) == Quarantined(id="c", reason=OVER_BUDGET)
    assert not isinstance(curator.curate(given, b"s" * 32, b"k" * 32), Quarantined)


def test_a_worker_curates_both_lanes_side_by_side(sqlite_settings: Settings) -> None:
    settings = replace(sqlite_settings, allow_degraded_names=True)
    store = open_store(settings)
    vault = open_vault(settings, store)
    put(store, vault, conversation(LONG[:31_000], LONG[:31_000], LONG[:31_000]), conversation(user="u-2"))
    with open_chores(settings, store, vault) as chores:
        deadline = time.monotonic() + 60
        while any(state == "received" for state, _ in states(store)) and time.monotonic() < deadline:
            for chore in chores:
                chore()
            time.sleep(0.05)
    assert [state in ("clean", "rejected") for state, _ in states(store)] == [True, True]
    store.close()


@pytest.mark.parametrize(
    ("dies_of_all", "states_after"), [(False, ["quarantined", "rejected"]), (True, ["received"] * 2)]
)
def test_a_process_that_dies_of_every_text_quarantines_nobody(
    store: Store, vault: Vault, dies_of_all: bool, states_after: list[str]
) -> None:
    put(store, vault, conversation("die", "Hello!"))
    put(store, vault, conversation("What is one?", "A number.", user="u-2"))
    config = CONFIG.model_copy(update={"max_messages": 1 if dies_of_all else 10})
    with CuratorProcess(config, "tests.service.fragile:open_fragile") as process:
        curator = curating._Bounded(process, 20.0, lambda: None)
        with pytest.raises(MissingDependency) if dies_of_all else nullcontext():
            curate_due(store, vault, curator)
    assert [state for state, _ in states(store)] == states_after
