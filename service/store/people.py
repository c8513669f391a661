"""Queries about apps, people, and raters: whoever voted, corrected or compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, union_all
from sqlmodel import Session, col, func, select

from service.store.bulk import Rows, fetch_where_in, insert_ignoring_conflicts, insert_together
from service.store.keystore import KeyStore, NewKeys
from service.store.tables import (
    App,
    Comparison,
    ComparisonEvent,
    Conversation,
    Correction,
    Person,
    Vote,
    VoteEvent,
    new_id,
    now,
)

# the people of an app by the keyed hash of its id
IDS = 'SELECT hmac, id FROM "person" WHERE app_id = {mark} AND hmac {in_values}'


@dataclass(frozen=True, slots=True)
class Rater:
    """`id` is the person's; `since` when anything of them was first seen."""

    id: str
    since: datetime


def app_ids(session: Session, names: Iterable[str]) -> dict[str, str]:
    """The ids of apps by name; an app that is new is made."""
    wanted = set(names)
    found = _app_ids(session, wanted)
    if missing := sorted(wanted - set(found)):
        rows = [{"id": new_id(), "name": name, "created_at": now()} for name in missing]
        insert_ignoring_conflicts(session.connection(), App, rows)
        found = _app_ids(session, wanted)
    return found


def app_id(session: Session, name: str) -> str | None:
    """The id of an app, or None if nothing was ever stored under that name."""
    return session.exec(select(App.id).where(App.name == name)).first()


def all_apps(session: Session) -> list[tuple[str, str]]:
    """Ids and names of all apps, by name."""
    return [(app.id, app.name) for app in session.exec(select(App).order_by(App.name))]


def people_by_hash(session: Session, app: str, hashes: Sequence[str]) -> dict[str, tuple[str, bytes | None]]:
    """The id and wrapped key of each person of an app who is known, by keyed hash; None for one whose key is lost."""
    ids = ids_by_hash(session, app, hashes)
    wrapped = wrapped_keys(session, list(ids.values()))
    return {hmac: (id, wrapped.get(id)) for hmac, id in ids.items()}


def ids_by_hash(session: Session, app: str, hashes: Sequence[str]) -> dict[str, str]:
    """The id of each person of an app who is known, by keyed hash."""
    return {row[0]: row[1] for row in fetch_where_in(session.connection(), IDS, hashes, app)}


def known_hashes(session: Session, app: str, hashes: Sequence[str]) -> set[str]:
    """Those of these keyed hashes that are people of the app."""
    sql = 'SELECT hmac FROM "person" WHERE app_id = {mark} AND hmac {in_values}'
    return {row[0] for row in fetch_where_in(session.connection(), sql, hashes, app)}


def add_people(session: Session, app: str, people: Mapping[str, tuple[str, bytes]]) -> None:
    """Stores new people: keyed hash -> (id, wrapped key)."""
    insert_together(session.connection(), [introduce(session, app, people)])


def introduce(session: Session, app: str, people: Mapping[str, tuple[str, bytes]]) -> Rows:
    """As `add_people`, but the rows of the people are returned, to be inserted together with others; the keys are noted."""
    at = now()
    add_keys(session, dict(people.values()))
    return Person, [{"id": id, "app_id": app, "hmac": hmac, "created_at": at} for hmac, (id, _) in people.items()]


def add_keys(session: Session, keys: Mapping[str, bytes]) -> None:
    """Stores wrapped keys by person, before the session's transaction is committed."""
    new: NewKeys = session.info["new_keys"]
    new.add(keys)


def send_keys(session: Session) -> None:
    """Begins to store the keys that were added, so that the transaction waits less for them at its end."""
    new: NewKeys = session.info["new_keys"]
    new.send()


def wrapped_keys(session: Session, people: Sequence[str]) -> dict[str, bytes]:
    """The wrapped keys of those of these people who were not forgotten."""
    new: NewKeys = session.info["new_keys"]
    stored: KeyStore = session.info["keys"]
    found = new.of(people)
    return found | stored.wrapped([id for id in people if id not in found])


def wrapped_key(session: Session, person_id: str) -> bytes | None:
    """A person's wrapped key, None once the person was forgotten."""
    return wrapped_keys(session, [person_id]).get(person_id)


def has_lost_newest_key(session: Session) -> bool:
    """Whether the newest person who was not forgotten has no key: then the key store is older than these rows."""
    living = select(Person.id).where(col(Person.erased_at).is_(None))
    newest = session.exec(living.order_by(col(Person.id).desc()).limit(1)).first()
    return newest is not None and wrapped_key(session, newest) is None


def _app_ids(session: Session, names: set[str]) -> dict[str, str]:
    sql = 'SELECT name, id FROM "app" WHERE name {in_values}'
    return {row[0]: row[1] for row in fetch_where_in(session.connection(), sql, sorted(names))}


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
