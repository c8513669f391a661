"""Queries of erasure: everything that one person's text, ids and ratings left in the tables, and what learned from it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, update
from sqlmodel import Session, col, func, select

from service.store import clusters
from service.store.tables import (
    CleanMessage,
    Conversation,
    Message,
    Model,
    Person,
    Quarantine,
    Rejection,
    Round,
    Satisfaction,
    SnapshotItem,
    Vote,
    VoteEvent,
)

OPEN_ROUNDS = ("requested", "running")


class Learned(NamedTuple):
    """Rounds that used a person, and every model that came of them."""

    rounds: list[int]
    models: list[str]


def find_person(session: Session, app: str, hmac: str) -> Person | None:
    return session.exec(select(Person).where(Person.app_id == app, Person.hmac == hmac)).first()


def count_conversations(session: Session, person: str) -> int:
    return session.exec(
        select(func.count()).select_from(Conversation).where(Conversation.person_id == person)
    ).one()


def erase_text(session: Session, person: str) -> None:
    """Deletes every sealed text, hash and measure of the person's conversations; their rows stay as erased."""
    ids = select(Conversation.id).where(Conversation.person_id == person)
    used = select(Conversation.prompt_cluster_id, Conversation.pair_cluster_id).where(
        Conversation.person_id == person
    )
    touched = {cluster for row in session.exec(used).all() for cluster in row if cluster is not None}
    mine = col(Message.conversation_id).in_(ids)
    hashes = select(Message.client_hmac).where(mine)
    session.execute(delete(Vote).where(col(Vote.message_hmac).in_(hashes)))
    session.execute(delete(VoteEvent).where(col(VoteEvent.message_hmac).in_(hashes)))
    for table in (CleanMessage, Rejection, Quarantine, Satisfaction):
        session.execute(delete(table).where(col(table.conversation_id).in_(ids)))
    # an id of its own instead of the hash, so that the app may send the message again after consenting anew
    session.execute(update(Message).where(mine).values(sealed=None, digest="", client_hmac=Message.id))
    gone = {
        "state": "erased", "sealed_meta": b"", "sealed_secret": None, "digest": "", "language": None, "topic": None,
        "prompt_cluster_id": None, "pair_cluster_id": None,
    }  # fmt: skip
    session.execute(update(Conversation).where(col(Conversation.person_id) == person).values(**gone))
    clusters.forget_unused(session, touched)


def erase_ratings(session: Session, app: str, rater_hmac: str) -> int:
    """Deletes every vote that the person cast, on whosever messages; returns how many stood."""
    mine = col(Vote.app_id) == app, col(Vote.rater_hmac) == rater_hmac
    count = session.exec(select(func.count()).select_from(Vote).where(*mine)).one()
    session.execute(delete(Vote).where(*mine))
    session.execute(
        delete(VoteEvent).where(col(VoteEvent.app_id) == app, col(VoteEvent.rater_hmac) == rater_hmac)
    )
    return count


def erase_key(session: Session, person: Person, at: datetime) -> None:
    """Destroys the person's key, and the hash by which the person would be known again."""
    person.wrapped_key, person.erased_at, person.hmac = None, at, f"erased:{person.id}"
    session.add(person)


def learned_from(session: Session, person: str) -> Learned:
    """Which rounds trained on the person, and which models hold that: theirs, and every model trained on top of those."""
    query = select(SnapshotItem.round_id).where(
        SnapshotItem.person_id == person, SnapshotItem.outcome == "used"
    )
    rounds = set(session.exec(query.distinct()).all())
    models = list(session.exec(select(Model)).all())
    tainted = {model.id for model in models if model.round_id in rounds}
    grew = True
    while grew:
        more = {model.id for model in models if model.id not in tainted and tainted & set(model.parents)}
        tainted |= more
        grew = bool(more)
    return Learned(sorted(rounds), sorted(tainted))


def cancel_rounds(session: Session, rounds: Sequence[int]) -> list[int]:
    """Asks those of these rounds that are not finished to stop; returns which."""
    query = select(Round).where(col(Round.id).in_(rounds), col(Round.state).in_(OPEN_ROUNDS))
    stopped = list(session.exec(query).all())
    for row in stopped:
        row.cancel_requested = True
        row.message = "a person whom this round used was forgotten"
        session.add(row)
    return sorted(row.id for row in stopped if row.id is not None)


def taint(session: Session, models: Sequence[str], at: datetime) -> None:
    """Marks models that learned from an erased person; the first mark stays."""
    session.execute(
        update(Model).where(col(Model.id).in_(models), col(Model.tainted_at).is_(None)).values(tainted_at=at)
    )
