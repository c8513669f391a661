"""Forgetting while others are in the middle of something. PostgreSQL: SQLite has one writer at a time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import col, select, update

from pipelines.curate.curate import Curator
from service.curation import curate_due, delete_raw
from service.erasure import Receipt, forget
from service.ingest import Writer
from service.settings import Settings
from service.store import tables
from service.store.session import Store
from service.store.tables import now
from service.vault import Vault, open_vault
from tests.factories import conversation, incoming, put
from tests.service.curating import shared_curator

PEOPLE = 8
SHARED = "How is the colour of a title changed in the settings of a blog, and can it be undone by the readers of it?"
_BLOCKED = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def settings(postgresql_settings: Settings) -> Settings:
    return postgresql_settings


@pytest.fixture
def vault(settings: Settings, store: Store) -> Vault:
    return open_vault(settings, store)


@pytest.fixture
def curator() -> Curator:
    return shared_curator()


def conversation_of(store: Store, state: str) -> tables.Conversation:
    with store.read() as session:
        return session.exec(select(tables.Conversation).where(tables.Conversation.state == state)).one()


def wait_until_blocked(store: Store, forgetting: "Future[Receipt]") -> None:
    """Until the forgetting transaction waits for the one that is open here."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not forgetting.done():
        with store.engine.connect() as connection:
            if connection.exec_driver_sql(_BLOCKED).scalar_one() > 0:
                return
        time.sleep(0.02)


def test_a_cluster_that_curation_is_just_giving_to_somebody_else_is_no_hindrance(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, conversation(SHARED, "So.", user="u"))
    curate_due(store, vault, curator)
    put(store, vault, conversation(SHARED, "Or so.", user="v"))
    cluster, waiting = conversation_of(store, "clean").prompt_cluster_id, conversation_of(store, "received").id
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as session:  # what service.curation._store does
            store.lock(session, "clusters")
            session.execute(
                update(tables.Conversation)
                .where(col(tables.Conversation.id) == waiting)
                .values(prompt_cluster_id=cluster)
            )
            forgetting = pool.submit(forget, store, vault, "default", "u")
            wait_until_blocked(store, forgetting)
        assert forgetting.result(20).conversations == 1
    assert conversation_of(store, "received").prompt_cluster_id == cluster


def test_retention_in_the_middle_of_the_same_conversation_is_waited_for(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, conversation(SHARED, "So.", user="u"))
    curate_due(store, vault, curator)
    id = conversation_of(store, "clean").id
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as session:  # the two steps of service.store.curation.delete_originals
            session.exec(select(tables.Conversation).where(tables.Conversation.id == id).with_for_update()).one()
            forgetting = pool.submit(forget, store, vault, "default", "u")
            wait_until_blocked(store, forgetting)
            session.execute(update(tables.Message).where(col(tables.Message.conversation_id) == id).values(sealed=None))
        assert forgetting.result(20).conversations == 1
    assert conversation_of(store, "erased").id == id


def test_people_are_forgotten_while_everything_goes_on(store: Store, vault: Vault, curator: Curator) -> None:
    ended = threading.Event()

    def until_ended(work: Callable[[], object]) -> None:
        while not ended.is_set():
            work()

    with Writer(store, vault) as writer, ThreadPoolExecutor(PEOPLE + 4) as pool:

        def send(user: str, text: str) -> None:
            writer.submit([incoming(conversation(text, f"Answer to {user}.", user=user))]).result(30)

        for number in range(PEOPLE * 2):  # one question by all, so that they share the clusters that go with them
            send(f"u-{number % PEOPLE}", SHARED)
        others = [
            pool.submit(until_ended, lambda: curate_due(store, vault, curator, limit=2)),
            pool.submit(until_ended, lambda: curate_due(store, vault, curator, limit=2)),
            pool.submit(until_ended, lambda: delete_raw(store, now() + timedelta(days=60), 30)),
            pool.submit(until_ended, lambda: send("somebody else", "Another question, which nobody else has asked?")),
        ]
        try:
            receipts = list(pool.map(lambda number: forget(store, vault, "default", f"u-{number}"), range(PEOPLE)))
        finally:
            ended.set()
        for other in others:
            other.result(30)
    assert [receipt.conversations for receipt in receipts] == [2] * PEOPLE
    with store.read() as session:
        states = session.exec(
            select(tables.Conversation.state)
            .join(tables.Person, col(tables.Person.id) == col(tables.Conversation.person_id))
            .where(col(tables.Person.erased_at).is_not(None))
        ).all()
    assert states == ["erased"] * (2 * PEOPLE)
