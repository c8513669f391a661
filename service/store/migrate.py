"""Brings a database to the newest schema; safe to call from every process at start-up."""

from pathlib import Path
from typing import Any

from alembic.config import Config
from sqlalchemy import NullPool, text
from sqlalchemy.engine import Connection

from alembic import command
from pipelines.errors import ArtifactError
from service.settings import Settings

_LOCK = 0x7065_0000


def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrades the database that the settings name.

    The whole upgrade is one transaction under a lock (SQLite's write lock, PostgreSQL's advisory lock), so processes
    that start together wait for the first one and then find nothing to do.
    """
    from service.store.session import make_engine  # session re-exports migrate

    engine = make_engine(settings.database_url, poolclass=NullPool)
    try:
        with engine.connect().execution_options(perennial_write=True) as connection:
            if engine.dialect.name == "sqlite":
                # a batch migration rebuilds tables, which foreign keys would refuse; no effect inside a transaction
                connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                command.upgrade(alembic_config(connection), revision)
    finally:
        engine.dispose()


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for this project's migrations; `connection` is the one they run in."""
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    return config


def scripts_folder() -> Path:
    """Where the migrations are: beside service/ in a checkout, inside this package in a wheel."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "migrations", here.parents[2] / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise ArtifactError("the database migrations are missing; reinstall perennial")
