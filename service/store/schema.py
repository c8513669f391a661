"""The database's migrations, through Alembic. `session.migrate` comes here where there is something to do."""

from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from alembic import command
from pipelines.errors import InputError
from service.settings import Settings
from service.store.session import scripts_folder


def upgrade(connection: Connection, settings: Settings, revision: str) -> None:
    """Upgrades a database inside the transaction that its connection has begun. Raises InputError for a newer one."""
    config = alembic_config(connection, settings)
    _refuse_newer(connection, config)
    command.upgrade(config, revision)


def alembic_config(connection: Connection | None = None, settings: Settings | None = None) -> Config:
    """Alembic's configuration for this project's migrations; `connection` is the one they run in, the environment's
    settings those that they run under unless others are given.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"], attributes["settings"] = connection, settings
    return config


def _refuse_newer(connection: Connection, config: Config) -> None:
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise InputError(
                f"the database was made by a newer Perennial: its schema is {revision!r}, and this one knows them up to "
                f"{known[0]!r}; install that version again, or restore a backup from before it"
            )
