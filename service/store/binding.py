"""Ties a database to what is kept apart from it, whenever one is opened: its key store, and the list of who was erased.

A database that was restored holds people who were forgotten since, and so may a key store. Before anything else runs,
the list is carried out on both, and what only the rows tell of is added to the list: erasure is never taken back.
"""

from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select, update

from pipelines.errors import ArtifactError, InputError
from service.store import erasing
from service.store.bulk import insert_ignoring_conflicts
from service.store.corrections import curate_again
from service.store.curation import KEY_GONE
from service.store.erasure_list import Erasure
from service.store.keystore import KeyStore
from service.store.people import wrapped_keys
from service.store.session import Store
from service.store.tables import BoundKeyStore, Conversation, ErasureReceipt, Person, Quarantine

_Answer = TypeVar("_Answer")
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def bind_key_store(store: Store) -> None:
    """Binds the database to the key store at first use, and refuses another one later.

    Raises:
        InputError: the people of this database have their keys in another key store than the one that is here.
        ArtifactError: the key store cannot be read.
    """
    bound = _bound(store)
    if bound is None:
        named = {"id": 1, "name": _asked(store.keys, KeyStore.ensure_name), "scrubbed": True}
        with store.begin() as session:
            insert_ignoring_conflicts(session.connection(), BoundKeyStore, [named])
        bound = _bound(store)
    if bound is None or _asked(store.keys, KeyStore.name) != bound.name:
        raise InputError(
            f"the keys of this database's people are not in the key store {store.keys.where}, and their text cannot be "
            "read without them: put back the newest copy of the keys (docs/operating.md, Restore). If there is none, "
            "`perennial db forget-lost` forgets everybody whose key is lost"
        )
    if not bound.scrubbed:
        _scrub_moved_keys(store)


def rebind_key_store(store: Store) -> None:
    """Binds the database to the key store that is here, whichever it was bound to: the other one is lost for good."""
    name = store.keys.ensure_name()
    with store.begin() as session:
        session.execute(update(BoundKeyStore).values(name=name))


def settle_erasures(store: Store) -> int:
    """Carries out every erasure that the list, the rows or the key store know of on all three; returns how many rows lacked.

    Raises:
        ArtifactError: the list cannot be read.
    """
    receipts = _receipts(store)
    listed = store.erasures.read()
    missing = [one for id, one in listed.items() if id not in receipts]
    for one in missing:
        erasing.replay(store, one)
    store.erasures.append([one for id, one in receipts.items() if id not in listed])
    people = {one.person for one in (*receipts.values(), *listed.values())}
    if people and store.keys.delete(people):
        store.keys.scrub()
    if missing:
        store.scrub()
        _log.warning("erasures_carried_out_again", people=len(missing))
    return len(missing)


def curate_what_opens_again(store: Store) -> int:
    """Lets conversations wait for curation again whose key was gone then and is there now; returns how many."""
    with store.read() as session:
        query = select(Conversation.id, Conversation.person_id).join(
            Quarantine, col(Quarantine.conversation_id) == col(Conversation.id)
        )
        closed = session.exec(query.where(Quarantine.reason == KEY_GONE, Conversation.state == "quarantined")).all()
        have = wrapped_keys(session, sorted({person for _, person in closed}))
    again = [id for id, person in closed if person in have]
    if again:
        with store.begin() as session:
            curate_again(session, again)
    return len(again)


def _asked(keys: KeyStore, question: Callable[[KeyStore], _Answer]) -> _Answer:
    """The key store's answer: what is wrong with it must not be taken for a fault of the database of the data."""
    try:
        return question(keys)
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise ArtifactError(
            f"the key store {keys.where} cannot be read ({reason}): mend that, or put back the newest copy of the keys "
            "(docs/operating.md, Restore)"
        ) from error


def _bound(store: Store) -> BoundKeyStore | None:
    with store.read() as session:
        return session.get(BoundKeyStore, 1)


def _scrub_moved_keys(store: Store) -> None:
    """Removes what the keys left in the database's files when they moved out of it."""
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM (FULL) person")
    elif not store.scrub():
        return  # somebody reads; the next start tries again
    with store.begin() as session:
        session.execute(update(BoundKeyStore).values(scrubbed=True))


def _receipts(store: Store) -> dict[str, Erasure]:
    """The erasures that the rows tell of, by receipt."""
    with store.read() as session:
        return {row.id: _listed(session, row) for row in session.exec(select(ErasureReceipt)).all()}


def _listed(session: Session, receipt: ErasureReceipt) -> Erasure:
    person = session.get(Person, receipt.person_id)
    return Erasure(id=receipt.id, at=receipt.at, app=person.app_id if person else "", person=receipt.person_id)
