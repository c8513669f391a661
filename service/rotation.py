"""Changes the master key: every person's key is wrapped anew, in one transaction of the key store.

    1. the new key is written beside the old one        keys/master.key.next (a key of the environment is given)
    2. the key store: every key wrapped anew, and the first master key sealed under the new one; one transaction
    3. the new key's file takes the old one's place

A kill before 2 has changed nothing; after 2 the next start of any command finds that the waiting key opens the key store
and does 3. The data's database is not touched, so backups of before go with the new key.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import col, func, select

from pipelines.errors import Busy, InputError
from service.master_key import parse_key, use_next_key, write_next_key
from service.settings import Settings
from service.store import audit
from service.store.clock import database_time
from service.store.session import Store
from service.store.tables import WorkerSeen
from service.vault import Vault, open_vault

_SILENT = timedelta(seconds=30)


@dataclass(frozen=True)
class Rotated:
    """How many people's keys were wrapped anew; `scrubbed` is false where readers kept old bytes in the store's files."""

    people: int
    scrubbed: bool


def rotate_master_key(settings: Settings, store: Store, vault: Vault, given: str | None, actor: str) -> Rotated:
    """Puts a new master key in place of the present one; nothing else of the service may run.

    Args:
        given: the new key where the present one is in the environment, in hex or base64; None for a key file.

    Raises:
        Busy: a worker is alive.
        InputError: a key is given and the present one is in a file, or the other way round; it is malformed.
    """
    if (given is None) is (settings.master_key is not None):
        raise InputError(
            "the master key is in a file, and a new one is made by itself: give none"
            if given is not None
            else "the master key is in the environment: send the new one (openssl rand -hex 32) to standard input"
        )
    _refuse_workers(store)
    successor = vault.successor(write_next_key(settings) if given is None else parse_key(given))
    people = store.keys.rewrap(
        lambda person, wrapped: successor.wrap(person, vault.open_person_key(person, wrapped)), successor.seal_root()
    )
    if given is None:
        use_next_key(settings)
        open_vault(settings, store)  # with the file as it is now; it also notes the first key's copy in the database
    with store.begin() as session:
        audit.record(session, actor, "master_key_rotated", "master_key", {"people": people})
    return Rotated(people, store.keys.scrub())


def _refuse_workers(store: Store) -> None:
    with store.read() as session:
        living = WorkerSeen.at > database_time(session) - _SILENT
        count = session.exec(
            select(func.count()).select_from(WorkerSeen).where(living, col(WorkerSeen.ended).is_(False))
        ).one()
    if count:
        raise Busy(f"{count} workers were alive within the last {_SILENT.seconds} s: stop the whole service first")
