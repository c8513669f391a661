"""Another master key: what was stored stays readable and findable, the old key opens nothing, and no kill loses anything."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.errors import ArtifactError, Busy, InputError
from service import dossier, rotation
from service.master_key import write_next_key
from service.rotation import rotate_master_key
from service.settings import Settings
from service.store import audit, health
from service.store.keystore import KeyStore
from service.store.session import Store, open_store
from service.store.tables import KeyCheck, WorkerSeen, now
from service.vault import Vault, open_vault
from tests.factories import conversation, put

SECRET = "zanzibarquartz"


def text_of(store: Store, vault: Vault, user: str = "ana") -> str:
    [chat] = dossier.read_dossier(store, vault, "default", user, "test")["conversations"]
    return str(chat["messages"][0]["raw"]["content"])


def test_everything_stays_readable_and_the_old_key_opens_nothing(
    settings: Settings, store: Store, vault: Vault
) -> None:
    put(store, vault, conversation(SECRET, user="ana", id="c-1"))
    old = settings.key_file.read_bytes()
    for turn in range(2):  # a second change is one of a key that is not the first
        done = rotate_master_key(settings, store, open_vault(settings, store), None, "cli:root")
        assert done.people == 1 + turn
        vault = open_vault(settings, store)
        assert text_of(store, vault) == SECRET
        [same, _] = put(store, vault, conversation(SECRET, user="ana", id="c-1"), conversation("Hi", user=f"u-{turn}"))
        assert same.result == "unchanged"  # its id and its person are found by the same hashes
    assert settings.key_file.read_bytes() != old and settings.key_file.stat().st_mode & 0o777 == 0o600
    with store.read() as session:
        assert [row.action for row in audit.entries(session, action="master_key_rotated")] == ["master_key_rotated"] * 2
    settings.key_file.write_bytes(old)
    with pytest.raises(InputError, match="is not the one"):
        open_vault(settings, store)


def test_a_database_of_before_goes_with_the_new_key(sqlite_settings: Settings, tmp_path: Path) -> None:
    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    put(store, vault, conversation(SECRET, user="ana"))
    store.scrub()
    shutil.copy(sqlite_settings.home / "perennial.db", tmp_path / "backup.db")
    rotate_master_key(sqlite_settings, store, vault, None, "cli:root")
    store.close()
    shutil.copy(tmp_path / "backup.db", sqlite_settings.home / "perennial.db")
    for left in ("-wal", "-shm"):
        (sqlite_settings.home / f"perennial.db{left}").unlink(missing_ok=True)
    store = open_store(sqlite_settings)
    assert text_of(store, open_vault(sqlite_settings, store)) == SECRET
    store.close()


class Killed(BaseException):
    pass


def kill(*_: object) -> None:
    raise Killed


def test_a_kill_at_any_step_is_mended_by_the_next_start(
    settings: Settings, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, vault, conversation(SECRET, user="ana"))
    old = settings.key_file.read_bytes()
    steps: tuple[tuple[object, str], ...] = ((KeyStore, "rewrap"), (rotation, "use_next_key"), (rotation, "open_vault"))
    for owner, step in steps:
        with monkeypatch.context() as patch:
            patch.setattr(owner, step, kill)
            with pytest.raises(Killed):
                rotate_master_key(settings, store, open_vault(settings, store), None, "cli:root")
        assert text_of(store, open_vault(settings, store)) == SECRET, step
        assert (settings.key_file.read_bytes() == old) is (step == "rewrap")
    assert [path.name for path in settings.keys.iterdir() if path.name.endswith(".next")] == []
    assert rotate_master_key(settings, store, open_vault(settings, store), None, "cli:root").people == 1
    assert text_of(store, open_vault(settings, store)) == SECRET


def test_a_kill_within_the_transaction_leaves_the_old_key(settings: Settings, store: Store, vault: Vault) -> None:
    put(store, vault, conversation(SECRET, user="ana"), conversation("Hi", user="bob"))
    done: list[str] = []

    def convert(person: str, wrapped: bytes) -> bytes:
        done.append(person)
        if len(done) == 2:
            raise Killed
        return b"x"

    write_next_key(settings)
    with pytest.raises(Killed):
        store.keys.rewrap(convert, b"root")
    assert text_of(store, open_vault(settings, store)) == SECRET


def test_a_process_that_still_holds_the_old_key_stores_nobody_under_it(
    settings: Settings, store: Store, vault: Vault
) -> None:
    put(store, vault, conversation("Hi", user="ana"))
    beside = open_store(settings)
    rotate_master_key(settings, beside, open_vault(settings, beside), None, "cli:root")
    beside.close()
    with pytest.raises(Busy, match="master key was changed"):
        store.keys.add({"p": vault.new_person_key("p")[1]})
    assert store.keys.wrapped(["p"]) == {}
    with pytest.raises(ArtifactError, match="cannot be opened with this master key"):
        text_of(store, vault)


def test_a_key_of_the_environment_is_given(
    settings: Settings, store: Store, with_settings: Callable[..., Settings]
) -> None:
    first, second = secrets.token_hex(32), secrets.token_hex(32)
    before = replace(settings, master_key=first)
    vault = open_vault(before, store)
    put(store, vault, conversation(SECRET, user="ana"))
    with pytest.raises(InputError, match="standard input"):
        rotate_master_key(before, store, vault, None, "cli:root")
    with pytest.raises(InputError, match="32 bytes"):
        rotate_master_key(before, store, vault, "short", "cli:root")
    rotate_master_key(before, store, vault, second, "cli:root")
    with pytest.raises(InputError, match="is not the one"):
        open_vault(before, store)
    assert text_of(store, open_vault(replace(settings, master_key=second), store)) == SECRET
    with pytest.raises(InputError, match="give none"):
        rotate_master_key(settings, store, vault, second, "cli:root")


def test_it_waits_for_workers_to_end(settings: Settings, store: Store, vault: Vault) -> None:
    health.beat(store, "host:1")
    with pytest.raises(Busy, match="1 workers were alive"):
        rotate_master_key(settings, store, vault, None, "cli:root")
    with store.begin() as session:
        session.merge(WorkerSeen(owner="host:1", at=now() - timedelta(minutes=5)))
    assert rotate_master_key(settings, store, vault, None, "cli:root").people == 0


def test_the_first_keys_copy_in_the_database_is_kept_up(settings: Settings, store: Store, vault: Vault) -> None:
    rotate_master_key(settings, store, vault, None, "cli:root")
    with store.read() as session:
        check = session.get(KeyCheck, 1)
    assert check is not None and check.sealed_root == store.keys.sealed_root() is not None
