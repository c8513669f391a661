"""Users of the pages: a name, a password, and a role, which is a set of scopes.

    perennial users create anna --role admin   ->  the password is asked for

Whatever is changed here holds from the next request on: a session is compared with its user each time.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from pipelines.errors import Conflict, InputError, NotFound, Refused
from service.api_keys import SCOPES, Caller, caller_of, has_keys
from service.passwords import check_password, hash_password
from service.store import api_keys, audit, users
from service.store.session import Store
from service.store.tables import User, now

_REVIEWER = frozenset({"read", "review", "chat"})
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "reviewer": _REVIEWER,
    "operator": _REVIEWER | {"operate", "rounds", "models", "people"},
    "admin": frozenset(SCOPES),
}
HOLDER = "user:"  # a caller's `key` is an API key's id, or this and a user's
_NAME = re.compile(r"[^\W_][\w.@-]{0,63}")


@dataclass(frozen=True)
class UserInfo:
    """A user as `perennial users list` and the page show them."""

    id: str
    name: str
    role: str
    created_at: datetime
    signed_in_at: datetime | None
    disabled_at: datetime | None


def create_user(store: Store, name: str, role: str, password: str, actor: str = "cli") -> UserInfo:
    """A new user.

    Raises:
        InputError: a name, role or password that cannot be used.
        Conflict: the name is taken.
        Refused: the first user is no admin, though nobody could make one afterwards.
    """
    name = checked_name(name)
    check_password(name, password)
    row = User(name=name, role=_checked_role(role), password=hash_password(password))
    with store.begin() as session:
        store.lock(session, "users")
        if users.find_user(session, name) is not None:
            raise Conflict(f"there is a user {name!r} already; choose another name")
        if role != "admin" and not _is_administered(session):
            raise Refused(
                "the first user must be an admin, as nobody else could make one: create it with the role admin"
            )
        session.add(row)
        audit.record(session, actor, "user_created", name, {"role": role})
        session.flush()
        return _info(row)


def list_users(store: Store) -> list[UserInfo]:
    """Every user by name, disabled ones included."""
    with store.read() as session:
        return [_info(row) for row in users.all_users(session)]


def set_role(store: Store, name: str, role: str, actor: str = "cli") -> None:
    """Gives a user another role, from their next request on.

    Raises:
        NotFound: nobody has this name.
        InputError: there is no such role.
        Refused: it is the last admin.
    """
    _checked_role(role)

    def change(row: User) -> None:
        row.role = role

    _change(store, name, change, actor, "user_role_changed", {"role": role})


def set_password(store: Store, name: str, password: str, actor: str = "cli") -> None:
    """Gives a user another password; every session of theirs ends, and what failed under their name is forgotten.

    Raises: as `set_role`, and InputError for a password that cannot be kept.
    """
    check_password(name, password)
    hashed = hash_password(password)

    def change(row: User) -> None:
        row.password = hashed
        row.generation += 1

    _change(store, name, change, actor, "user_password_changed")


def disable_user(store: Store, name: str, actor: str = "cli") -> None:
    """Ends a user's sessions and lets them sign in no more; what they did stays in the audit. Raises as `set_role`."""

    def change(row: User) -> None:
        row.disabled_at = row.disabled_at or now()
        row.generation += 1

    _change(store, name, change, actor, "user_disabled")


def enable_user(store: Store, name: str, actor: str = "cli") -> None:
    """Lets a disabled user sign in again. Raises NotFound."""

    def change(row: User) -> None:
        row.disabled_at = None

    _change(store, name, change, actor, "user_enabled")


def end_sessions(store: Store, name: str, actor: str = "cli") -> None:
    """Signs a user out everywhere. Raises NotFound."""

    def change(row: User) -> None:
        row.generation += 1

    _change(store, name, change, actor, "user_signed_out_everywhere")


def find_signed_in(store: Store, user_id: str, generation: int) -> Caller | None:
    """Who a session of this user and generation belongs to; None where it has ended or the user is disabled."""
    with store.read() as session:
        row = session.get(User, user_id)
        stands = row is not None and row.disabled_at is None and row.generation == generation
        return _caller(row) if row is not None and stands else None


def find_holder(session: Session, holder: str) -> Caller | None:
    """Who `Caller.key` names: the API key or the user, None where it was revoked or is disabled since."""
    if not holder.startswith(HOLDER):
        stored = api_keys.find_active(session, holder)
        return None if stored is None else caller_of(stored)
    row = session.get(User, holder.removeprefix(HOLDER))
    return None if row is None or row.disabled_at is not None else _caller(row)


def needs_sign_in(store: Store) -> bool:
    """Whether a key or a user exists by which somebody could come in from elsewhere."""
    with store.read() as session:
        someone = any(row.disabled_at is None for row in users.all_users(session))
    return someone or has_keys(store)


def checked_name(name: str) -> str:
    """A name as it is kept: in small letters. Raises InputError for one that is none."""
    kept = unicodedata.normalize("NFKC", name.strip()).casefold()
    if not _NAME.fullmatch(kept):
        raise InputError(
            f"{name[:80]!r} is no user name: it begins with a letter or digit and has up to 64 letters, digits or . _ - @"
        )
    return kept


def _change(
    store: Store,
    name: str,
    change: Callable[[User], None],
    actor: str,
    action: str,
    detail: dict[str, Any] | None = None,
) -> None:
    name = checked_name(name)
    with store.begin() as session:
        store.lock(session, "users")
        row = users.find_user(session, name)
        if row is None:
            raise NotFound(f"there is no user {name!r}; see `perennial users list`")
        change(row)
        session.add(row)
        session.flush()
        if not _is_administered(session):
            raise Refused(f"{name!r} is the last admin, and nobody could make another afterwards; make one first")
        audit.record(session, actor, action, name, detail)


def _is_administered(session: Session) -> bool:
    """Whether somebody may make users: an admin, or the holder of a key with that scope."""
    admins = any(row.role == "admin" and row.disabled_at is None for row in users.all_users(session))
    return admins or any("admin" in stored.key.scopes.split() for stored in api_keys.active_keys(session))


def _checked_role(role: str) -> str:
    if role not in ROLES:
        raise InputError(f"there is no role {role[:80]!r}; roles are {', '.join(ROLES)}")
    return role


def _caller(row: User) -> Caller:
    scopes = ROLES.get(row.role, frozenset())
    return Caller(label=row.name, app=None, scopes=scopes, key=f"{HOLDER}{row.id}", kind="user")


def _info(row: User) -> UserInfo:
    return UserInfo(row.id, row.name, row.role, row.created_at, row.signed_in_at, row.disabled_at)
