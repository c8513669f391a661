"""Runs one claimed round in a process of its own, which the worker starts as the leader of a group.

It ends with its whole group when the worker does (pipelines.isolated), so nothing outlives a worker killed with -9.
"""

from typing import Any

from pydantic import TypeAdapter

from pipelines.errors import NoSpace
from service.logs import set_up_logging
from service.rounds.execution import execute
from service.rounds.requests import Claim
from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault

_SETTINGS = TypeAdapter(Settings)
_RETRY_SECONDS = 600.0  # what a stage needs is known only to the stage, so it is tried


def turn(claimed: dict[str, Any]) -> dict[str, Any]:
    """Turn the claimed round; `state` "lost" says that its end was no longer ours to record."""
    settings = read_settings(claimed["settings"])
    set_up_logging()
    store = open_store(settings)
    try:
        claim = Claim(store, claimed["round"], claimed["fence"])
        return {"state": execute(settings, store, open_vault(settings, store), claim)}
    except NoSpace as error:
        claim.put_back(f"it waits for room: {error}", _RETRY_SECONDS)
        return {"state": "requested"}
    finally:
        store.close()


def settings_record(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, for a child's standard input: never in arguments or files, for the key's sake."""
    record: dict[str, Any] = _SETTINGS.dump_python(settings, mode="json")
    return record


def read_settings(record: dict[str, Any]) -> Settings:
    """The settings that `settings_record` wrote down."""
    return _SETTINGS.validate_python(record)
