"""Forgets a person: destroys the key of all their text, and says what has learned from it."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from pipelines.errors import NotFound
from service.store import erasing, erasure
from service.store.people import app_id, wrapped_keys
from service.store.session import Store
from service.store.tables import Person
from service.vault import Vault

_CHUNK = 1_000


@dataclass(frozen=True)
class Receipt:
    """What forgetting did. `rounds` and `models` learned from the person; `cancelled` are rounds that were stopped.

    `scrubbed` is false if readers kept the database from emptying its log at once; it empties it later by itself.
    `keys_copied_at` is when the keys were last copied, as far as is known: that copy still holds the person's key.
    """

    id: str
    conversations: int
    rounds: tuple[int, ...]
    models: tuple[str, ...]
    cancelled: tuple[int, ...]
    scrubbed: bool
    keys_copied_at: datetime | None = None


@dataclass(frozen=True)
class Footprint:
    """What a person left, and what learned from it: what `forget` would take and touch.

    `ratings` are the votes and comparisons that they gave, on whosever messages.
    """

    conversations: int
    ratings: int
    corrections: int
    rounds: tuple[int, ...]
    models: tuple[str, ...]


def footprint(store: Store, vault: Vault, app: str, user: str) -> Footprint:
    """What would go if this user were forgotten now; changes nothing.

    Raises:
        NotFound: nothing is stored for this user.
    """
    with store.read() as session:
        app_row = app_id(session, app)
        found = None if app_row is None else _footprint(session, app_row, vault.person_hash(app_row, user))
    if found is None:
        raise _unknown(app)
    return found


def forget(store: Store, vault: Vault, app: str, user: str, actor: str = "cli") -> Receipt:
    """Makes everything that a user of an app ever sent unreadable, for good, and records it without their name.

    Their text, ids, votes, corrections, comparisons and hashes go, also those in conversations of others; models that learned from them are marked as tainted and rounds that are
    learning from them cancelled. What they send later begins anew under a new key.

    Raises:
        NotFound: nothing is stored for this user.
        Busy: others were in the way each time; nothing was forgotten.
    """
    with store.read() as session:
        app_row = app_id(session, app)
    done = None if app_row is None else erasing.erase(store, app_row, vault.person_hash(app_row, user), actor)
    if done is None:
        raise _unknown(app)
    return Receipt(
        done.erasure.id,
        done.conversations,
        done.rounds,
        done.models,
        done.cancelled,
        scrubbed=erasing.scrub(store),
        keys_copied_at=store.keys.copied_at(),
    )


def find_lost(store: Store) -> list[tuple[str, str]]:
    """App's id and keyed hash of everybody whose key is not in the key store, though nobody forgot them."""
    lost: list[tuple[str, str]] = []
    last = ""
    with store.read() as session:
        while people := _living(session, last):
            have = wrapped_keys(session, [one.id for one in people])
            lost += [(one.app_id, one.hmac) for one in people if one.id not in have]
            last = people[-1].id
    return lost


def forget_lost(store: Store, actor: str = "cli") -> int:
    """Forgets everybody whose key is lost, as nobody can read their text again; returns how many."""
    lost = find_lost(store)
    for app, hmac in lost:
        erasing.erase(store, app, hmac, actor)
    erasing.scrub(store)
    return len(lost)


def _living(session: Session, after: str) -> list[Person]:
    query = select(Person).where(col(Person.id) > after, col(Person.erased_at).is_(None))
    return list(session.exec(query.order_by(col(Person.id)).limit(_CHUNK)).all())


def _unknown(app: str) -> NotFound:
    return NotFound(f"nothing is stored for this user of the app {app!r}")


def _footprint(session: Session, app: str, hmac: str) -> Footprint | None:
    person, ratings = erasure.find_person(session, app, hmac), erasure.count_ratings(session, app, hmac)
    if person is None:
        return Footprint(0, ratings, 0, (), ()) if ratings else None  # somebody who only voted
    traces = erasure.traces_of(session, person.id, hmac)
    return Footprint(
        conversations=erasure.count_conversations(session, person.id),
        ratings=ratings,
        corrections=erasure.count_corrections(session, person.id),
        rounds=tuple(traces.rounds),
        models=tuple(traces.models),
    )
