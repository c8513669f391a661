"""Runs migrations in the connection that service.store.session hands over, or in one of its own from the settings."""

from sqlalchemy.engine import Connection

from alembic import context
from service.settings import load_settings
from service.store.session import make_engine
from service.store.tables import SQLModel


def run_in(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
    context.run_migrations()


def run_offline() -> None:
    """Prints the SQL for the database that the settings name, without connecting to it."""
    url = load_settings().database_url
    context.configure(url=url, target_metadata=SQLModel.metadata, render_as_batch=True, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
elif (given := context.config.attributes.get("connection")) is not None:
    run_in(given)
else:
    with make_engine(load_settings().database_url).connect().execution_options(perennial_write=True) as own:
        with own.begin():
            run_in(own)
