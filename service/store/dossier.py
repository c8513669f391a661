"""Queries of a person's own data: what they sent, what they said of answers, and what rounds made of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlmodel import Session, col, or_, select

from service.store.tables import (
    CleanMessage,
    Comparison,
    ComparisonEvent,
    Conversation,
    Correction,
    FeedbackFate,
    Message,
    SnapshotItem,
    SnapshotWriter,
    Vote,
    VoteEvent,
)

_AT_A_TIME = 200


class Place(NamedTuple):
    """Where a message stands that feedback is about; `conversation` is the database's id."""

    conversation: str
    position: int


def conversations_of(session: Session, person: str) -> Iterator[Sequence[Conversation]]:
    """A person's conversations, oldest first, some at a time."""
    last = ""
    while True:
        query = select(Conversation).where(Conversation.person_id == person, col(Conversation.id) > last)
        rows = session.exec(query.order_by(col(Conversation.id)).limit(_AT_A_TIME)).all()
        if not rows:
            return
        yield rows
        last = rows[-1].id


def clean_of(session: Session, conversations: Sequence[Conversation]) -> dict[str, CleanMessage]:
    """The newest anonymized text of each message of these conversations, by message."""
    query = select(CleanMessage).where(col(CleanMessage.conversation_id).in_([one.id for one in conversations]))
    found: dict[str, CleanMessage] = {}
    for row in session.exec(query.order_by(col(CleanMessage.revision))).all():
        found[row.message_id] = row
    return found


def corrections_in(session: Session, conversations: Sequence[Conversation]) -> dict[str, Correction]:
    """The corrections among the messages of these conversations, by the message that holds their text."""
    query = select(Correction).join(Message, col(Message.id) == col(Correction.message_id))
    ids = [one.id for one in conversations]
    return {row.message_id: row for row in session.exec(query.where(col(Message.conversation_id).in_(ids))).all()}


def uses_of_conversations(session: Session, person: str) -> dict[str, list[SnapshotItem]]:
    """What rounds decided about a person's conversations, by conversation, oldest round first."""
    found: dict[str, list[SnapshotItem]] = defaultdict(list)
    query = select(SnapshotItem).where(SnapshotItem.person_id == person).order_by(col(SnapshotItem.round_id))
    for row in session.exec(query).all():
        found[row.conversation_id].append(row)
    return found


def corrections_by(session: Session, person: str) -> list[tuple[Correction, Message, Conversation]]:
    """A person's corrections with the message that holds each text and its conversation, oldest first."""
    query = (
        select(Correction, Message, Conversation)
        .join(Message, col(Message.id) == col(Correction.message_id))
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(Correction.person_id == person)
        .order_by(col(Correction.id))
    )
    return [(one, message, conversation) for one, message, conversation in session.exec(query).all()]


def votes_by(session: Session, app: str, rater_hmac: str) -> list[Vote]:
    """A person's votes as they stand."""
    return list(session.exec(select(Vote).where(Vote.app_id == app, Vote.rater_hmac == rater_hmac)).all())


def vote_history(session: Session, app: str, rater_hmac: str) -> dict[str, list[VoteEvent]]:
    """Every change of a person's votes by the message's keyed id, oldest first."""
    query = select(VoteEvent).where(VoteEvent.app_id == app, VoteEvent.rater_hmac == rater_hmac)
    found: dict[str, list[VoteEvent]] = defaultdict(list)
    for row in session.exec(query.order_by(col(VoteEvent.id))).all():
        found[row.message_hmac].append(row)
    return found


def comparisons_by(session: Session, app: str, rater_hmac: str) -> list[Comparison]:
    """A person's comparisons as they stand."""
    query = select(Comparison).where(Comparison.app_id == app, Comparison.rater_hmac == rater_hmac)
    return list(session.exec(query).all())


def comparison_history(session: Session, app: str, rater_hmac: str) -> dict[tuple[str, str], list[ComparisonEvent]]:
    """Every change of a person's comparisons by the keyed ids of the pair, oldest first."""
    query = select(ComparisonEvent).where(ComparisonEvent.app_id == app, ComparisonEvent.rater_hmac == rater_hmac)
    found: dict[tuple[str, str], list[ComparisonEvent]] = defaultdict(list)
    for row in session.exec(query.order_by(col(ComparisonEvent.id))).all():
        found[row.first_hmac, row.second_hmac].append(row)
    return found


def places(session: Session, app: str, hashes: Sequence[str]) -> Mapping[str, Place]:
    """Where the messages of an app with these keyed ids stand."""
    found: dict[str, Place] = {}
    for start in range(0, len(hashes), _AT_A_TIME):
        query = (
            select(Message)
            .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
            .where(Conversation.app_id == app, col(Message.client_hmac).in_(hashes[start : start + _AT_A_TIME]))
        )
        for one in session.exec(query).all():
            found[one.client_hmac] = Place(one.conversation_id, one.position)
    return found


def fates_by(session: Session, person: str, hmac: str) -> list[FeedbackFate]:
    """What rounds made of a person's votes, corrections and comparisons, oldest first."""
    query = select(FeedbackFate).where(or_(FeedbackFate.rater == person, FeedbackFate.rater == hmac))
    return list(session.exec(query.order_by(col(FeedbackFate.id))).all())


def written_in(session: Session, person: str) -> list[SnapshotWriter]:
    """Rounds that trained on corrections which the person wrote in conversations of others, with their tokens."""
    query = select(SnapshotWriter).where(SnapshotWriter.person_id == person)
    return list(session.exec(query.order_by(col(SnapshotWriter.round_id))).all())
