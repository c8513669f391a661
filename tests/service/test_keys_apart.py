"""Forgotten stays forgotten: nothing in a backup opens the text, whichever way it is brought back, on both databases."""

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import col, select

from pipelines.errors import ArtifactError, Busy, Conflict, InputError
from service.backup import back_up, back_up_keys
from service.curation import curate_due
from service.erasure import find_lost, forget, forget_lost
from service.master_key import read_master_key
from service.obstacles import find_obstacles
from service.settings import Settings
from service.store import people, tables
from service.store.binding import rebind_key_store
from service.store.erasing import ORPHAN_DAYS, sweep_orphans
from service.store.erasure_list import Erasure, ErasureList
from service.store.session import Store, migrate, open_keys, open_store
from service.store.tables import new_id, now
from service.vault import Vault, open_master_key, open_vault, raw_place
from tests.conftest import create_database, make_settings
from tests.factories import conversation, put
from tests.service.curating import shared_curator

PLANTED = "Zanzibarquartz"
SAYS = f"My cousin {PLANTED} asks for the colour of a title"


def readable(settings: Settings) -> dict[str, list[str]]:
    """What the keys that are there open of the rows, by the client's hash of the user; opening carries out the list."""
    store = open_store(settings)
    try:
        vault = open_vault(settings, store)
        with store.read() as session:
            query = select(tables.Message, tables.Conversation).join(
                tables.Conversation, col(tables.Conversation.id) == col(tables.Message.conversation_id)
            )
            rows = session.exec(query.order_by(col(tables.Message.position))).all()
            found: dict[str, list[str]] = {}
            for message, owner in rows:
                wrapped = people.wrapped_key(session, owner.person_id)
                if wrapped is not None and message.sealed is not None:
                    key = vault.open_person_key(owner.person_id, wrapped)
                    found.setdefault(owner.person_id, []).append(
                        key.unseal(message.sealed, raw_place(message.id)).decode()
                    )
            return found
    finally:
        store.close()


def bytes_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture
def home(settings: Settings, store: Store, vault: Vault) -> Settings:
    """A home in which `u` said what nobody may read later, and `v` something else."""
    put(store, vault, conversation(SAYS, "Blue.", user="u"), conversation("Something else?", "Yes.", user="v"))
    return settings


Restore = Callable[[], Settings]


@pytest.fixture
def backed_up(home: Settings, store: Store, tmp_path: Path) -> Restore:
    """Backs everything up as the handbook says; gives what brings the database back, as a home without keys."""
    back_up(home, store, tmp_path / "backup")
    back_up_keys(home, store, tmp_path / "backup-keys", now())
    shutil.copy(home.keys / "master.key", tmp_path)
    dumped = None if store.is_sqlite else dump(home.database_url)

    def restore() -> Settings:
        new = tmp_path / f"home-{new_id()[:20]}"
        shutil.copytree(tmp_path / "backup", new)
        if dumped is None:
            return make_settings(new)
        return make_settings(new, load(home.database_url, dumped))

    return restore


def dump(url: str) -> dict[str, bytes]:
    """Every row of a PostgreSQL database, as COPY gives them."""
    with psycopg.connect(url) as connection:
        return {name: b"".join(map(bytes, _copied(connection, name))) for name in _TABLES}


def _copied(connection: psycopg.Connection[tuple[object, ...]], name: str) -> Iterator[memoryview | bytes]:
    with connection.cursor().copy(f'COPY "{name}" TO STDOUT'.encode()) as copy:
        yield from copy


def load(like: str, rows: dict[str, bytes]) -> str:
    """A new database with these rows; its URL."""
    server = like.replace("/perennial_tests?", "/postgres?")
    url = create_database(server, f"restored_{new_id()}")
    migrate(make_settings(Path("/nonexistent"), url))
    with psycopg.connect(url) as connection:
        for name in _TABLES:
            with connection.cursor().copy(f'COPY "{name}" FROM STDIN'.encode()) as copy:
                copy.write(rows[name])
    return url


_TABLES = [table.name for table in tables.SQLModel.metadata.sorted_tables]


def test_the_current_keys_open_nothing_of_who_was_forgotten_since_the_backup(
    home: Settings, store: Store, vault: Vault, backed_up: Restore
) -> None:
    forget(store, vault, "default", "u")
    restored = backed_up()
    shutil.copytree(home.keys, restored.keys)
    assert list(readable(restored).values()) == [["Something else?", "Yes."]]
    again = open_store(restored)
    with again.read() as session:
        states = sorted(session.exec(select(tables.Conversation.state)))
        assert session.exec(select(tables.ErasureReceipt.conversations)).all() == [1]
    again.close()
    assert states == ["erased", "received"]


def test_the_master_key_and_an_old_database_alone_open_nothing_at_all(
    home: Settings, store: Store, vault: Vault, backed_up: Restore, tmp_path: Path
) -> None:
    forget(store, vault, "default", "u")
    restored = backed_up()
    restored.keys.mkdir()
    shutil.copy(tmp_path / "master.key", restored.keys)
    with pytest.raises(InputError, match="are not in the key store .*people.db.*put back the newest copy"):
        readable(restored)
    assert [path.name for path in restored.keys.iterdir()] == ["master.key"]  # nothing is in the way of the right copy
    assert b"wrapped" not in bytes_under(restored.home)


def test_an_old_copy_of_the_keys_is_put_right_by_the_list_before_anything_is_read(
    home: Settings, store: Store, vault: Vault, backed_up: Restore, tmp_path: Path
) -> None:
    forget(store, vault, "default", "u")
    restored = backed_up()
    shutil.copytree(tmp_path / "backup-keys", restored.keys)
    with restored.erasures.open("ab") as file:  # as docs/operating.md joins two copies
        file.write(home.erasures.read_bytes())
    assert list(readable(restored).values()) == [["Something else?", "Yes."]]
    keys = open_keys(restored)
    assert sum(map(len, keys.people())) == 1
    keys.close()


def test_an_old_copy_of_the_keys_is_put_right_by_newer_rows_where_the_list_is_lost(
    home: Settings, store: Store, vault: Vault, backed_up: Restore, tmp_path: Path
) -> None:
    forget(store, vault, "default", "u")
    store.keys.close()
    shutil.rmtree(home.keys)
    shutil.copytree(tmp_path / "backup-keys", home.keys)
    assert list(readable(home).values()) == [["Something else?", "Yes."]]
    assert len(ErasureList(home.erasures).read()) == 1


def test_a_model_that_learned_from_who_was_forgotten_is_tainted_in_the_restored_rows_too(
    home: Settings, store: Store, vault: Vault, backed_up: Restore
) -> None:
    restored = backed_up()
    old = open_store(restored)
    with old.begin() as session:
        owner = session.exec(
            select(tables.Conversation).join(tables.Person).where(tables.Person.hmac == _hash(session, vault, "u"))
        ).one()
        session.add(tables.Round(id=1, recipe_name="r", recipe="", recipe_digest="", requested_by="t", state="passed"))
        session.flush()
        item = {"conversation_id": owner.id, "person_id": owner.person_id, "outcome": "used", "reason": ""}
        session.add(tables.SnapshotItem(round_id=1, **item))
        session.add(tables.Model(id="m", kind="candidate", recipe_name="r", round_id=1, parents=["origin"]))
    old.close()
    forget(store, vault, "default", "u")
    shutil.copytree(home.keys, restored.keys)
    readable(restored)
    old = open_store(restored)
    with old.read() as session:
        (receipt,) = session.exec(select(tables.ErasureReceipt)).all()
        assert session.get_one(tables.Model, "m").tainted_at == receipt.at and receipt.models == ["m"]
    old.close()


def _hash(session: "object", vault: Vault, user: str) -> str:
    return vault.person_hash(people.app_id(session, "default") or "", user)  # type: ignore[arg-type]


def test_who_came_back_after_being_forgotten_stays_when_the_list_is_carried_out_again(
    home: Settings, store: Store, vault: Vault, backed_up: Restore
) -> None:
    forget(store, vault, "default", "u")
    put(store, vault, conversation("I am back", "Welcome.", user="u"))
    assert sorted(readable(home).values()) == [["I am back", "Welcome."], ["Something else?", "Yes."]]


def test_a_copy_of_the_keys_replaces_the_one_before_and_nothing_else(
    home: Settings, store: Store, vault: Vault, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    names = back_up_keys(home, store, copy, now())
    assert names == ("master.key", "people.db")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (copy, *sorted(copy.iterdir()))] == [0o700, 0o600, 0o600]
    assert forget(store, vault, "default", "u").keys_copied_at is not None
    before = bytes_under(copy)
    assert back_up_keys(home, store, copy, now()) == ("erasures.ndjson", "master.key", "people.db")
    assert bytes_under(copy) != before and [path.name for path in tmp_path.iterdir()] == ["copy"]
    (copy / "holiday.jpg").touch()
    with pytest.raises(Conflict, match="holiday.jpg"):
        back_up_keys(home, store, copy, now())


def test_no_byte_of_a_forgotten_key_is_left_and_the_list_names_nobody(
    home: Settings, store: Store, vault: Vault
) -> None:
    with store.read() as session:
        doomed = people.people_by_hash(session, people.app_id(session, "default") or "", [_hash(session, vault, "u")])
    (wrapped,) = [wrapped for _, wrapped in doomed.values()]
    assert wrapped is not None and wrapped in bytes_under(home.keys)
    assert stat.S_IMODE((home.keys / "people.db").stat().st_mode) == 0o600
    assert forget(store, vault, "default", "u").scrubbed
    assert wrapped not in bytes_under(home.home)
    (line,) = ErasureList(home.erasures).read().values()
    assert line.person and line.hash and b'"u"' not in home.erasures.read_bytes()
    assert stat.S_IMODE(home.erasures.stat().st_mode) == 0o600


# ---- the order of the two writes -------------------------------------------------------------------------


def test_a_key_is_there_before_its_rows_and_stays_behind_if_they_fail(store: Store, vault: Vault) -> None:
    person = new_id()
    with pytest.raises(ZeroDivisionError), store.begin() as session:
        people.add_keys(session, {person: vault.new_person_key(person)[1]})
        1 / 0  # noqa: B018
    assert store.keys.wrapped([person]) == {}
    with store.begin() as session:
        people.add_keys(session, {person: vault.new_person_key(person)[1]})
        assert people.wrapped_key(session, person) is not None and store.keys.wrapped([person]) == {}
    assert set(store.keys.wrapped([person])) == {person}


def test_keys_without_rows_go_after_a_month_and_those_of_people_never(home: Settings, store: Store) -> None:
    orphan = new_id()
    store.keys.add({orphan: b"x"})
    assert sweep_orphans(store, now() + timedelta(days=ORPHAN_DAYS - 1)) == 0
    assert sweep_orphans(store, now() + timedelta(days=ORPHAN_DAYS + 1)) == 1
    assert sum(map(len, store.keys.people())) == 2


@pytest.mark.parametrize("step", ["list", "key"])
def test_forgetting_that_was_killed_between_its_steps_is_finished_at_the_next_start(
    home: Settings, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(*((ErasureList, "append", killed) if step == "list" else (type(store.keys), "delete", killed)))
        forget(store, vault, "default", "u")
    assert list(readable(home).values()) == [["Something else?", "Yes."]]
    assert len(ErasureList(home.erasures).read()) == 1 and sum(map(len, store.keys.people())) == 1


# ---- a key store that is lost, old or misplaced -----------------------------------------------------------


def test_people_whose_key_is_lost_are_told_refused_and_can_be_let_go(
    home: Settings, store: Store, vault: Vault
) -> None:
    with store.read() as session:
        newest = max(session.exec(select(tables.Person.id)))
    store.keys.delete([newest])
    assert [one.name for one in find_obstacles(home, store)][0] == "keys_lost" and len(find_lost(store)) == 1
    lost, other = ("u", "v") if _owns(store, vault, "u", newest) else ("v", "u")
    outcomes = put(store, vault, conversation("New", user=lost), conversation("New", user=other))
    assert [one.result for one in outcomes] == ["conflict", "created"]
    assert outcomes[0].detail is not None and "not in the key store" in outcomes[0].detail
    assert forget_lost(store) == 1 and find_lost(store) == []
    assert [one.result for one in put(store, vault, conversation("New", user=lost))] == ["created"]


def test_what_was_quarantined_without_its_key_is_curated_once_the_key_is_back(
    home: Settings, store: Store, vault: Vault
) -> None:
    kept = store.keys.wrapped([id for some in store.keys.people() for id in some])
    store.keys.delete(kept)
    curator = shared_curator()
    while curate_due(store, vault, curator):
        pass
    store.keys.add(kept)
    open_vault(home, store)
    while curate_due(store, vault, curator):
        pass
    with store.read() as session:
        assert session.exec(select(tables.Conversation.state)).all() == ["clean", "clean"]
        assert session.exec(select(tables.Quarantine)).all() == []


def _owns(store: Store, vault: Vault, user: str, person: str) -> bool:
    with store.read() as session:
        return session.get_one(tables.Person, person).hmac == _hash(session, vault, user)


def test_a_lost_key_store_is_never_silently_replaced_and_can_be_given_up(home: Settings, store: Store) -> None:
    store.keys.close()
    shutil.rmtree(home.keys / "people.db", ignore_errors=True)
    for path in home.keys.glob("people.db*"):
        path.unlink()
    fresh = open_store(home)
    with pytest.raises(InputError, match="forget-lost"):
        open_vault(home, fresh)
    open_master_key(home, fresh)
    rebind_key_store(fresh)
    assert forget_lost(fresh) == 2
    open_vault(home, fresh)
    fresh.close()


@pytest.mark.parametrize("damaged", [True, False])
def test_a_key_store_that_cannot_be_read_is_named_and_not_the_database(
    home: Settings, store: Store, damaged: bool
) -> None:
    away = "postgresql://nobody:hidden@127.0.0.1:1/x"
    if damaged:
        store.keys.close()
        (home.keys / "people.db").write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    hurt = open_store(home if damaged else replace(home, keys_url=away))
    with pytest.raises(ArtifactError, match="the key store .* cannot be read .*put back the newest copy") as told:
        open_vault(home, hurt)
    assert "hidden" not in str(told.value) and ("people.db" if damaged else "127.0.0.1:1") in str(told.value)
    hurt.close()


def test_the_database_of_the_data_is_no_key_store(settings: Settings) -> None:
    with pytest.raises(InputError, match="PERENNIAL_KEYS_URL names the database of the data"):
        open_store(replace(settings, keys_url=settings.database_url))


def test_a_key_store_on_postgresql_loses_the_bytes_of_a_forgotten_key(postgresql: str, tmp_path: Path) -> None:
    data, keys = (create_database(postgresql, f"{name}_{new_id()}") for name in ("data", "keys"))
    settings = replace(make_settings(tmp_path, data), keys_url=keys)
    migrate(settings)
    store = open_store(settings)
    vault = open_vault(settings, store)
    put(store, vault, conversation(SAYS, user="u"), conversation("Else?", user="v"))
    ids = [id for some in store.keys.people() for id in some]
    assert not (settings.keys / "people.db").exists() and len(ids) == 2
    forget(store, vault, "default", "u")
    assert sum(map(len, store.keys.people())) == 1
    with psycopg.connect(keys, autocommit=True) as connection:
        (row,) = connection.execute(
            "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'person_key'"
        ).fetchall()
    assert row == (0,)
    store.close()


def test_a_key_store_that_is_taken_away_meanwhile_takes_no_more_keys(
    home: Settings, store: Store, vault: Vault
) -> None:
    (home.keys / "people.db").rename(home.keys / "elsewhere.db")
    with pytest.raises(Busy, match="was taken away or replaced while this ran"):
        put(store, vault, conversation("New", user="new"))
    (home.keys / "elsewhere.db").rename(home.keys / "people.db")
    assert [one.result for one in put(store, vault, conversation("New", user="new"))] == ["created"]


def test_a_killed_copy_of_the_keys_is_cleared_away_by_the_next(home: Settings, store: Store, tmp_path: Path) -> None:
    for name in ("copy.1.old", "copy.2.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "people.db").touch()
    back_up_keys(home, store, tmp_path / "copy", now())
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_master_key_among_the_settings_stays_out_of_the_backup(home: Settings, store: Store, tmp_path: Path) -> None:
    lines = ["PERENNIAL_PORT=8601", f"PERENNIAL_MASTER_KEY={'ab' * 32}", "PERENNIAL_KEYS_URL=postgresql://u:secret@h/k"]
    (home.home / "settings.env").write_text("\n".join(lines) + "\n")
    back_up(home, store, tmp_path / "copy")
    assert (tmp_path / "copy" / "settings.env").read_text() == "PERENNIAL_PORT=8601\n"


# ---- the list --------------------------------------------------------------------------------------------


def _line(id: str, hash: str = "h") -> Erasure:
    return Erasure(id=id, at=datetime(2026, 1, 1, tzinfo=UTC), app="a", person="p", hash=hash)


def test_the_list_keeps_what_was_added_counts_twins_once_and_drops_a_torn_end(tmp_path: Path) -> None:
    erasures = ErasureList(tmp_path / "keys" / "list.ndjson")
    assert erasures.read() == {}
    erasures.append([_line("1", hash="")])
    erasures.append([_line("1"), _line("2")])
    with erasures.path.open("ab") as file:
        file.write(b'{"id": "3", "at')
    assert erasures.read() == {"1": _line("1"), "2": _line("2")}
    erasures.append([_line("3")])
    assert list(erasures.read()) == ["1", "2", "3"] and erasures.path.read_bytes().count(b"\n") == 4


def test_a_damaged_list_stops_everything_with_a_sentence(home: Settings, store: Store) -> None:
    home.erasures.write_bytes(b"\0\0garbage\n")
    with pytest.raises(ArtifactError, match="line 1 of the erasure list .* cannot be read"):
        open_vault(home, store)


# ---- moving today's keys ---------------------------------------------------------------------------------


@pytest.fixture
def before(postgresql: str, tmp_path: Path, database: str) -> Settings:
    """A home as it was when keys lay in the database, with one person's."""
    url = None if database == "sqlite" else create_database(postgresql, f"old_{new_id()}")
    settings = make_settings(tmp_path, url)
    migrate(settings, "0003")
    store = open_store(settings)
    vault = Vault(read_master_key(settings, may_create=True))
    with store.begin() as session:
        session.execute(text("INSERT INTO key_check (id, sealed) VALUES (1, :sealed)"), {"sealed": vault.seal_check()})
        insert = (
            "INSERT INTO person (id, app_id, hmac, wrapped_key, created_at) VALUES ('p', 'a', 'h', :key, '2026-01-01')"
        )
        session.execute(text("INSERT INTO app (id, name, created_at) VALUES ('a', 'default', '2026-01-01')"))
        session.execute(text(insert), {"key": vault.new_person_key("p")[1]})
    store.close()
    return settings


def test_keys_move_out_of_the_database_and_leave_no_byte_there(before: Settings, database: str) -> None:
    store = open_store(before)
    with store.read() as session:
        (wrapped,) = session.execute(text("SELECT wrapped_key FROM person")).one()
    migrate(before)
    open_vault(before, store)
    assert store.keys.wrapped(["p"]) == {"p": bytes(wrapped)}
    with store.read() as session:
        assert session.get_one(tables.BoundKeyStore, 1).scrubbed
    store.close()
    if database == "sqlite":
        assert b"".join(path.read_bytes() for path in before.home.glob("perennial.db*")).find(bytes(wrapped)) < 0


def test_a_move_that_was_killed_is_made_again(before: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.store.keystore import KeyStore

    def killed(_: KeyStore) -> str:
        raise SystemExit("killed")

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(KeyStore, "ensure_name", killed)
        migrate(before)
    store = open_store(before)
    with store.read() as session:
        assert session.execute(text("SELECT count(wrapped_key) FROM person")).scalar() == 1
    migrate(before)
    open_vault(before, store)
    assert set(store.keys.wrapped(["p"])) == {"p"}
    store.close()


def test_a_second_store_in_one_process_leaves_the_locks_of_the_first_alone(home: Settings, store: Store) -> None:
    """Closing a file drops this process's locks on it, and then the last to leave takes SQLite's log away."""
    store.keys.add({new_id(): b"before"})
    second = open_store(home)
    second.keys.name()
    leave = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM person_key').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", leave, store.keys.where], check=True)
    late = new_id()
    store.keys.add({late: b"after"})
    assert Path(f"{store.keys.where}-wal").stat().st_size > 0
    store.close()
    second.close()
    with closing(open_keys(home)) as again:
        assert again.wrapped([late]) == {late: b"after"}
