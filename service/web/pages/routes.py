"""The pages: server-rendered, one small script that refreshes a fragment, no state in the process.

Reading needs the scope `read`, promoting `models`. While no API key exists this machine's own user needs none.
"""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse

from pipelines.errors import Conflict, NotFound, PerennialError
from service.models import promotion
from service.settings import Settings
from service.store import audit, models
from service.store.session import Store
from service.web.deps import KeysDep, SettingsDep, StoreDep
from service.web.pages import views
from service.web.pages.overview import Overview
from service.web.pages.session import COOKIE, HEADERS, keep
from service.web.pages.visit import WEB, PageRoute, StrangerDep, Visit, VisitDep
from service.web.problems import status_of

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
_STATIC_SECONDS = 300
_AUDIT_ENTRIES = 100

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


@router.get("/audit")
def audit_(visit: VisitDep, store: StoreDep, before: Annotated[int | None, Query(ge=1, le=2**31)] = None) -> Response:
    """Who did what and when."""
    visit.require("admin")
    with store.read() as session:
        shown = [
            row.model_dump() | {"words": audit.in_words(row.detail)}
            for row in audit.entries(session, before, _AUDIT_ENTRIES)
        ]
    next_before = shown[-1]["id"] if len(shown) == _AUDIT_ENTRIES else None
    return visit.page("audit.html", here="/audit", entries=shown, next_before=next_before)


@router.get("/fragments/{path:path}")
async def fragment(path: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The part of a live page that changes."""
    template, view = _view_of(f"/{path}", visit.request, settings)
    values = await run_in_threadpool(_look, store, view)
    return visit.fragment(template, **values)


@router.get("/models/rollback")
def confirm_rollback(visit: VisitDep, store: StoreDep) -> Response:
    """Asks whether to go back to the champion before."""
    return _confirm_rollback(visit, store)


@router.post("/models/rollback")
def rollback(
    visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, override_reason: Text = ""
) -> Response:
    """Goes back, and shows the models."""
    _check(visit, csrf)
    try:
        promotion.rollback(store, settings, visit.by, override_reason or None)
    except PerennialError as error:
        return _confirm_rollback(visit, store, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse("/models", 303, dict(HEADERS))


@router.get("/models/{model_id}/promote")
def confirm_promote(model_id: str, visit: VisitDep, store: StoreDep) -> Response:
    """Asks whether to promote a model, and says what speaks against it."""
    return _confirm_promote(visit, store, model_id)


@router.post("/models/{model_id}/promote")
def promote(
    model_id: str, visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, override_reason: Text = ""
) -> Response:
    """Promotes, and shows the model."""
    _check(visit, csrf)
    try:
        promotion.promote(store, settings, model_id, visit.by, override_reason or None)
    except NotFound:
        raise
    except PerennialError as error:
        return _confirm_promote(visit, store, model_id, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse(f"/models#{quote(model_id)}", 303, dict(HEADERS))


@router.get("/login")
def login_form(visit: StrangerDep) -> Response:
    """The form that takes an API key."""
    return visit.page("login.html", problem="")


@router.post("/login")
async def login(visit: StrangerDep, keys: KeysDep, csrf: Text, key: Text) -> Response:
    """Begins a session for the key, or says what is wrong with it."""
    visit.check_token(csrf)
    if keys.is_stale:
        await run_in_threadpool(keys.refresh)
    caller = keys.find(key.strip())
    if caller is None or not caller.may("read"):
        problem = "this API key is unknown or revoked" if caller is None else "this key lacks the scope 'read'"
        return visit.page("login.html", 403, problem=f"{problem}; see `perennial keys list`")
    response = RedirectResponse("/", 303, dict(HEADERS))
    keep(response, visit.cookies.begin(key.strip()), visit.request)
    return response


@router.post("/logout")
def logout(visit: StrangerDep, csrf: Text) -> Response:
    """Ends the session."""
    visit.check_token(csrf)
    response = RedirectResponse("/login", 303, dict(HEADERS))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


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
        return "models.html", lambda session: views.models_view(session, settings)
    raise NotFound(f"there is no page {path[:80]!r}")


def _look(store: Store, view: View) -> dict[str, Any]:
    with store.read() as session:
        return view(session)


def _check(visit: Visit, token: str) -> None:
    visit.check_token(token)
    visit.require("models")


def _confirm_promote(visit: Visit, store: Store, model_id: str, problem: str = "", status: int = 200) -> Response:
    with store.read() as session:
        entry = models.get_model(session, model_id)
        champion = models.champion_id(session)
        against = promotion.objections(session, entry)
    if champion == model_id:
        problem, status = problem or f"'{model_id}' is the champion already", status if problem else 409
    return visit.page(
        "confirm.html",
        status,
        here="/models",
        title=f"Promote {model_id}",
        target=model_id,
        champion=champion,
        objections=against,
        verdict_reasons=entry.model.reasons,
        problem=problem,
        blocked=champion == model_id,
        action=f"/models/{quote(model_id)}/promote",
        button="Promote against the rules" if against else "Promote",
    )


def _confirm_rollback(visit: Visit, store: Store, problem: str = "", status: int = 200) -> Response:
    with store.read() as session:
        target, champion = models.rollback_target(session), models.champion_id(session)
        entry = models.get_model(session, target) if target else None
    if entry is None:
        raise Conflict("there is no earlier champion to roll back to")
    against = promotion.taint(entry.model)
    return visit.page(
        "confirm.html",
        status,
        here="/models",
        title=f"Roll back to {target}",
        target=target,
        champion=champion,
        objections=against,
        verdict_reasons=[],
        problem=problem,
        blocked=False,
        action="/models/rollback",
        button="Roll back against the rules" if against else "Roll back",
    )
