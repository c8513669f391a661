"""Clean, rated conversations put straight into the tables, as ingest and curation leave them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.store.people import add_keys, wrapped_key
from service.store.session import Store
from service.store.tables import App, CleanMessage, Cluster, Conversation, Message, Person, Satisfaction, Vote, new_id
from service.vault import Vault, clean_place, meta_place

START = datetime(2026, 7, 1, tzinfo=UTC)


def add_person(store: Store, vault: Vault, name: str = "ann") -> str:
    """A person of the one app; gives the id."""
    person = new_id()
    with store.begin() as session:
        if session.get(App, "app") is None:
            session.add(App(id="app", name="app"))
            session.flush()
        session.add(Person(id=person, app_id="app", hmac=name))
        add_keys(session, {person: vault.new_person_key(person)[1]})
    return person


def add_rated(store: Store, vault: Vault, person: str, *turns: str, **changes: Any) -> str:
    """A clean conversation of user and assistant turns in alternation; gives its id.

    `changes` are columns of Conversation, and satisfaction (5), votes ({position: [1, -1, ...]}), day (0), cluster
    (the name of the prompt cluster: its own).
    """
    satisfaction, votes = changes.pop("satisfaction", 5), changes.pop("votes", {})
    day, cluster = changes.pop("day", 0), changes.pop("cluster", None)
    with store.begin() as session:
        key = vault.open_person_key(person, wrapped_key(session, person) or b"")
        row = Conversation(
            app_id="app",
            client_hmac=new_id(),
            person_id=person,
            digest="",
            sealed_meta=b"",
            consent=True,
            state="clean",
            occurred_at=START + timedelta(days=day),
            language="en",
            topic="other",
            curated_revision=1,
        )
        row.sealed_meta = key.seal(b"{}", meta_place(row.id))
        row.prompt_cluster_id = cluster or row.id
        row.pair_cluster_id = "pair-" + row.id
        for name, value in changes.items():
            setattr(row, name, value)
        for kind, id in (("prompt", row.prompt_cluster_id), ("pair", row.pair_cluster_id)):
            if session.get(Cluster, id) is None:
                session.add(Cluster(id=id, kind=kind, exact=new_id(), signature=b""))
        session.flush()
        session.add(row)
        session.flush()
        _add_messages(session, key, row, turns, votes)
        if satisfaction is not None:
            session.add(Satisfaction(conversation_id=row.id, value=satisfaction))
    return row.id


def _add_messages(session: Any, key: Any, row: Conversation, turns: Sequence[str], votes: dict[int, list[int]]) -> None:
    parent = None
    for position, text in enumerate(turns):
        role = "assistant" if position % 2 else "user"
        message = Message(conversation_id=row.id, client_hmac=new_id(), parent_id=parent, position=position, role=role)
        session.add(message)
        session.flush()
        sealed = key.seal(text.encode(), clean_place(message.id, 1))
        clean = CleanMessage(
            message_id=message.id, revision=1, conversation_id=row.id, sealed=sealed, features={"mixing": 0.0}
        )
        session.add(clean)
        for rater, value in enumerate(votes.get(position, [])):
            session.add(Vote(app_id="app", message_hmac=message.client_hmac, rater_hmac=str(rater), value=value))
        parent = message.id
