"""Queries about comparisons. Like a vote, one is kept by the keyed hashes of its messages, which may come later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, update
from sqlmodel import Session, col, select

from service.store.bulk import fetch_where_in, insert_ignoring_conflicts
from service.store.tables import Comparison, ComparisonEvent, Message, new_id, now


@dataclass(frozen=True, slots=True)
class ComparisonKey:
    """Who of which app compared which two answers, ids hashed, the smaller hash first."""

    app_id: str
    rater_hmac: str
    first_hmac: str
    second_hmac: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored message stands."""

    conversation_id: str
    parent_id: str | None
    role: str


@dataclass(frozen=True, slots=True)
class StandingComparison:
    """A comparison that is not retracted, by the keyed client ids of its answers."""

    id: str
    chosen_hmac: str
    rejected_hmac: str
    rater_hmac: str
    at: datetime
    source: str = "person"


@dataclass(frozen=True, slots=True)
class Preference:
    """What somebody prefers: 1 the first is better, -1 the second, 0 retracted; and how we know."""

    value: int
    source: str = "person"
    at: datetime | None = None


def record_comparisons(session: Session, values: Mapping[ComparisonKey, Preference]) -> None:
    """Makes these comparisons stand; changes leave an event each."""
    standing = standing_values(session, list(values))
    changed = {key: one for key, one in values.items() if key not in standing or standing[key].value != one.value}
    at = now()
    added = [
        {"id": new_id(), **_columns(key), **_row(one), "updated_at": at}
        for key, one in changed.items()
        if key not in standing
    ]
    insert_ignoring_conflicts(session.connection(), Comparison, added)
    for key, one in changed.items():
        if key in standing:
            session.execute(update(Comparison).filter_by(**_columns(key)).values(**_row(one), updated_at=at))
    events = [{"id": new_id(), **_columns(key), "value": one.value, "at": at} for key, one in changed.items()]
    insert_ignoring_conflicts(session.connection(), ComparisonEvent, events)


def _row(one: Preference) -> dict[str, Any]:
    return {"value": one.value, "source": one.source, "at": one.at}


def standing_values(session: Session, keys: Sequence[ComparisonKey]) -> dict[ComparisonKey, Preference]:
    """Every comparison known on these first messages, retracted ones (0) included; without their times."""
    found: dict[ComparisonKey, Preference] = {}
    sql = (
        "SELECT rater_hmac, first_hmac, second_hmac, value, source "
        'FROM "comparison" WHERE app_id = {mark} AND first_hmac {in_values}'
    )
    for app in {key.app_id for key in keys}:
        messages = sorted({key.first_hmac for key in keys if key.app_id == app})
        for rater, first, second, value, source in fetch_where_in(session.connection(), sql, messages, app):
            found[ComparisonKey(app, rater, first, second)] = Preference(value, source)
    return found


def places(session: Session, hashes: Sequence[str]) -> dict[str, Place]:
    """Where those messages stand that are stored, by keyed client id."""
    sql = 'SELECT client_hmac, conversation_id, parent_id, role FROM "message" WHERE client_hmac {in_values}'
    return {row[0]: Place(row[1], row[2], row[3]) for row in fetch_where_in(session.connection(), sql, hashes)}


def comparisons_on(session: Session, conversations: Sequence[str]) -> list[StandingComparison]:
    """The comparisons that stand on a message of these conversations, oldest first, each once."""
    hashes = select(Message.client_hmac).where(col(Message.conversation_id).in_(conversations))
    query = (
        select(Comparison)
        .where(or_(col(Comparison.first_hmac).in_(hashes), col(Comparison.second_hmac).in_(hashes)))
        .where(col(Comparison.value) != 0)
        .order_by(col(Comparison.updated_at), col(Comparison.id))
    )
    return [_standing(row) for row in session.exec(query).all()]


def all_comparisons(session: Session) -> list[StandingComparison]:
    """Every comparison that stands, oldest first."""
    query = select(Comparison).where(col(Comparison.value) != 0)
    return [
        _standing(row) for row in session.exec(query.order_by(col(Comparison.updated_at), col(Comparison.id))).all()
    ]


def _standing(row: Comparison) -> StandingComparison:
    chosen, rejected = row.first_hmac, row.second_hmac
    if row.value < 0:
        chosen, rejected = rejected, chosen
    return StandingComparison(row.id, chosen, rejected, row.rater_hmac, row.at or row.updated_at, row.source)


def _columns(key: ComparisonKey) -> dict[str, str]:
    return {
        "app_id": key.app_id,
        "rater_hmac": key.rater_hmac,
        "first_hmac": key.first_hmac,
        "second_hmac": key.second_hmac,
    }
