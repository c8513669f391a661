"""Queries about raters: whoever voted, corrected or compared."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, union_all
from sqlmodel import Session, col, func, select

from service.store.tables import Comparison, ComparisonEvent, Conversation, Correction, Person, Vote, VoteEvent


@dataclass(frozen=True, slots=True)
class Rater:
    """`id` is the person's; `since` when anything of them was first seen."""

    id: str
    since: datetime


def all_raters(session: Session) -> dict[str, Rater]:
    """Everybody who ever gave feedback, by keyed hash and by person's id; empty if nobody did.

    First seen is the earliest of their first rating, their row, and the time of their first conversation. Somebody who
    voted before raters became people has the keyed hash for an id.
    """
    rated = _first_ratings(session)
    raters = {hmac: Rater(hmac, at) for hmac, at in rated.items()}
    if not rated and session.exec(select(Correction.id).limit(1)).first() is None:
        return {}
    for hmac, id, created, occurred in _people(session):
        since = min(at for at in (created, occurred, rated.get(hmac)) if at is not None)
        raters[hmac] = raters[id] = Rater(id, since)
    return raters


def _first_ratings(session: Session) -> dict[str, datetime]:
    """When each rater's first vote or comparison came, by keyed hash."""
    every = union_all(
        select(Vote.rater_hmac, col(Vote.updated_at).label("at")),
        select(VoteEvent.rater_hmac, VoteEvent.at),
        select(Comparison.rater_hmac, Comparison.updated_at),
        select(ComparisonEvent.rater_hmac, ComparisonEvent.at),
    ).subquery()
    query = select(every.c.rater_hmac, func.min(every.c.at)).group_by(every.c.rater_hmac)
    return {hmac: at for hmac, at in session.execute(query).all()}


def _people(session: Session) -> list[tuple[str, str, datetime, datetime | None]]:
    """Keyed hash, id, first seen and first conversation of the people among the raters."""
    hashes = [select(table.rater_hmac) for table in (Vote, VoteEvent, Comparison, ComparisonEvent)]
    rates = or_(*(col(Person.hmac).in_(query) for query in hashes), col(Person.id).in_(select(Correction.person_id)))
    query = (
        select(Person.hmac, Person.id, Person.created_at, func.min(Conversation.occurred_at))
        .join(Conversation, col(Conversation.person_id) == col(Person.id), isouter=True)
        .where(rates)
        .group_by(col(Person.hmac), col(Person.id), col(Person.created_at))
    )
    return [(row[0], row[1], row[2], row[3]) for row in session.exec(query).all()]
