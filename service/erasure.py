"""Forgets a person: destroys the key of all their text, and says what has learned from it."""

import random
import time
from dataclasses import dataclass, replace

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from pipelines.errors import Busy, NotFound
from service.store import audit, erasure, fates
from service.store.people import app_id
from service.store.session import Store, is_collision
from service.store.tables import ErasureReceipt, Person, now
from service.vault import Vault

_SCRUB_SECONDS = 5.0
_TRIES = 8


@dataclass(frozen=True)
class Receipt:
    """What forgetting did. `rounds` and `models` learned from the person; `cancelled` are rounds that were stopped.

    `scrubbed` is false if readers kept the database from emptying its log at once; it empties it later by itself.
    """

    id: str
    conversations: int
    rounds: tuple[int, ...]
    models: tuple[str, ...]
    cancelled: tuple[int, ...]
    scrubbed: bool


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
    for attempt in range(1, _TRIES + 1):
        try:
            receipt = _forget_once(store, vault, app, user, actor)
        except DBAPIError as error:
            if not is_collision(error):
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
        else:
            return replace(receipt, scrubbed=_scrub(store))
    raise Busy(f"nothing was forgotten: the database ended this {_TRIES} times in favour of others; try again")


def _forget_once(store: Store, vault: Vault, app: str, user: str, actor: str) -> Receipt:
    with store.begin() as session:
        for lock in ("erasure", "clusters", "ingest"):
            store.lock(session, lock)
        app_row = app_id(session, app)
        found = None if app_row is None else _erase(session, app_row, vault.person_hash(app_row, user), actor)
        if found is None:
            raise _unknown(app)
    return found


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


def _erase(session: Session, app: str, hmac: str, actor: str) -> Receipt | None:
    at, person = now(), erasure.find_person(session, app, hmac)
    ratings = erasure.erase_ratings(session, app, hmac)
    if person is None:
        if not ratings:
            return None
        person = Person(app_id=app, hmac=hmac)  # somebody who only voted
        session.add(person)
        session.flush()
    erasure.lock_conversations(session, person.id)
    conversations = erasure.count_conversations(session, person.id)
    traces = erasure.traces_of(session, person.id, hmac)
    corrections = erasure.erase_corrections(session, person.id)
    erasure.erase_text(session, person.id)
    erasure.erase_key(session, person, at)
    fates.rename_rater(session, hmac, person.id)
    cancelled = erasure.cancel_rounds(session, traces.rounds)
    erasure.taint(session, traces.models, at)
    receipt = ErasureReceipt(
        person_id=person.id, at=at, conversations=conversations, rounds=traces.rounds, models=traces.models
    )
    session.add(receipt)
    counts = {"conversations": conversations, "ratings": ratings, "corrections": corrections} | traces._asdict()
    audit.record(session, actor, "person_forgotten", person.id, counts, at)
    return Receipt(
        receipt.id, conversations, tuple(traces.rounds), tuple(traces.models), tuple(cancelled), scrubbed=False
    )


def _scrub(store: Store) -> bool:
    deadline = time.monotonic() + _SCRUB_SECONDS
    while not store.scrub():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
