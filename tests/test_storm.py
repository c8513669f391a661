"""The storm itself: a small one on each database, and its eye for what is lost, double or wrong."""

import random
from pathlib import Path

import pytest
from sqlalchemy import text

from bench import storm
from bench.storm.check_api import Verdict
from bench.storm.check_database import check_database
from bench.storm.ledger import Ledger, Message, Talk
from bench.storm.service import APP
from bench.storm.timeline import plan
from service.settings import Settings
from service.store.session import Store, open_store
from service.vault import open_vault
from tests.conftest import DATABASES
from tests.factories import conversation, put
from tests.service.served import add_model, crown

SMALL = ("--seconds", "8", "--at-most", "200", "--kills", "3", "--patience", "2", "--database")


def with_champion(store: Store, settings: Settings) -> None:
    """A model that answers from the start: making the first champion would take longer than the storm."""
    add_model(store, settings, "small")
    crown(store, "small")


@pytest.mark.parametrize("database", DATABASES)
def test_a_small_storm_loses_nothing_and_stores_nothing_twice(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storm, "LOGS", tmp_path)
    figures = storm.run([*SMALL, database], with_champion)
    assert figures[database]["faults"] == [] and figures["passed"]
    assert figures["kills"] >= 3 and figures["acknowledged"] > 50


QUESTION, FIRST, SECOND, FURTHER = (
    Message("m-0", "user", "What is the capital of Velmora?", None),
    Message("m-1", "assistant", "It is Tarsin.", "m-0"),
    Message("m-2", "assistant", "It is Osk.", "m-0"),
    Message("m-3", "user", "And of Sarvia?", "m-2"),
)
SABOTAGE = {
    "nothing": ("UPDATE message SET position = position", set()),
    "a message is gone": ("DELETE FROM message WHERE position = 3", {("lost", "messages")}),
    "a role is another's": ("UPDATE message SET role = 'tool' WHERE position = 3", {("wrong", "messages")}),
    "a vote is gone": ("DELETE FROM vote", {("lost", "votes")}),
    "a vote has turned": ("UPDATE vote SET value = -value", {("wrong", "votes"), ("wrong", "votes in the history")}),
    "a vote was noted twice": (
        "INSERT INTO vote_event SELECT 'x', app_id, message_hmac, rater_hmac, value, at FROM vote_event",
        {("double", "votes in the history")},
    ),
    "a vote that nobody gave": (
        "INSERT INTO vote (id, app_id, message_hmac, rater_hmac, value, source, updated_at) SELECT 'x', app_id, 'elsewhere', rater_hmac, value, source, updated_at FROM vote",
        {("double", "votes"), ("wrong", "votes in the history")},
    ),
    "a comparison has turned": (
        "UPDATE comparison SET value = -value",
        {("wrong", "comparisons"), ("wrong", "comparisons in the history")},
    ),
    "a correction was taken back": ("UPDATE correction SET retracted_at = at", {("wrong", "newest corrections")}),
    "a satisfaction is gone": ("DELETE FROM satisfaction", {("wrong", "satisfaction")}),
    "a cluster is there twice": (
        "INSERT INTO cluster SELECT 'c' || n, 'pair', 'same', 'x' FROM (SELECT 1 AS n UNION SELECT 2)",
        {("double", "clusters")},
    ),
    "a rejection without one": (
        "UPDATE conversation SET state = 'rejected', curated_revision = revision",
        {("wrong", "states")},
    ),
}


def ledger_of(settings: Settings, store: Store) -> Ledger:
    """A conversation with feedback of every kind, stored and noted as a client notes it."""
    talk = Talk("c-1", "ana", [QUESTION, FIRST, SECOND, FURTHER])
    given = conversation(
        id=talk.id,
        user=talk.user,
        app=APP,
        messages=[
            {"id": one.id, "role": one.role, "content": one.content, "parent": one.parent} for one in talk.messages
        ],
        satisfaction=4,
        votes=[{"message": "m-1", "value": "up"}],
        corrections=[{"message": "m-1", "content": "It is Osk, of course."}],
        comparisons=[{"chosen": "m-2", "rejected": "m-1"}],
    )
    assert [one.result for one in put(store, open_vault(settings, store), given)] == ["created"]
    talk.satisfaction.acknowledge(4)
    ledger = Ledger(talks={talk.id: talk})
    ledger.vote("m-1", "ana").acknowledge(1)
    ledger.correction("m-1", "ana").newest.acknowledge("It is Osk, of course.")
    ledger.comparison("ana", "m-1", "m-2").acknowledge("m-2")
    return ledger


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_what_is_lost_double_or_wrong_is_seen(sqlite_settings: Settings, sabotage: str) -> None:
    statement, seen = SABOTAGE[sabotage]
    store, verdict = open_store(sqlite_settings), Verdict()
    ledger = ledger_of(sqlite_settings, store)
    with store.begin() as session:
        session.execute(text(statement))
    store.close()
    check_database(sqlite_settings, ledger, verdict, all_curated=False)
    assert {(how, what) for how in ("lost", "double", "wrong") for what in +getattr(verdict, how)} == seen


def test_a_vote_may_stand_as_it_was_sent_last_without_an_answer(sqlite_settings: Settings) -> None:
    store, verdict = open_store(sqlite_settings), Verdict()
    ledger = ledger_of(sqlite_settings, store)
    store.close()
    ledger.vote("m-1", "ana").acknowledge(-1)
    check_database(sqlite_settings, ledger, verdict, all_curated=False)
    assert +verdict.wrong == {"votes": 1}
    ledger.vote("m-1", "ana").send(1)
    check_database(sqlite_settings, ledger, again := Verdict(), all_curated=False)
    assert +again.wrong == {}


def test_the_plan_holds_every_kind_of_kill_and_the_same_seed_plans_the_same() -> None:
    planned, again = (plan(random.Random(5), 50, ["disk full", "database locked"]) for _ in range(2))
    assert planned == again and len(planned) == 50 + 2 * 2
    assert {"web", "worker", "engine", "supervisor", "up"} < set(planned) and "disk full" in planned[1:-1]
