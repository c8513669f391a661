"""Runs the web process."""

import asyncio
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from service.api_keys import check_listen, has_keys
from service.logs import set_up_logging
from service.rounds.schedule import start_schedules
from service.settings import Settings
from service.store.session import migrate, open_store
from service.web.app import create_app
from service.web.connections import Limits, protocol_with

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None  # type: ignore[assignment]

_log = structlog.get_logger(__name__)
_DRAIN_SECONDS = 10


def serve(settings: Settings, host: str, port: int) -> None:
    """`run_server` in an event loop of its own, uvloop's where it is installed (about a fifth less CPU per request)."""
    with asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as runner:
        runner.run(run_server(settings, host, port))


async def run_server(settings: Settings, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT, then answers what it accepted and ends.

    Raises:
        Refused: `host` is reachable from other machines and no API key exists.
    """
    set_up_logging()
    settings.home.mkdir(parents=True, exist_ok=True)
    migrate(settings)
    store = open_store(settings)
    try:
        check_listen(host, has_keys(store))
        schedules = start_schedules(store)
        try:
            await _serve(settings, host, port)
        finally:
            schedules.shutdown(wait=False)
    finally:
        store.close()


def server_of(app: FastAPI, limits: Limits, **options: Any) -> uvicorn.Server:
    """The server of an application; `options` go to uvicorn.Config."""
    config = uvicorn.Config(
        app,
        http=protocol_with(limits),  # type: ignore[arg-type]  # it asks for a class, and only calls it
        access_log=False,  # its lines hold paths, and paths hold ids that apps chose
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        **options,
    )
    return uvicorn.Server(config)


async def _serve(settings: Settings, host: str, port: int) -> None:
    limits = Limits(max_connections=settings.max_connections)
    _log.info("listening", host=host, port=port)
    await server_of(create_app(settings), limits, host=host, port=port).serve()
