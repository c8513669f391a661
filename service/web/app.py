"""The web application: API and pages over one store, one vault and one writer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.api_keys import KeyRing
from service.ingest import Arrivals, Writer
from service.settings import Settings
from service.store.session import open_store
from service.store.trainable import TrainableWatch
from service.vault import open_vault
from service.web import openapi, problems
from service.web.limits import is_proxied
from service.web.metrics import Tally
from service.web.middleware import Guard, Held
from service.web.pages.table import ROUTERS
from service.web.pages.visit import problem_page
from service.web.peers import Peers
from service.web.proxy import answer_proxied, open_passage
from service.web.routes import audit, chat, conversations, feedback, health, metrics, models, responses, rounds, users
from service.web.vitals import Vitals

_KEYS_SECONDS = 1.5  # and the proxy's watch looks five times a second: a key that is revoked ends within two

_API = (health, metrics, conversations, feedback, users, chat, responses, models, rounds, audit)
_BUSIEST_ROUTE = conversations.router.routes[0]


class Application(FastAPI):
    """FastAPI, but its busiest routes are answered before FastAPI's machinery, which costs more than all our own work.

    What guards the other routes guards those too: the same Guard, keys, errors and document. `is_front`: nearly every path
    is the upstream's.
    """

    is_front = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on to whoever answers it."""
        if scope["type"] == "http" and self.state.proxied is not None and is_proxied(scope["path"], self.is_front):
            scope["app"] = self
            await self.state.proxied(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == conversations.router.prefix:
            scope["app"] = self
            await self.state.busiest(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings, is_front: bool = False) -> FastAPI:
    """The application for a migrated database; it opens what it needs when it starts and drains it when it ends.

    `is_front`: nearly every path is the upstream's, as in `perennial proxy`; else only those below /proxy, if the settings
    name an upstream.
    """
    app = Application(
        title="Perennial",
        version="0.1.0",
        description="Rated conversations in, a measured better model out.",
        lifespan=_lifespan,
        docs_url=None,  # they load scripts from elsewhere; /openapi.json is here
        redoc_url=None,
        # it would look for somewhere to send them at every request, and they quote what is in one
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.peers = Peers()
    app.state.tally = Tally()
    problems.register(app, problem_page)
    openapi.describe(app)
    for router in (*(module.router for module in _API), *ROUTERS):
        app.include_router(router)
    most, held = settings.max_body_bytes, Held.at_least(settings.max_body_bytes)
    app.add_middleware(Guard, max_body_bytes=most, held=held)
    app.state.busiest = Guard(_store_conversations, max_body_bytes=most, held=held)
    app.is_front = is_front
    app.state.proxied = None
    if settings.upstream is not None:
        app.state.proxied = Guard(answer_proxied, max_body_bytes=most, held=held, is_front=is_front)
    return app


async def _store_conversations(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = _BUSIEST_ROUTE  # what the log calls it
    request = Request(scope, receive)
    try:
        answer = await conversations.store_conversations(request)
    except Exception as error:
        answer = await problems.answer(request, error)
    await answer(scope, receive, send)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    store = open_store(settings, limited=True)
    app.state.store = store
    app.state.vault = open_vault(settings, store)
    app.state.trainable = TrainableWatch(store)
    app.state.keys = KeyRing(store, _KEYS_SECONDS)
    app.state.writer = Writer(store, app.state.vault, settings.max_queue).start()
    app.state.arrivals = Arrivals(asyncio.get_running_loop())
    app.state.vitals = Vitals(settings, store, app.state.writer, app.state.trainable, app.state.keys)
    try:
        async with open_passage(app):
            yield
    finally:
        app.state.writer.close()
        store.close()
