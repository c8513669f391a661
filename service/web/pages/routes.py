"""The pages: server-rendered, one small script that refreshes a fragment, no state in the process.

Reading needs the scope `read`, promoting `models`. While no API key exists this machine's own user needs none.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from pipelines.errors import NotFound
from service.settings import Settings
from service.store.session import Store
from service.web.deps import SettingsDep, StoreDep
from service.web.pages import views
from service.web.pages.model_views import models_view
from service.web.pages.overview import Overview
from service.web.pages.visit import WEB, PageRoute, Visit, VisitDep

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
_STATIC_SECONDS = 300

View = Callable[[Session], dict[str, Any]]


Text = Annotated[str, Form()]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file that the pages load; those of uPlot and htmx are there where set-up could fetch them (.ci/page-assets)."""
    path = next((path for path in (WEB / "static").iterdir() if path.name == name and path.suffix in _TYPES), None)
    if path is None:
        raise NotFound(f"there is no file {name[:80]!r}")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": f"max-age={_STATIC_SECONDS}"})


@router.get("/")
async def overview_(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The overview."""
    return await _live(visit, store, settings, "Overview", "/")


@router.get("/rounds")
async def rounds(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """All rounds."""
    return await _live(visit, store, settings, "Rounds", "/rounds")


@router.get("/models")
async def models_(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """All models, and the history of promotions."""
    return await _live(visit, store, settings, "Models", "/models")


@router.get("/fragments/{path:path}")
async def fragment(path: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The part of a live page that changes."""
    template, view = _view_of(f"/{path}", visit.request, settings)
    values = await run_in_threadpool(_look, store, view)
    return visit.fragment(template, **values)


async def _live(visit: Visit, store: Store, settings: Settings, title: str, path: str) -> Response:
    template, view = _view_of(path, visit.request, settings)
    values = await run_in_threadpool(_look, store, view)
    here = "/" + path.split("/")[1]
    return visit.page("live.html", title=title, path=path, here=here, fragment=template, **values)


def _overview(request: Request) -> Overview:
    """The process's one overview, which keeps what was counted."""
    state = request.app.state
    if not hasattr(state, "overview"):
        state.overview = Overview(state.settings, state.store, state.vault, state.trainable)
    found: Overview = state.overview
    return found


def _view_of(path: str, request: Request, settings: Settings) -> tuple[str, View]:
    """The template and data of a live page. Raises NotFound."""
    if path == "/":
        return "overview.html", _overview(request).view
    if path == "/rounds":
        return "rounds.html", views.rounds_view
    if path == "/models":
        return "models.html", lambda session: models_view(session, settings)
    raise NotFound(f"there is no page {path[:80]!r}")


def _look(store: Store, view: View) -> dict[str, Any]:
    with store.read() as session:
        return view(session)
