"""The web application: API and pages over one store, one vault and one writer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import Route

from service.api_keys import KeyRing
from service.ingest import Writer
from service.settings import Settings
from service.store.session import open_store
from service.store.trainable import TrainableWatch
from service.vault import open_vault
from service.web import openapi, problems
from service.web.middleware import Guard
from service.web.pages import routes
from service.web.peers import Peers
from service.web.routes import chat, conversations, feedback, health, models, rounds
from service.web.vitals import Vitals


def create_app(settings: Settings) -> FastAPI:
    """The application for a migrated database; it opens what it needs when it starts and drains it when it ends."""
    app = FastAPI(
        title="Perennial",
        version="0.1.0",
        description="Rated conversations in, a measured better model out.",
        lifespan=_lifespan,
        docs_url=None,  # they load scripts from elsewhere; /openapi.json is here
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.peers = Peers()
    problems.register(app)
    openapi.describe(app)
    for module in (health, conversations, feedback, chat, models, rounds, routes):
        app.include_router(module.router)
    # the busiest route goes past FastAPI's machinery, which costs as much as our own work; the router's documents it
    path = conversations.router.prefix
    app.router.routes.insert(0, Route(path, conversations.store_conversations, methods=["POST"]))
    app.add_middleware(Guard, max_body_bytes=settings.max_body_bytes)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    store = open_store(settings, limited=True)
    app.state.store = store
    app.state.vault = open_vault(settings, store)
    app.state.trainable = TrainableWatch(store)
    app.state.keys = KeyRing(store)
    app.state.writer = Writer(store, app.state.vault, settings.max_queue).start()
    app.state.vitals = Vitals(settings, store, app.state.writer, app.state.trainable, app.state.keys)
    try:
        yield
    finally:
        app.state.writer.close()
        store.close()
