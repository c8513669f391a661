"""No stored row keeps the next one from being curated: what cannot be read, curated or stored is quarantined, alone."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select
from starlette.testclient import TestClient

from pipelines.curate.curate import Curator
from pipelines.records import Conversation, Curated
from service.chat.place import Turn, place
from service.curation import curate_due, explain
from service.curation import results as storing
from service.store import funnel, tables
from service.store.people import wrapped_key
from service.store.session import Store
from service.store.tables import Message, Quarantine, now
from service.vault import PersonKey, Vault, meta_place, raw_place
from tests.factories import conversation, correct, put
from tests.service.curating import shared_curator


@pytest.fixture(scope="session")
def curator() -> Curator:
    return shared_curator()


def curate_all(store: Store, vault: Vault, curator: Any) -> None:
    for _ in range(12):
        if not curate_due(store, vault, curator):
            return
    raise AssertionError("curation does not come to an end")


def row_of(store: Store, vault: Vault, name: str) -> tables.Conversation:
    with store.read() as session:
        app = session.exec(select(tables.App.id)).one()
        return session.exec(
            select(tables.Conversation).where(tables.Conversation.client_hmac == vault.conversation_hash(app, name))
        ).one()


def states(store: Store, vault: Vault, *names: str) -> list[str]:
    return [row_of(store, vault, name).state for name in names]


def key_of(store: Store, vault: Vault, row: tables.Conversation) -> PersonKey:
    with store.read() as session:
        return vault.open_person_key(row.person_id, wrapped_key(session, row.person_id) or b"")


Damage = Callable[[Any, tables.Conversation, PersonKey], None]


def first_message(session: Any, row: tables.Conversation) -> Message:
    found: Message = session.exec(
        select(Message).where(Message.conversation_id == row.id).order_by(Message.position)  # type: ignore[arg-type]
    ).first()
    return found


def meta(plain: bytes) -> Damage:
    def damage(session: Any, row: tables.Conversation, key: PersonKey) -> None:
        session.get(tables.Conversation, row.id).sealed_meta = key.seal(plain, meta_place(row.id))

    return damage


def bytes_of(field: str, value: bytes) -> Damage:
    return lambda session, row, key: setattr(session.get(tables.Conversation, row.id), field, value)


def text_of(value: Callable[[PersonKey, str], bytes | None]) -> Damage:
    def damage(session: Any, row: tables.Conversation, key: PersonKey) -> None:
        message = first_message(session, row)
        message.sealed = value(key, message.id)

    return damage


def person_key(session: Any, row: tables.Conversation, key: PersonKey) -> None:
    no_person_key(session, row, key)
    session.info["keys"].add({row.person_id: os.urandom(60)})


def no_person_key(session: Any, row: tables.Conversation, key: PersonKey) -> None:
    session.info["keys"].delete([row.person_id])


def role(session: Any, row: tables.Conversation, key: PersonKey) -> None:
    first_message(session, row).role = "robot"


LEVELS = 974  # taken by the API once
DEEP = b'{"id": "c", "metadata": ' + b'{"a":' * LEVELS + b"1" + b"}" * LEVELS + b"}"
UNREADABLE = {
    "deep metadata": (meta(DEEP), "unreadable:ArtifactError"),
    "metadata that is none": (meta(b"\xff{"), "unreadable:ArtifactError"),
    "damaged metadata": (bytes_of("sealed_meta", b"x" * 40), "unreadable:ArtifactError"),
    "a damaged surrogate secret": (bytes_of("sealed_secret", b""), "unreadable:ArtifactError"),
    "a damaged message": (text_of(lambda key, id: os.urandom(50)), "unreadable:ArtifactError"),
    "a message without text": (text_of(lambda key, id: None), "unreadable:AssertionError"),
    "a message that is no UTF-8": (
        text_of(lambda key, id: key.seal(b"\xff\xfe", raw_place(id))),
        "unreadable:ArtifactError",
    ),
    "a role that nobody has": (role, "unreadable:ValidationError"),
    "a damaged key": (person_key, "unreadable:ArtifactError"),
    "a key that is gone": (no_person_key, "key_gone"),
}


@pytest.mark.parametrize(("damage", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_is_quarantined_with_the_reason_and_the_others_are_curated(
    store: Store, vault: Vault, curator: Curator, damage: Damage, reason: str
) -> None:
    put(store, vault, *(conversation(id=f"c-{user}", user=user) for user in ("a", "bad", "b")))
    bad = row_of(store, vault, "c-bad")
    with store.begin() as session:
        damage(session, bad, key_of(store, vault, bad))
    assert curate_due(store, vault, curator) == {"clean": 2, "quarantined": 1}
    assert states(store, vault, "c-a", "c-bad", "c-b") == ["clean", "quarantined", "clean"]
    with store.read() as session:
        assert session.get_one(Quarantine, bad.id).reason == reason
        counted = funnel.funnel(session)
    assert counted.quarantined == 1 and (reason, "quarantine") in [(row.reason, row.place) for row in counted.left_out]
    told = explain(store, vault, curator, row_of(store, vault, "c-bad"))
    assert (told.state, told.reason, told.steps) == ("quarantined", reason, ())


def test_where_a_quarantined_conversation_stands_is_answered_with_the_reason(
    client: TestClient, store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, conversation(id="c"))
    row = row_of(store, vault, "c")
    with store.begin() as session:
        meta(DEEP)(session, row, key_of(store, vault, row))
    curate_all(store, vault, curator)
    told = client.get("/v1/conversations/c").json()
    assert (told["state"], told["reason"]) == ("quarantined", "unreadable:ArtifactError")
    assert "unreadable:ArtifactError" in client.get("/").text


def test_a_damaged_correction_is_of_its_conversation_alone(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation(id="bad"), conversation(id="good", user="u-2"))
    correct(store, vault, "bad:1", "Good day to you!", user="u-9")
    with store.begin() as session:
        written = session.exec(select(tables.Correction)).one()
        session.get_one(Message, written.message_id).sealed = b"damaged"
    curate_all(store, vault, curator)
    assert states(store, vault, "bad", "good") == ["quarantined", "clean"]


def test_a_result_that_cannot_be_stored_costs_no_other_of_its_batch(
    store: Store, vault: Vault, curator: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, vault, *(conversation(f"What is {name}?", "A letter.", id=name) for name in ("a", "bad", "b")))
    bad, stores = row_of(store, vault, "bad").id, storing._store_clean

    def failing(session: Any, vault: Vault, job: Any, row: Any, result: Any) -> None:
        stores(session, vault, job, row, result)
        if row.id == bad:
            raise OverflowError("nobody thought of this")

    monkeypatch.setattr(storing, "_store_clean", failing)
    assert curate_due(store, vault, curator) == {"clean": 2, "quarantined": 1}
    with store.read() as session:
        assert session.get_one(Quarantine, bad).reason == "not_stored:OverflowError"


def test_a_damaged_cluster_is_like_nothing(store: Store, vault: Vault, curator: Curator) -> None:
    long = "How do I change the colour of the title in the settings of my blog without losing the rest of the design?"
    put(store, vault, conversation(long, "Use the editor.", id="a"))
    curate_all(store, vault, curator)
    with store.begin() as session:
        session.execute(text("UPDATE cluster SET signature = :bad"), {"bad": b"{"})
    put(store, vault, conversation(long.replace("do I", "can I"), "Use the editor.", id="b"))
    curate_all(store, vault, curator)
    assert states(store, vault, "a", "b") == ["clean", "clean"]


def test_a_conversation_that_grew_after_it_was_quarantined_is_tried_again(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, conversation("Hi", "Hello!", id="c"))
    row = row_of(store, vault, "c")
    with store.begin() as session:
        meta(DEEP)(session, row, key_of(store, vault, row))
    curate_all(store, vault, curator)
    put(store, vault, conversation("Hi", "Hello!", "And you?", "Fine.", id="c"))  # its metadata is written anew
    curate_all(store, vault, curator)
    assert states(store, vault, "c") == ["clean"]
    with store.read() as session:
        assert session.exec(select(Quarantine)).all() == []


def test_chat_goes_on_although_an_earlier_conversation_cannot_be_read(store: Store, vault: Vault) -> None:
    put(store, vault, conversation("Hi", "Hello!", id="c"))
    row = row_of(store, vault, "c")
    with store.begin() as session:
        meta(DEEP)(session, row, key_of(store, vault, row))
    chat = [Turn("user", "Hi"), Turn("assistant", "Hello!"), Turn("user", "So?")]
    assert place(store, vault, "default", "u-1", chat, None, now()).conversation_id.startswith("chat-")


# ---- whatever a database lets anybody write into a row ------------------------------------------------------


def columns_of(table: Any) -> set[str]:
    return {column.name for column in table.__table__.c}


COLUMNS = [
    *((tables.Conversation, name) for name in sorted(columns_of(tables.Conversation) - {"id"})),
    *((Message, name) for name in sorted(columns_of(Message) - {"id", "conversation_id"})),
]
VALUES: Sequence[Any] = [
    None,
    "",
    "x",
    "\u0663",
    "0",
    b"",
    b"\xff" * 60,
    0,
    -1,
    2**40,
    1e300,
    True,
    "9999-99-99 99:99:99",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(COLUMNS), value=st.sampled_from(VALUES), seconds=st.sampled_from([False, True]))
@example(column=(tables.Conversation, "part"), value="x", seconds=True)
@example(column=(tables.Conversation, "occurred_at"), value="x", seconds=False)
@example(column=(Message, "role"), value="x", seconds=False)
def test_no_stored_row_stops_the_curation_of_the_next(
    store: Store, vault: Vault, curator: Curator, column: tuple[Any, str], value: Any, seconds: bool
) -> None:
    bad, good = conversation("Hi there", "Hello!"), conversation("What is one?", "A number.")
    bad, good = bad | {"user": f"u-{bad['id']}"}, good | {"user": f"u-{good['id']}"}
    put(store, vault, bad)
    if seconds:  # damaged after it was curated once, and then it grew
        curate_all(store, vault, curator)
    put(store, vault, bad | {"messages": conversation("Hi there", "Hello!", "And you?")["messages"]}, good)
    row = row_of(store, vault, bad["id"])
    table, name = column
    where = {"conversation": "id = :id", "message": "conversation_id = :id"}
    query = f'UPDATE "{table.__tablename__}" SET {name} = :value WHERE {where[table.__tablename__]}'
    try:
        with store.begin() as session:
            session.execute(text(query), {"value": value, "id": row.id})
    except DBAPIError:
        assume(False)  # this database keeps that out
    curate_all(store, vault, curator)
    with store.begin() as session:
        app = session.exec(select(tables.App.id)).one()
        found = vault.conversation_hash(app, good["id"])
        query = "SELECT state FROM conversation WHERE client_hmac = :hmac"
        assert session.execute(text(query), {"hmac": found}).scalar_one() == "clean"
        session.execute(text("UPDATE conversation SET state = 'erased'"))


def test_a_text_column_of_bytes_that_are_no_text_is_no_database_that_is_away(
    sqlite_settings: Any, curator: Curator
) -> None:
    from service.store.session import open_store
    from service.vault import open_vault

    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    put(store, vault, conversation(id="bad"), conversation(id="good", user="u-2"))
    with store.begin() as session:
        query = "UPDATE message SET role = CAST(x'ff' AS TEXT) WHERE conversation_id = :id"
        session.execute(text(query), {"id": row_of(store, vault, "bad").id})
    curate_all(store, vault, curator)
    assert states(store, vault, "bad", "good") == ["quarantined", "clean"]
    store.close()


def test_a_curator_that_raises_for_one_conversation_is_not_asked_about_it_for_ever(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, conversation("boom", "Hello!", id="bad"), conversation(id="good", user="u-2"))

    class Raising:
        def curate(self, one: Conversation, secret: bytes, key: bytes) -> Curated:
            if one.messages[0].content == "boom":
                raise RecursionError
            return curator.curate(one, secret, key)

    curate_all(store, vault, Raising())
    assert states(store, vault, "bad", "good") == ["quarantined", "clean"]
