"""The store and its migrations, on both databases."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlmodel import select

from alembic import command
from pipelines.errors import InputError
from service.settings import Settings
from service.store.schema import alembic_config
from service.store.session import Store, checked_url, migrate, newest_revision, open_store
from service.store.tables import App, SQLModel
from service.vault import open_vault
from tests.conftest import create_database, make_settings
from tests.factories import conversation, correct, put


def test_migrations_make_exactly_the_tables_that_the_code_declares(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_a_write_is_seen_after_its_block_and_undone_when_it_raises(store: Store) -> None:
    with store.begin() as session:
        session.add(App(name="kept"))
    with pytest.raises(ZeroDivisionError), store.begin() as session:
        session.add(App(name="lost"))
        session.flush()
        1 / 0  # noqa: B018
    with store.read() as session:
        assert [app.name for app in session.exec(select(App))] == ["kept"]


def test_a_read_keeps_seeing_the_same_state_while_others_write(store: Store) -> None:
    with store.read() as reading:
        assert reading.exec(select(App)).all() == []
        with store.begin() as writing:
            writing.add(App(name="new"))
        assert reading.exec(select(App)).all() == []


def test_times_come_back_in_utc(store: Store) -> None:
    with store.begin() as session:
        session.add(App(name="a"))
    with store.read() as session:
        offset = session.exec(select(App)).one().created_at.utcoffset()
    assert offset is not None and offset.total_seconds() == 0


def test_sqlite_is_durable_and_zeroes_what_it_deletes(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    with store.read() as session:
        got = {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in _PRAGMAS}
    store.close()
    assert got == _PRAGMAS


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "busy_timeout": 30000}


def test_processes_that_start_together_migrate_once(postgresql: str, tmp_path: Path, database: str) -> None:
    url = None if database == "sqlite" else create_database(postgresql, f"m{tmp_path.name[-20:]}".replace("-", "_"))
    settings = make_settings(tmp_path, url)
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=migrate, args=(settings,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    store = open_store(settings)
    with store.read() as session:
        heads = ScriptDirectory.from_config(alembic_config()).get_heads()
        assert heads == [newest_revision()]
        assert session.execute(text("SELECT version_num FROM alembic_version")).all() == [(head,) for head in heads]
    store.close()


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////tmp/a.db", "sqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("mysql://u@h/d", None),
        ("sqlite://", None),
        ("nonsense", None),
        ("postgresql://u@h:port/d", None),
    ],
)
def test_a_database_url_is_understood_or_refused_with_one_sentence(url: str, driver: str | None) -> None:
    if driver is None:
        with pytest.raises(InputError):
            checked_url(url)
    else:
        assert checked_url(url).drivername == driver


def test_a_wal_is_emptied_by_scrub(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    with store.begin() as session:
        session.add(App(name="a"))
    assert store.scrub()
    assert Path(f"{sqlite_settings.home / 'perennial.db'}-wal").stat().st_size == 0
    store.close()
    assert sqlite3.connect(sqlite_settings.home / "perennial.db").execute("SELECT count(*) FROM app").fetchone() == (1,)


def test_the_tables_of_feedback_come_and_go_without_their_texts(postgresql: str, tmp_path: Path, database: str) -> None:
    url = None if database == "sqlite" else create_database(postgresql, f"d{tmp_path.name[-20:]}".replace("-", "_"))
    settings = make_settings(tmp_path, url)
    migrate(settings)
    store = open_store(settings)
    vault = open_vault(settings, store)
    put(store, vault, conversation(id="c"))
    correct(store, vault, "c:1", "Good day!", user="u-2")
    with store.engine.connect().execution_options(perennial_write=True) as connection, connection.begin():
        command.downgrade(alembic_config(connection, settings), "0001")
    assert not {"correction", "comparison", "feedback_fate"} & set(inspect(store.engine).get_table_names())
    migrate(settings)
    with store.read() as session:
        assert session.execute(text("SELECT count(*) FROM message")).scalar() == 2
    assert correct(store, vault, "c:1", "Good day!", user="u-2").result == "created"
    store.close()


def test_what_was_stored_before_0003_is_there_after_it_and_after_going_back(
    postgresql: str, tmp_path: Path, database: str
) -> None:
    url = None if database == "sqlite" else create_database(postgresql, f"e{tmp_path.name[-20:]}".replace("-", "_"))
    settings = make_settings(tmp_path, url)
    migrate(settings, "0002")
    store = open_store(settings)
    with store.begin() as session:
        session.execute(text(_ROUND))
        session.execute(text(_FATE))
    fate = "SELECT conversation_id, message_id, rule FROM feedback_fate"
    migrate(settings)
    with store.read() as session:
        assert session.execute(text(fate)).all() == [("c", "m", "lone")]
        assert session.execute(text("SELECT other_id FROM feedback_fate")).scalar() == ""
    with store.engine.connect().execution_options(perennial_write=True) as connection, connection.begin():
        command.downgrade(alembic_config(connection, settings), "0002")
    with store.read() as session:
        assert session.execute(text(fate)).all() == [("c", "m", "lone")]
    store.close()


_ROUND = """
    INSERT INTO round (id, recipe_name, recipe, recipe_digest, state, requested_by, requested_at, fence, cancel_requested,
                       message, counts)
    VALUES (1, 'tiny', '', '', 'passed', 'test', '2026-01-01 00:00:00', 1, false, '', '{}')
"""
_FATE = """
    INSERT INTO feedback_fate (id, round_id, conversation_id, message_id, rater, kind, value, outcome, rule, weight)
    VALUES (1, 1, 'c', 'm', 'r', 'vote', 1, 'used', 'lone', 1.0)
"""
