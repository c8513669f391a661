"""Queries of erasure: everything that one person's text, ids and ratings left in the tables, and what learned from it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, or_, update
from sqlmodel import Session, col, func, select

from service.store import clusters, corrections
from service.store.tables import (
    CleanMessage,
    Comparison,
    ComparisonEvent,
    Conversation,
    Correction,
    ErasureReceipt,
    FeedbackFate,
    Message,
    Model,
    NameMention,
    Person,
    Quarantine,
    Rejection,
    Review,
    Round,
    Satisfaction,
    Snapshot,
    SnapshotItem,
    Vote,
    VoteEvent,
)

OPEN_ROUNDS = ("requested", "running")
_CHUNK = 400  # rows per statement: below every database's limit on bound values


class Traces(NamedTuple):
    """Rounds that used a person, and every model that came of them."""

    rounds: list[int]
    models: list[str]


_NOTHING = {"sealed": None, "structured": False, "digest": "", "model": None, "occurred_at": None, "state": "complete"}


def newest_receipts(session: Session, limit: int) -> Sequence[ErasureReceipt]:
    """What was forgotten, the newest first."""
    return session.exec(select(ErasureReceipt).order_by(col(ErasureReceipt.at).desc()).limit(limit)).all()


def find_person(session: Session, app: str, hmac: str) -> Person | None:
    """The person of an app with this keyed hash, if there is one."""
    return session.exec(select(Person).where(Person.app_id == app, Person.hmac == hmac)).first()


def count_conversations(session: Session, person: str) -> int:
    """How many conversations a person has."""
    return session.exec(select(func.count()).select_from(Conversation).where(Conversation.person_id == person)).one()


def lock_conversations(session: Session, person: str) -> None:
    """Keeps everybody else from changing the conversations of a person, and those that the person corrected, till the end.

    By id and before their messages, as curation and retention take them.
    """
    corrected = select(Message.conversation_id).join(Correction, col(Correction.message_id) == col(Message.id))
    theirs = or_(
        col(Conversation.person_id) == person, col(Conversation.id).in_(corrected.where(Correction.person_id == person))
    )
    query = select(Conversation.id).where(theirs).order_by(col(Conversation.id))
    session.exec(query.with_for_update(key_share=True)).all()


def erase_text(session: Session, person: str) -> None:
    """Deletes every sealed text, hash and measure of the person's conversations; their rows stay as erased."""
    ids = select(Conversation.id).where(Conversation.person_id == person)
    used = select(Conversation.prompt_cluster_id, Conversation.pair_cluster_id).where(Conversation.person_id == person)
    touched = {cluster for row in session.exec(used).all() for cluster in row if cluster is not None}
    mine = col(Message.conversation_id).in_(ids)
    erase_ratings_on(session, mine)
    theirs = select(Message.id).where(mine)
    session.execute(delete(Correction).where(col(Correction.corrected_message_id).in_(theirs)))
    for table in (CleanMessage, NameMention, Rejection, Quarantine, Review, Satisfaction):
        session.execute(delete(table).where(col(table.conversation_id).in_(ids)))
    # an id of its own instead of the hash, so that the app may send the message again after consenting anew
    session.execute(update(Message).where(mine).values(**_NOTHING, client_hmac=Message.id))
    gone = {
        "state": "erased",
        "sealed_meta": b"",
        "sealed_secret": None,
        "digest": "",
        "language": None,
        "topic": None,
        "prompt_cluster_id": None,
        "pair_cluster_id": None,
    }
    session.execute(update(Conversation).where(col(Conversation.person_id) == person).values(**gone))
    clusters.forget_unused(session, touched)


def erase_corrections(session: Session, person: str) -> int:
    """Deletes every text that the person wrote in place of an answer, in whosever conversation; returns how many.

    The conversations of others are curated again without them where their own raw text is still there.
    """
    query = select(Correction.message_id, Message.conversation_id).join(
        Message, col(Message.id) == col(Correction.message_id)
    )
    rows = list(session.exec(query.where(Correction.person_id == person)).all())
    texts = col(Message.id).in_(select(Correction.message_id).where(Correction.person_id == person))
    erase_ratings_on(session, texts)
    session.execute(
        delete(CleanMessage).where(
            col(CleanMessage.message_id).in_(select(Correction.message_id).where(Correction.person_id == person))
        )
    )
    session.execute(delete(Correction).where(col(Correction.person_id) == person))
    for chunk in _chunks([message for message, _ in rows]):
        session.execute(delete(Message).where(col(Message.id).in_(chunk)))
    _forget_texts(session, sorted({conversation for _, conversation in rows}))
    return len(rows)


def count_ratings(session: Session, app: str, rater_hmac: str) -> int:
    """How many votes and comparisons of the person stand, on whosever messages."""
    count = 0
    for standing in (Vote, Comparison):
        mine = col(standing.app_id) == app, col(standing.rater_hmac) == rater_hmac
        count += session.exec(select(func.count()).select_from(standing).where(*mine)).one()
    return count


def count_corrections(session: Session, person: str) -> int:
    """How many texts the person wrote in place of an answer."""
    return session.exec(select(func.count()).select_from(Correction).where(Correction.person_id == person)).one()


def erase_ratings(session: Session, app: str, rater_hmac: str) -> int:
    """Deletes every vote and comparison of the person, on whosever messages; returns how many stood."""
    count = count_ratings(session, app, rater_hmac)
    for table in (Vote, VoteEvent, Comparison, ComparisonEvent):
        session.execute(delete(table).where(col(table.app_id) == app, col(table.rater_hmac) == rater_hmac))
    return count


def traces_of(session: Session, person: str, hmac: str) -> Traces:
    """Which rounds trained on the person, and which models hold that: theirs, and every model trained on top of those.

    A round trained on somebody if it used a conversation of theirs, feedback on one, feedback that they gave (known by
    their id, or once by their hash), or a conversation in which a correction of theirs stood.
    """
    used = [
        select(SnapshotItem.round_id).where(SnapshotItem.person_id == person, SnapshotItem.outcome == "used"),
        select(FeedbackFate.round_id).where(
            FeedbackFate.outcome == "used",
            or_(
                col(FeedbackFate.rater).in_((person, hmac)),
                col(FeedbackFate.conversation_id).in_(select(Conversation.id).where(Conversation.person_id == person)),
            ),
        ),
        select(SnapshotItem.round_id)
        .join(Snapshot, col(Snapshot.round_id) == col(SnapshotItem.round_id))
        .join(Message, col(Message.conversation_id) == col(SnapshotItem.conversation_id))
        .join(Correction, and_(col(Correction.message_id) == col(Message.id), col(Correction.at) <= col(Snapshot.at)))
        .where(Correction.person_id == person, SnapshotItem.outcome == "used"),
    ]
    rounds = {round_id for query in used for round_id in session.exec(query.distinct()).all()}
    models = list(session.exec(select(Model)).all())
    tainted = {model.id for model in models if model.round_id in rounds}
    grew = True
    while grew:
        more = {model.id for model in models if model.id not in tainted and tainted & set(model.parents)}
        tainted |= more
        grew = bool(more)
    return Traces(sorted(rounds), sorted(tainted))


def rounds_on_top(session: Session, models: Sequence[str]) -> list[int]:
    """The rounds that are not finished and train on top of one of these models."""
    open_rounds = session.exec(select(Round).where(col(Round.state).in_(OPEN_ROUNDS))).all()
    doomed = set(models)
    return [row.id for row in open_rounds if row.id is not None and doomed & set(row.counts.get("trains_on", ()))]


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


def erase_ratings_on(session: Session, chosen: ColumnElement[bool]) -> None:
    """Deletes all votes and comparisons, and their history, on the messages of a condition."""
    hashes = select(Message.client_hmac).where(chosen)
    for table in (Vote, VoteEvent):
        session.execute(delete(table).where(col(table.message_hmac).in_(hashes)))
    for pairs in (Comparison, ComparisonEvent):
        session.execute(delete(pairs).where(or_(col(pairs.first_hmac).in_(hashes), col(pairs.second_hmac).in_(hashes))))


def _forget_texts(session: Session, conversations: Sequence[str]) -> None:
    """Conversations that lost a text lose the cluster of their texts too, and are curated again if they can be."""
    touched: set[str] = set()
    for chunk in _chunks(conversations):
        rows = session.exec(select(Conversation).where(col(Conversation.id).in_(chunk))).all()
        touched |= {row.pair_cluster_id for row in rows if row.pair_cluster_id is not None}
        session.execute(update(Conversation).where(col(Conversation.id).in_(chunk)).values(pair_cluster_id=None))
        corrections.curate_again(session, [row.id for row in rows if row.raw_deleted_at is None])
    clusters.forget_unused(session, touched)


def _chunks(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
