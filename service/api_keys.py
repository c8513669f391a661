"""API keys: 256 random bits shown once, kept as SHA-256, each with an app and scopes.

perennial keys create web --app shop --scopes ingest,read   ->  pk_8Zr...
"""

import ipaddress
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import Busy, InputError, NotFound, PerennialError, Refused
from service.store import api_keys, audit, users
from service.store.api_keys import StoredKey
from service.store.people import app_ids
from service.store.session import Store
from service.store.tables import ApiKey, now

SCOPES = ("ingest", "read", "review", "operate", "chat", "people", "rounds", "models", "admin")
EVERY_APP = ("review", "operate", "rounds", "models", "admin")  # a model learns from every app and answers every app
MAX_OVERLAP = timedelta(days=90)
_PREFIX = "pk_"


class Forbidden(PerennialError):
    """A key without the right, or a request that this server does not answer to."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. `app` None means that it may speak for any app.

    `key` is the key's id, for a user `user:` and theirs (service/users.py), None where nobody needed either.
    """

    label: str
    app: str | None
    scopes: frozenset[str]
    key: str | None = None
    kind: Literal["key", "user"] = "key"

    def __str__(self) -> str:
        return f"the {self.kind} {self.label!r}"

    @property
    def actor(self) -> str:
        """Who this is in the audit: `key:shop`, `user:anna`."""
        return f"{self.kind}:{self.label}"

    def may(self, scope: str) -> bool:
        """Whether a scope is held. Nobody who speaks for one app holds what concerns them all."""
        if self.app is not None and scope in EVERY_APP:
            return False
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden unless `may`."""
        if self.may(scope):
            return
        if self.app is not None and scope in EVERY_APP:
            raise Forbidden(
                f"{self} belongs to the app {self.app!r}, and what needs the scope {scope!r} concerns every "
                "app; make a key without an app"
            )
        raise Forbidden(f"{self} may not do this: it needs the scope {scope!r}")


LOCAL = Caller(label="localhost", app=None, scopes=frozenset(SCOPES))


@dataclass(frozen=True)
class KeyInfo:
    """A key as `perennial keys list` shows it; the key itself cannot be shown again."""

    id: str
    label: str
    app: str | None
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None = None


def create_key(store: Store, label: str, app: str | None, scopes: Iterable[str], actor: str = "cli") -> str:
    """A new key. It is returned once and cannot be read back.

    Args:
        app: the app that the key speaks for; None for every app.
        scopes: names of SCOPES, as one string with commas or spaces, or as several.

    Raises:
        InputError: an empty label, an unknown scope, or one that concerns every app for a key of one.
    """
    wanted = parse_scopes(scopes)
    for scope in wanted if app is not None else ():
        if scope in EVERY_APP:
            raise InputError(
                f"a key of one app cannot have the scope {scope!r}, which concerns every app; leave the app out"
            )
    if not label.strip():
        raise InputError("a key needs a label that says who uses it")
    key = _PREFIX + token_urlsafe(32)
    with store.begin() as session:
        app_id = None if app is None else app_ids(session, [app])[app]
        row = ApiKey(app_id=app_id, label=label, scopes=" ".join(wanted), hash=_hash(key))
        session.add(row)
        audit.record(session, actor, "key_created", row.id, {"scopes": list(wanted)})
    return key


def caller_of(stored: StoredKey) -> Caller:
    """Whoever holds this key."""
    key = stored.key
    return Caller(label=key.label, app=stored.app, scopes=frozenset(key.scopes.split()), key=key.id)


def list_keys(store: Store) -> list[KeyInfo]:
    """Every key that was ever made, oldest first."""
    with store.read() as session:
        return [
            KeyInfo(key.id, key.label, app, tuple(key.scopes.split()), key.created_at, key.revoked_at, key.expires_at)
            for key, app in api_keys.all_keys(session)
        ]


def revoke_key(store: Store, name: str, actor: str = "cli") -> int:
    """Ends the key with this id, or all with this label, within two seconds everywhere; returns how many.

    Raises:
        NotFound: no active key has this id or label.
    """
    with store.begin() as session:
        ids = api_keys.revoke(session, name)
        for id in ids:
            audit.record(session, actor, "key_revoked", id)
    if not ids:
        raise NotFound(f"no active key has the id or label {name!r}; see `perennial keys list`")
    return len(ids)


def rotate_key(store: Store, name: str, overlap: timedelta, actor: str = "cli") -> str:
    """A new key in place of the one with this id or label, which goes on working for `overlap` and then ends by itself.

    Raises:
        NotFound: no active key has this id or label, or only one that was rotated already.
        InputError: several have this label, or the overlap is no time.
    """
    if overlap < timedelta(0) or overlap > MAX_OVERLAP:
        raise InputError(f"the overlap must be from 0 hours to {MAX_OVERLAP.days} days")
    key = _PREFIX + token_urlsafe(32)
    with store.begin() as session:
        found = api_keys.find_by_name(session, name)
        if len(found) > 1:
            raise InputError(
                f"{len(found)} active keys have the label {name!r}; name one by its id (`perennial keys list`)"
            )
        if not found:
            raise NotFound(f"no active key has the id or label {name!r}; see `perennial keys list`")
        old = found[0]
        new = ApiKey(app_id=old.app_id, label=old.label, scopes=old.scopes, hash=_hash(key))
        session.add(new)
        old.expires_at = now() + overlap
        session.add(old)
        audit.record(
            session, actor, "key_rotated", old.id, {"new": new.id, "overlap_seconds": int(overlap.total_seconds())}
        )
    return key


def has_keys(store: Store) -> bool:
    """Whether a key that counts exists."""
    with store.read() as session:
        return bool(api_keys.active_keys(session))


def check_listen(host: str, needs_sign_in: bool) -> None:
    """Passes if the server may listen on this address.

    Raises:
        Refused: it is reachable from other machines and nobody would need to sign in or a key.
    """
    if not needs_sign_in and not is_loopback(host):
        raise Refused(
            f"refusing to listen on {host} without an API key or a user, as anybody could read and write; make one first: "
            "perennial users create NAME --role admin, or perennial keys create LABEL --scopes admin"
        )


@lru_cache(maxsize=128)
def is_loopback(host: str) -> bool:
    """True for localhost and the addresses of this machine's own loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Scope names in their usual order; an unknown one is an InputError that names it."""
    texts = [scopes] if isinstance(scopes, str) else list(scopes)
    wanted = {scope for text in texts for scope in text.replace(",", " ").split()}
    unknown = sorted(wanted - set(SCOPES))
    if unknown or not wanted:
        named = f"unknown scope {unknown[0]!r}" if unknown else "a key needs at least one scope"
        raise InputError(f"{named}; scopes are {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in wanted)


class KeyRing:
    """Finds callers by key, from a copy of the table that is at most `max_age_seconds` old."""

    def __init__(self, store: Store, max_age_seconds: float = 2.0) -> None:
        self._store, self._max_age_seconds = store, max_age_seconds
        self._by_hash: dict[str, Caller] = {}
        self._open = False
        self._read_at = self._failed_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def is_stale(self) -> bool:
        """Whether the keys were read too long ago."""
        return time.monotonic() - self._read_at > self._max_age_seconds

    @property
    def is_open(self) -> bool:
        """True while neither a key nor a user was ever made, so that this machine's own user needs none."""
        return self._open

    def refresh(self) -> None:
        """Reads the table if the copy is too old.

        Raises:
            Busy: the database failed whoever read for this caller too; it is not asked again and again by a queue.
        """
        asked_at = time.monotonic()
        with self._lock:
            if not self.is_stale:
                return
            if self._failed_at > asked_at:
                raise Busy("the database does not answer; send this again in a moment")
            try:
                with self._store.read() as session:
                    active = api_keys.active_keys(session)
                    self._open = api_keys.count_keys(session) + users.count_users(session) == 0
            except SQLAlchemyError:
                self._failed_at = time.monotonic()
                raise
            self._by_hash = {stored.key.hash: caller_of(stored) for stored in active}
            self._read_at = time.monotonic()

    def find(self, key: str) -> Caller | None:
        """Who holds this key, None if nobody does."""
        hashed = _hash(key)
        for known, caller in self._by_hash.items():
            if compare_digest(known, hashed):
                return caller
        return None


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()
