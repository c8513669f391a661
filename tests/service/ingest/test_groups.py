"""Conversations of one group commit, in one transaction: what is new in one of them is known to the others."""

from collections import Counter
from datetime import timedelta
from typing import Any

from sqlmodel import select

from service.curation import curate_due, delete_raw, open_curator
from service.ingest.conversations import apply_conversations
from service.settings import Settings
from service.store.session import Store
from service.store.tables import Conversation, Message, Person, Satisfaction, Vote, now
from service.vault import Vault, comment_place
from tests.factories import conversation, incoming, put


def _apply(store: Store, vault: Vault, *given: dict[str, Any]) -> list[str]:
    """What became of them; whatever the database refuses is raised, and not tried again by itself as the writer does."""
    with store.begin() as session:
        outcomes = apply_conversations(session, vault, [incoming(one) for one in given], now())
    return [one.result for one in outcomes]


def test_people_who_are_new_in_a_group_are_made_once(store: Store, vault: Vault) -> None:
    vote = {"message": 1, "value": "up", "comment": "Like a host."}
    group = [
        conversation(user="ana", votes=[vote]),
        conversation(user="ana", votes=[{**vote, "user": "ben"}]),
        conversation(user="ben", votes=[{**vote, "user": "cleo"}], satisfaction=4),
    ]
    assert _apply(store, vault, *group) == ["created"] * 3
    with store.read() as session:
        people = {one.id: one.hmac for one in session.exec(select(Person))}
        assert len(people) == 3
        assert Counter(Counter(c.person_id for c in session.exec(select(Conversation))).values()) == {2: 1, 1: 1}
        assert {one.rater_hmac for one in session.exec(select(Vote))} == set(people.values())
        assert [one.value for one in session.exec(select(Satisfaction))] == [4]
        for one in session.exec(select(Vote)):
            [person] = [id for id, hmac in people.items() if hmac == one.rater_hmac]
            key = vault.open_person_key(person, store.keys.wrapped([person])[person])
            assert key.unseal(one.sealed_comment or b"", comment_place(one.id)) == b"Like a host."


def test_a_conversation_that_comes_again_in_its_group_is_compared_with_itself(store: Store, vault: Vault) -> None:
    first = conversation("Hi", "Hello!", satisfaction=2)
    grown = {**first, "messages": [*first["messages"], {"role": "user", "content": "Bye"}], "satisfaction": 5}
    assert _apply(store, vault, first, first, grown, grown) == ["created", "unchanged", "appended", "unchanged"]
    with store.read() as session:
        assert len(session.exec(select(Message)).all()) == 3
        assert [one.value for one in session.exec(select(Satisfaction))] == [5]


def test_a_message_id_names_one_message_of_a_group(store: Store, vault: Vault) -> None:
    twins = [conversation(messages=[{"id": "m-twin", "role": "user", "content": "Hi"}]) for _ in range(2)]
    assert _apply(store, vault, *twins) == ["created", "conflict"]
    assert _apply(store, vault, *twins) == ["unchanged", "conflict"]


def test_who_corrects_what_is_gone_may_be_new_in_the_same_group(store: Store, vault: Vault, settings: Settings) -> None:
    old = conversation()
    put(store, vault, old)
    curate_due(store, vault, open_curator(settings))
    delete_raw(store, now() + timedelta(days=31), retention_days=30)
    late = {**old, "corrections": [{"message": 1, "content": "Good day!", "user": "dora"}]}
    assert _apply(store, vault, late, conversation(user="dora")) == ["conflict", "created"]
    with store.read() as session:
        assert len(session.exec(select(Person)).all()) == 2
