"""Erasing a person in all three places: their rows, the list of who was erased, and their key, in this order.

Each step is found undone at the next start and done then (service/store/binding.py), so a kill in between takes nothing back.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from pipelines.errors import ArtifactError, Busy
from service.store import audit, erasure, fates
from service.store.bulk import fetch_where_in
from service.store.erasure_list import Erasure
from service.store.session import Store, is_collision
from service.store.tables import App, ErasureReceipt, Person, new_id, now

ORPHAN_DAYS = 30
_TRIES = 8
_SCRUB_SECONDS = 5.0
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Erased:
    """What erasing did; `erasure` is the line of the list."""

    erasure: Erasure
    conversations: int
    rounds: tuple[int, ...]
    models: tuple[str, ...]
    cancelled: tuple[int, ...]


def erase(store: Store, app: str, hmac: str, actor: str) -> Erased | None:
    """Erases the person of an app's id with this keyed hash; None if nothing is stored of them.

    Raises:
        Busy: others were in the way each time; nothing was erased.
        ArtifactError: the rows are erased, and the list or the key store cannot be written.
    """

    def work(session: Session) -> Erased | None:
        person, ratings = erasure.find_person(session, app, hmac), erasure.count_ratings(session, app, hmac)
        if person is None and not ratings:
            return None
        if person is None:  # somebody who voted before raters became people
            person = Person(app_id=app, hmac=hmac)
            session.add(person)
            session.flush()
        line = Erasure(id=new_id(), at=now(), app=app, person=person.id, hash=hmac)
        return _erase_rows(session, line, person, hmac, actor)

    done = _with_locks(store, work)
    if done is not None:
        _finish(store, done.erasure)
    return done


def replay(store: Store, line: Erasure) -> None:
    """Carries an erasure of the list out on rows that came back from before it. Raises Busy as `erase` does."""

    def work(session: Session) -> None:
        if session.get(ErasureReceipt, line.id) is not None:
            return
        person = session.get(Person, line.person)
        if person is None and _has_ratings_of_nobody(session, line):
            person = Person(id=line.person, app_id=line.app, hmac=line.hash)
            session.add(person)
            session.flush()
        if person is None:  # these rows never knew the person
            session.add(ErasureReceipt(id=line.id, person_id=line.person, at=line.at, conversations=0))
        else:
            _erase_rows(session, line, person, line.hash or person.hmac, "restore")

    _with_locks(store, work)


def scrub(store: Store) -> bool:
    """Removes what deletions left in the files of rows and keys; False if readers kept it from finishing."""
    deadline = time.monotonic() + _SCRUB_SECONDS
    while not (store.scrub() and store.keys.scrub()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def sweep_orphans(store: Store, at: datetime) -> int:
    """Deletes keys of people whom the rows do not know, made more than ORPHAN_DAYS ago; returns how many.

    A kill between key and row leaves one, and so does a restored database: a newer one may yet take its place.
    """
    newest_to_go = f"{int((at - timedelta(days=ORPHAN_DAYS)).timestamp() * 1000):012x}"
    swept = 0
    for people in store.keys.people():
        with store.read() as session:
            sql = 'SELECT id FROM "person" WHERE id {in_values}'
            known = {row[0] for row in fetch_where_in(session.connection(), sql, people)}
        swept += store.keys.delete(id for id in people if id not in known and id[:12] < newest_to_go)
    return swept


def _finish(store: Store, line: Erasure) -> None:
    try:
        try:
            store.erasures.append([line])
        finally:
            store.keys.delete([line.person])
    except (OSError, SQLAlchemyError) as error:
        raise ArtifactError(
            f"the person's rows are erased, but {store.erasures.path} or {store.keys.where} cannot be written "
            f"({type(error).__name__}): mend that, and the next start of any command erases them there too"
        ) from error


def _has_ratings_of_nobody(session: Session, line: Erasure) -> bool:
    """Whether somebody without a row rated under this hash; somebody with one came back, and begins anew."""
    if not line.hash or session.get(App, line.app) is None:
        return False
    known = erasure.find_person(session, line.app, line.hash)
    return known is None and erasure.count_ratings(session, line.app, line.hash) > 0


def _with_locks(store: Store, work: Callable[[Session], _Result]) -> _Result:
    """The result of work in one transaction that nobody's ingest, curation or snapshot can be in the middle of."""
    for attempt in range(1, _TRIES + 1):
        try:
            with store.begin() as session:
                for lock in ("erasure", "clusters", "ingest"):
                    store.lock(session, lock)
                return work(session)
        except DBAPIError as error:
            if not is_collision(error):
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise Busy(f"nothing was forgotten: the database ended this {_TRIES} times in favour of others; try again")


def _erase_rows(session: Session, line: Erasure, person: Person, hmac: str, actor: str) -> Erased:
    erasure.lock_conversations(session, person.id)
    conversations = erasure.count_conversations(session, person.id)
    traces = erasure.traces_of(session, person.id, hmac)
    ratings = erasure.erase_ratings(session, person.app_id, hmac)
    corrections = erasure.erase_corrections(session, person.id)
    erasure.erase_text(session, person.id)
    _forget_hash(session, person, line.at)
    fates.rename_rater(session, hmac, person.id)
    doomed = {*traces.rounds, *erasure.rounds_on_top(session, traces.models)}
    cancelled = erasure.cancel_rounds(session, sorted(doomed))
    erasure.taint(session, traces.models, line.at)
    session.add(
        ErasureReceipt(
            id=line.id,
            person_id=person.id,
            at=line.at,
            conversations=conversations,
            rounds=traces.rounds,
            models=traces.models,
        )
    )
    counts = {"conversations": conversations, "ratings": ratings, "corrections": corrections} | traces._asdict()
    audit.record(session, actor, "person_forgotten", person.id, counts, line.at)
    return Erased(line, conversations, tuple(traces.rounds), tuple(traces.models), tuple(cancelled))


def _forget_hash(session: Session, person: Person, at: datetime) -> None:
    """The hash by which the person would be known again goes, and with it the way to their row."""
    person.erased_at, person.hmac = at, f"erased:{person.id}"
    session.add(person)
