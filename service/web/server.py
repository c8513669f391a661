"""Runs the web process."""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from pipelines.errors import PerennialError
from service.api_keys import check_listen
from service.logs import set_up_logging
from service.private_files import make_private
from service.proxy.upstream import check_upstream
from service.rounds.schedule import running_schedules
from service.settings import Settings, make_home
from service.store.session import migrate, open_store
from service.users import needs_sign_in
from service.vault import open_vault
from service.web.app import create_app
from service.web.connections import Limits, protocol_with
from service.web.listen import open_sockets
from service.web.peers import Peers

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None  # type: ignore[assignment]

_log = structlog.get_logger(__name__)
_DRAIN_SECONDS = 10
_SWITCH_SECONDS = 0.0005  # streams pass every few milliseconds, and what records them in threads gives way so soon
_GC_ALLOCATIONS = 20_000  # containers made and not freed until it looks, 700 as Python comes


def serve(
    settings: Settings,
    host: str,
    port: int,
    sockets: Sequence[socket.socket] | None = None,
    is_front: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """`run_server` in an event loop of its own, uvloop's where it is installed (about a fifth less CPU per request)."""
    with asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as runner:
        runner.run(run_server(settings, host, port, sockets, is_front, ready))


async def run_server(
    settings: Settings,
    host: str,
    port: int,
    sockets: Sequence[socket.socket] | None = None,
    is_front: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGTERM or SIGINT, then answers what it accepted and ends. `sockets` listen already; `is_front` as in
    `create_app`; `ready` is called once nothing stands in the way any more.

    Raises:
        Refused: `host` is reachable from other machines and neither an API key nor a user exists.
        PerennialError: the address is taken, the home or its key cannot be used.
    """
    set_up_logging()
    make_home(settings.home)
    if told := make_private(settings.home, settings.key_file):
        _log.warning("home_was_open", what=told)
    migrate(settings)
    store = open_store(settings)
    try:
        open_vault(settings, store)  # here, where it fails in a sentence
        check_listen(host, needs_sign_in(store))
        check_upstream(settings, host, port)
        listening = open_sockets(host, port) if sockets is None else sockets
        ready()
        with nullcontext() if is_front else running_schedules(store):
            await _serve(settings, listening, is_front)
    finally:
        store.close()


def server_of(app: FastAPI, limits: Limits, **options: Any) -> uvicorn.Server:
    """The server of an application; `options` go to uvicorn.Config."""
    config = uvicorn.Config(
        app,
        http=protocol_with(limits),  # type: ignore[arg-type]  # it asks for a class, and only calls it
        ws="none",
        access_log=False,  # its lines hold paths, and paths hold ids that apps chose
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        **options,
    )
    peers: Peers = app.state.peers
    peers.watch(config)
    server = uvicorn.Server(config)
    app.state.server = server  # streams that have no end of their own look whether it ends
    return server


def _settle_garbage_collector() -> None:
    """What is loaded by now stays for ever and is not looked through again; requests leave few circles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)


async def _serve(settings: Settings, sockets: Sequence[socket.socket], is_front: bool) -> None:
    limits = Limits(max_connections=settings.max_connections)
    _log.info("listening", addresses=[":".join(map(str, one.getsockname()[:2])) for one in sockets])
    server = server_of(create_app(settings, is_front), limits)
    _settle_garbage_collector()
    if settings.upstream is not None:
        sys.setswitchinterval(_SWITCH_SECONDS)
    await server.serve(sockets=list(sockets))
    if not server.started:
        raise PerennialError("the web process could not start; its log says why")
