"""Whether a part of the service does its work: health, for containers and supervisors."""

from enum import StrEnum
from typing import Annotated

import httpx
import typer

from service.cli.home import console
from service.engine.client import engine_status
from service.obstacles import SILENT_SECONDS
from service.settings import Settings, load_settings
from service.store.clock import database_time
from service.store.health import last_beat
from service.store.session import open_store

_SECONDS = 4.0


class Part(StrEnum):
    """The processes that go on running."""

    web = "web"
    engine = "engine"
    worker = "worker"


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command()(health)


def health(part: Annotated[Part, typer.Argument(help="which process")]) -> None:
    """Say whether a process of this home does its work; status 1 if not. Changes nothing."""
    settings = load_settings()
    trouble = {Part.web: _web, Part.engine: _engine, Part.worker: _worker}[part](settings)
    console.print(trouble or f"{part} is well", markup=False, soft_wrap=True)
    if trouble:
        raise typer.Exit(1)


def _web(settings: Settings) -> str:
    try:
        code = httpx.get(f"{settings.url}/readyz", timeout=_SECONDS, trust_env=False).status_code
    except httpx.HTTPError as error:
        return f"nobody answers at {settings.url} ({type(error).__name__})"
    return "" if code == 200 else f"{settings.url}/readyz answers {code}"


def _engine(settings: Settings) -> str:
    return "" if engine_status(settings.home) else "the engine does not answer on its socket"


def _worker(settings: Settings) -> str:
    store = open_store(settings)
    try:
        with store.read() as session:
            seen, at = last_beat(session), database_time(session)
    finally:
        store.close()
    if seen is None:
        return "no worker was ever seen"
    silent = (at - seen).total_seconds()
    return "" if silent <= SILENT_SECONDS else f"no worker was seen for {silent:.0f} s"
