"""Queries about votes and satisfaction. A vote is kept by the keyed hash of its message, which may come later."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import update
from sqlmodel import Session, col, func, select

from service.store.bulk import Rows, fetch_where_in
from service.store.tables import Conversation, Message, Satisfaction, Vote, VoteEvent, new_ids, now

# the votes that stand on messages of an app, retracted ones included
STANDING = (
    'SELECT message_hmac, rater_hmac, id, value, reason, source, at, sealed_comment FROM "vote" '
    "WHERE app_id = {mark} AND message_hmac {in_values}"
)


class VoteKey(NamedTuple):
    """Whose vote on which message of which app, ids hashed."""

    app_id: str
    message_hmac: str
    rater_hmac: str


class StandingVote(NamedTuple):
    """A vote as it stands: 1 up, -1 down, 0 retracted. `at` is when it was given, where its sender said so."""

    id: str
    value: int
    reason: str | None = None
    source: str = "person"
    at: datetime | None = None
    sealed_comment: bytes | None = None


def record_votes(session: Session, changed: Mapping[VoteKey, StandingVote], known: Collection[VoteKey]) -> list[Rows]:
    """Makes these votes stand, each of which leaves an event; `known` are those that have a row.

    What is to be inserted for that is returned.
    """
    at, ids = now(), new_ids(len(changed))
    added = [{**_columns(key), **_row(vote), "updated_at": at} for key, vote in changed.items() if key not in known]
    for key, vote in changed.items():
        if key in known:
            session.execute(update(Vote).filter_by(id=vote.id).values(**_row(vote), updated_at=at))
    events = [
        {"id": id, **_columns(key), "value": vote.value, "at": at}
        for id, (key, vote) in zip(ids, changed.items(), strict=True)
    ]
    return [(Vote, added), (VoteEvent, events)]


def standing_votes(session: Session, keys: Sequence[VoteKey]) -> dict[VoteKey, StandingVote]:
    """Every vote that stands on the messages of these keys, retracted ones (0) included."""
    found: dict[VoteKey, StandingVote] = {}
    for app in {key.app_id for key in keys}:
        messages = sorted({key.message_hmac for key in keys if key.app_id == app})
        found |= standing_of(app, fetch_where_in(session.connection(), STANDING, messages, app))
    return found


def standing_of(app: str, rows: Iterable[Sequence[Any]]) -> dict[VoteKey, StandingVote]:
    """What `STANDING` found."""
    return {
        VoteKey(app, message, rater): StandingVote(
            id, value, reason, source, _time(at), None if comment is None else bytes(comment)
        )
        for message, rater, id, value, reason, source, at, comment in rows
    }


def _row(vote: StandingVote) -> dict[str, Any]:
    return {
        "id": vote.id,
        "value": vote.value,
        "reason": vote.reason,
        "source": vote.source,
        "at": vote.at,
        "sealed_comment": vote.sealed_comment,
    }


def _time(value: Any) -> datetime | None:
    """A time as the driver gives it: SQLite's as text without a zone."""
    if value is None:
        return None
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def message_roles(session: Session, hashes: Sequence[str]) -> dict[str, str]:
    """The roles of those messages that are stored, by keyed hash."""
    sql = 'SELECT client_hmac, role FROM "message" WHERE client_hmac {in_values}'
    return {row[0]: row[1] for row in fetch_where_in(session.connection(), sql, hashes)}


def record_satisfaction(session: Session, values: Mapping[str, int]) -> Rows:
    """Makes these satisfactions (1 to 5) stand, by conversation id. What is to be inserted for that is returned."""
    sql = 'SELECT conversation_id, value FROM "satisfaction" WHERE conversation_id {in_values}'
    rows = fetch_where_in(session.connection(), sql, list(values))
    standing = {row[0]: row[1] for row in rows}
    at = now()
    for id, value in values.items():
        if standing.get(id, value) != value:
            session.execute(update(Satisfaction).filter_by(conversation_id=id).values(value=value, updated_at=at))
    return first_satisfactions({id: value for id, value in values.items() if id not in standing})


def first_satisfactions(values: Mapping[str, int]) -> Rows:
    """What is to be inserted where none stands yet."""
    at = now()
    return Satisfaction, [{"conversation_id": id, "value": value, "updated_at": at} for id, value in values.items()]


def count_votes(session: Session, app: str, conversation_id: str) -> Counter[tuple[str, int]]:
    """How many votes of each value, given by people, stand on each message of a conversation, by the message's keyed id.

    A vote that came before its message may turn out to be on a user's; it counts for nothing.
    """
    hashes = select(Message.client_hmac).where(Message.conversation_id == conversation_id, Message.role == "assistant")
    query = (
        select(Vote.message_hmac, Vote.value, func.count())
        .where(Vote.app_id == app, col(Vote.message_hmac).in_(hashes), Vote.source == "person")
        .group_by(col(Vote.message_hmac), col(Vote.value))
    )
    return Counter({(message, value): count for message, value, count in session.exec(query).all()})


def count_votes_in(session: Session, conversations: Sequence[str]) -> Counter[tuple[str, int]]:
    """How many votes of each value, given by people, stand on the answers of each of these conversations."""
    answers = select(Message.client_hmac, Message.conversation_id).where(
        col(Message.conversation_id).in_(conversations), Message.role == "assistant"
    )
    at_home = dict(session.exec(answers).all())
    # never a join: SQLite would go through all votes of the app once for each conversation
    query = (
        select(Vote.message_hmac, Vote.value)
        .where(col(Vote.app_id).in_(select(Conversation.app_id).where(col(Conversation.id).in_(conversations))))
        .where(col(Vote.message_hmac).in_(list(at_home)), Vote.source == "person")
    )
    return Counter((at_home[message], value) for message, value in session.exec(query).all())


def tags_of(session: Session, app: str, conversation_id: str) -> dict[str, tuple[tuple[str, int], ...]]:
    """The reasons that people gave with their votes on each message of a conversation, with how many did."""
    hashes = select(Message.client_hmac).where(Message.conversation_id == conversation_id, Message.role == "assistant")
    query = (
        select(Vote.message_hmac, Vote.reason, func.count())
        .where(Vote.app_id == app, col(Vote.message_hmac).in_(hashes), Vote.value != 0, col(Vote.reason).is_not(None))
        .group_by(col(Vote.message_hmac), col(Vote.reason))
        .order_by(col(Vote.message_hmac), col(Vote.reason))
    )
    found: dict[str, tuple[tuple[str, int], ...]] = {}
    for message, reason, count in session.exec(query).all():
        found[message] = (*found.get(message, ()), (reason or "", count))
    return found


def _columns(key: VoteKey) -> dict[str, str]:
    return {"app_id": key.app_id, "message_hmac": key.message_hmac, "rater_hmac": key.rater_hmac}
