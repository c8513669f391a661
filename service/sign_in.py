"""Signing in with a name and a password, and how often somebody may try: counted in the database, for every web process.

    10 attempts in vain under one name, 50 from one address, within 15 minutes; until they are over nobody gets further

An attempt counts before its password is looked at, so that many at once get no more of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import Session

from pipelines.errors import InputError, PerennialError
from service.passwords import hash_password, is_outdated, is_password
from service.store import audit, sign_ins, users
from service.store.clock import database_time
from service.store.session import Store
from service.store.tables import User
from service.users import checked_name, set_password
from service.vault import Vault

WINDOW = timedelta(minutes=15)
PER_NAME, PER_ADDRESS = 10, 50


class TooManyAttempts(PerennialError):
    """Too many attempts failed under a name or from an address; `seconds` until the next may be made."""

    def __init__(self, seconds: int) -> None:
        minutes = -(-seconds // 60)
        super().__init__(
            f"too many attempts to sign in failed; try again in {'a minute' if minutes == 1 else f'{minutes} minutes'}"
        )
        self.seconds = seconds


@dataclass(frozen=True)
class SignedIn:
    """Whose session begins, and in which generation of theirs."""

    user_id: str
    generation: int


def sign_in(store: Store, vault: Vault, name: str, password: str, address: str) -> SignedIn | None:
    """Whose name and password these are; None where they are nobody's, or the user is disabled.

    `address` is where the attempt comes from. Takes about a tenth of a second and 64 MiB.

    Raises:
        TooManyAttempts: whatever the password is.
    """
    by_name, by_address = _name_subject(vault, name), _address_subject(vault, address)
    _reserve(store, ((by_name, PER_NAME), (by_address, PER_ADDRESS)))
    with store.read() as session:
        row = _find(session, name)
        kept = None if row is None or row.disabled_at is not None else row.password
    if not is_password(kept, password) or kept is None:
        return None
    fresh = hash_password(password) if is_outdated(kept) else kept
    with store.begin() as session:
        store.lock(session, "users")
        row = _find(session, name)
        if row is None or row.password != kept or row.disabled_at is not None:
            return None  # changed while the password was looked at
        row.signed_in_at, row.password = database_time(session), fresh
        session.add(row)
        sign_ins.forget(session, by_name)
        sign_ins.count_back(session, by_address)
        audit.record(session, f"user:{row.name}", "signed_in", row.name)
        return SignedIn(row.id, row.generation)


def count_wrong_key(store: Store, vault: Vault, address: str) -> None:
    """Counts an attempt to sign in with a key that nobody holds. Raises TooManyAttempts."""
    _reserve(store, ((_address_subject(vault, address), PER_ADDRESS),))


def renew_password(store: Store, vault: Vault, name: str, password: str, actor: str) -> SignedIn:
    """As `users.set_password`; what failed under the name is forgotten."""
    set_password(store, name, password, actor)
    with store.begin() as session:
        store.lock(session, "users")
        sign_ins.forget(session, _name_subject(vault, name))
        row = _find(session, name)
        assert row is not None  # a user is never deleted
        return SignedIn(row.id, row.generation)


def _reserve(store: Store, subjects: Sequence[tuple[str, int]]) -> None:
    """Counts an attempt for each subject, of which so many may fail."""
    with store.begin() as session:
        store.lock(session, "users")
        at = database_time(session)
        sign_ins.forget_before(session, at - WINDOW)
        for subject, most in subjects:
            row = sign_ins.find(session, subject)
            if row is not None and row.number >= most:
                raise TooManyAttempts(max(1, int((row.since + WINDOW - at).total_seconds())))
        for subject, _ in subjects:
            sign_ins.count(session, subject, at)


def _name_subject(vault: Vault, name: str) -> str:
    """A keyed hash: what is typed as a name may be a password."""
    try:
        return vault.attempt_hash("name", checked_name(name))
    except InputError:
        return vault.attempt_hash("no name", "")


def _address_subject(vault: Vault, address: str) -> str:
    return vault.attempt_hash("address", address)


def _find(session: Session, name: str) -> User | None:
    try:
        return users.find_user(session, checked_name(name))
    except InputError:
        return None
