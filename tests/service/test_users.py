"""Users, their roles and passwords, and how often somebody may try to sign in."""

import threading
from datetime import timedelta

import pytest
from sqlmodel import select

from pipelines.errors import Conflict, InputError, NotFound, PerennialError, Refused
from service import users
from service.api_keys import KeyRing, create_key, revoke_key
from service.rounds.automatic import objection_to_promoting
from service.rounds.requests import request_round
from service.settings import Settings
from service.sign_in import PER_ADDRESS, PER_NAME, WINDOW, TooManyAttempts, count_wrong_key, renew_password, sign_in
from service.store import audit
from service.store.session import Store, open_store
from service.store.tables import SignInFailures, User
from service.vault import Vault

pytestmark = pytest.mark.usefixtures("cheap_passwords")
PASSWORD = "correct horse battery"


def make(store: Store, name: str = "anna", role: str = "admin") -> str:
    """A user whose password nobody knows, without the time that a hash takes; their id."""
    with store.begin() as session:
        row = User(name=name, role=role, password="$argon2id$none")
        session.add(row)
        return row.id


def audited(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as session:
        return [(row.actor, row.action, row.subject) for row in reversed(audit.entries(session))]


def test_a_user_signs_in_with_the_password_that_was_given_and_the_audit_names_them(store: Store, vault: Vault) -> None:
    users.create_user(store, " Anna ", "admin", PASSWORD, "cli:root")
    [info] = users.list_users(store)
    assert (info.name, info.role, info.signed_in_at) == ("anna", "admin", None)
    assert sign_in(store, vault, "anna", PASSWORD + "!", "10.0.0.1") is None
    who = sign_in(store, vault, "ANNA", PASSWORD, "10.0.0.1")
    assert who is not None and who.user_id == info.id
    assert users.list_users(store)[0].signed_in_at is not None
    assert audited(store) == [("cli:root", "user_created", "anna"), ("user:anna", "signed_in", "anna")]
    with store.read() as session:
        row = session.get(User, info.id)
        assert row is not None and row.password.startswith("$argon2id$") and PASSWORD not in row.password


def test_nobody_signs_in_under_a_name_that_is_nobodys_or_disabled(store: Store, vault: Vault) -> None:
    users.create_user(store, "anna", "admin", PASSWORD)
    make(store, "ben")
    users.disable_user(store, "anna")
    assert sign_in(store, vault, "anna", PASSWORD, "a") is None
    assert sign_in(store, vault, "no name!", PASSWORD, "a") is None
    users.enable_user(store, "anna")
    assert sign_in(store, vault, "anna", PASSWORD, "a") is not None


@pytest.mark.parametrize("name", ["", "a b", "-a", "_", "a" * 65, "a/b", "a\0"])
def test_a_name_that_cannot_be_one_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="no user name"):
        users.create_user(store, name, "admin", PASSWORD)


def test_a_password_typed_in_decomposed_letters_is_the_same(store: Store, vault: Vault) -> None:
    users.create_user(store, "anna", "admin", "비밀번호는 길게 씁니다")
    decomposed = "비밀번호는 길게 씁니다"
    assert sign_in(store, vault, "anna", decomposed, "a") is not None


def test_the_first_user_is_an_admin_unless_a_key_may_make_one(store: Store) -> None:
    with pytest.raises(Refused, match="the first user must be an admin"):
        users.create_user(store, "vera", "viewer", PASSWORD)
    create_key(store, "root", None, "admin")
    assert users.create_user(store, "vera", "viewer", PASSWORD).role == "viewer"
    with pytest.raises(Conflict, match="there is a user 'vera' already"):
        users.create_user(store, "Vera", "viewer", PASSWORD)


def test_the_last_admin_stays_one(store: Store) -> None:
    make(store, "anna")
    for change in (lambda: users.disable_user(store, "anna"), lambda: users.set_role(store, "anna", "viewer")):
        with pytest.raises(Refused, match="'anna' is the last admin"):
            change()
    assert [(one.role, one.disabled_at) for one in users.list_users(store)] == [("admin", None)] and audited(
        store
    ) == []
    make(store, "ben")
    users.set_role(store, "anna", "viewer")
    with pytest.raises(Refused, match="'ben' is the last admin"):
        users.disable_user(store, "ben")


def test_what_nobody_is_called_and_no_role_is_said(store: Store) -> None:
    make(store)
    with pytest.raises(NotFound, match="there is no user 'ben'"):
        users.disable_user(store, "ben")
    with pytest.raises(InputError, match="roles are viewer, reviewer, operator, admin"):
        users.set_role(store, "anna", "root")


def test_a_session_ends_with_its_generation_and_a_role_holds_at_once(store: Store) -> None:
    make(store, "root")
    anna = make(store, "anna", "viewer")
    caller = users.find_signed_in(store, anna, 1)
    assert caller is not None and caller.actor == "user:anna" and not caller.may("rounds")
    users.set_role(store, "anna", "operator")
    caller = users.find_signed_in(store, anna, 1)
    assert caller is not None and caller.may("rounds") and not caller.may("admin")
    users.end_sessions(store, "anna")
    assert users.find_signed_in(store, anna, 1) is None and users.find_signed_in(store, anna, 2) is not None
    users.set_password(store, "anna", PASSWORD)
    assert users.find_signed_in(store, anna, 2) is None and users.find_signed_in(store, anna, 3) is not None
    users.disable_user(store, "anna")
    users.enable_user(store, "anna")
    assert users.find_signed_in(store, anna, 3) is None


def test_too_many_wrong_passwords_stop_the_right_one_too_in_every_process(
    settings: Settings, store: Store, vault: Vault
) -> None:
    users.create_user(store, "anna", "admin", PASSWORD)
    elsewhere = open_store(settings)
    for number in range(PER_NAME):
        assert sign_in((store, elsewhere)[number % 2], vault, "Anna", "x" * 600, f"10.0.0.{number}") is None
    with pytest.raises(TooManyAttempts, match="try again in 15 minutes"):
        sign_in(elsewhere, vault, "anna", PASSWORD, "10.0.1.1")
    elsewhere.close()
    pass_time(store)
    assert sign_in(store, vault, "anna", PASSWORD, "10.0.1.1") is not None


def test_attempts_under_many_names_are_stopped_by_their_address(store: Store, vault: Vault) -> None:
    for _ in range(PER_ADDRESS):
        count_wrong_key(store, vault, "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        sign_in(store, vault, "anna", PASSWORD, "10.0.0.1")
    count_wrong_key(store, vault, "10.0.0.2")
    with store.read() as session:
        assert all(name not in repr(row) for row in session.exec(select(SignInFailures)) for name in ("anna", "10.0.0"))


def test_a_success_and_a_new_password_forgive(store: Store, vault: Vault) -> None:
    users.create_user(store, "anna", "admin", PASSWORD)
    for _ in range(PER_NAME - 1):
        sign_in(store, vault, "anna", "x" * 600, "a")
    assert sign_in(store, vault, "anna", PASSWORD, "a") is not None
    for _ in range(PER_NAME):
        assert sign_in(store, vault, "anna", "x" * 600, "a") is None
    renewed = renew_password(store, vault, "anna", PASSWORD + "!", "cli")
    who = sign_in(store, vault, "anna", PASSWORD + "!", "a")
    assert who == renewed
    with store.read() as session:
        [left] = session.exec(select(SignInFailures))
        assert left.number == 2 * PER_NAME - 1  # of the address, from which two succeeded


def test_attempts_at_the_same_time_count_each(settings: Settings, store: Store, vault: Vault) -> None:
    make(store)
    refused: list[int] = []

    def attempt() -> None:
        try:
            sign_in(store, vault, "anna", "x" * 600, "a")
        except TooManyAttempts as error:
            refused.append(error.seconds)

    threads = [threading.Thread(target=attempt) for _ in range(PER_NAME + 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4


def test_a_user_closes_the_open_mode_as_a_key_does(store: Store) -> None:
    ring = KeyRing(store)
    ring.refresh()
    assert ring.is_open and not users.needs_sign_in(store)
    make(store)
    ring = KeyRing(store)
    ring.refresh()
    assert not ring.is_open and users.needs_sign_in(store)


RECIPE = """
name: tiny
base: {model: models/tiny}
mixture: {user: 1.0}
evaluate: {suites: [tiny_math]}
gates: [{suite: tiny_math, margin: {champion: 3.0, origin: 3.0}}]
promote: automatic
"""


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        (lambda store: None, None),
        (lambda store: users.set_role(store, "anna", "viewer"), "The user that asked for it may not promote"),
        (lambda store: users.disable_user(store, "anna"), "The user that asked for it was disabled since"),
    ],
    ids=["still may", "another role", "disabled"],
)
def test_a_round_promotes_by_itself_only_while_its_user_may(store: Store, change, objection: str | None) -> None:  # type: ignore[no-untyped-def]
    make(store, "root")
    caller = users.find_signed_in(store, make(store, "anna", "operator"), 1)
    assert caller is not None
    round_id = request_round(store, RECIPE, caller.actor, key=caller.key)
    change(store)
    told = objection_to_promoting(store, round_id)
    assert told is None if objection is None else (told or "").startswith(objection)


def test_a_key_with_the_right_lets_the_last_admin_go_and_its_end_does_not_lock_the_rest(store: Store) -> None:
    make(store)
    create_key(store, "root", None, "admin")
    users.disable_user(store, "anna")
    revoke_key(store, "root")
    with pytest.raises(PerennialError, match="the first user must be an admin"):
        users.create_user(store, "vera", "viewer", PASSWORD)
    users.enable_user(store, "anna")


def pass_time(store: Store) -> None:
    """As if the time for which attempts count were over."""
    with store.begin() as session:
        for row in session.exec(select(SignInFailures)):
            row.since -= WINDOW + timedelta(seconds=1)
            session.add(row)
