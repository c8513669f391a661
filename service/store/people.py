"""Queries about apps and people."""

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import Session, select

from service.store.bulk import fetch_where_in, insert_ignoring_conflicts
from service.store.tables import App, Person, new_id, now


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


def people_by_hash(session: Session, app: str, hashes: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    """The id and wrapped key of each person of an app who is known, by keyed hash."""
    sql = 'SELECT hmac, id, wrapped_key FROM "person" WHERE app_id = {mark} AND hmac {in_values}'
    return {row[0]: (row[1], row[2]) for row in fetch_where_in(session.connection(), sql, hashes, app)}


def add_people(session: Session, app: str, people: Mapping[str, tuple[str, bytes]]) -> None:
    """Stores new people: keyed hash -> (id, wrapped key)."""
    rows = [
        {"id": id, "app_id": app, "hmac": hmac, "wrapped_key": wrapped, "created_at": now()}
        for hmac, (id, wrapped) in people.items()
    ]
    insert_ignoring_conflicts(session.connection(), Person, rows)


def wrapped_key(session: Session, person_id: str) -> bytes | None:
    """A person's wrapped key, None once the person was forgotten."""
    return session.exec(select(Person.wrapped_key).where(Person.id == person_id)).first()


def _app_ids(session: Session, names: set[str]) -> dict[str, str]:
    sql = 'SELECT name, id FROM "app" WHERE name {in_values}'
    return {row[0]: row[1] for row in fetch_where_in(session.connection(), sql, sorted(names))}
