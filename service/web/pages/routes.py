"""The pages: server-rendered, one small script that refreshes a fragment, no state in the process.

Reading needs the scope `read`, promoting `models`. While no API key exists this machine's own user needs none.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import jinja2
from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse

from pipelines.errors import Conflict, NotFound, PerennialError
from service.api_keys import Caller, Forbidden
from service.models import promotion
from service.obstacles import Obstacle, find_obstacles
from service.settings import Settings
from service.store import models
from service.store.funnel import FunnelWatch
from service.store.session import Store
from service.store.trainable import TrainableWatch
from service.web.auth import identify
from service.web.deps import KeysDep, SettingsDep, StoreDep, VaultDep
from service.web.pages import views
from service.web.pages.rounds import round_view
from service.web.pages.session import COOKIE, HEADERS, BrowserSession, Cookies, keep
from service.web.problems import Unauthorized, about_database, retry_after, status_of

_HERE = Path(__file__).parents[1]
_STATIC = {
    "perennial.css": "text/css",
    "perennial.js": "text/javascript",
    "leaf.svg": "image/svg+xml",
    "uPlot.min.css": "text/css",
    "uPlot.iife.min.js": "text/javascript",
}
_STATIC_SECONDS = 300

View = Callable[[Session], dict[str, Any]]


class Visit:
    """One request of one browser: who it is, and how its answer is written."""

    def __init__(self, request: Request, cookies: Cookies, session: BrowserSession, caller: Caller | None) -> None:
        self.request, self.cookies, self.session, self.caller = request, cookies, session, caller

    @property
    def by(self) -> str:
        """Who this is, for the audit log."""
        return f"key:{self.caller.label}" if self.caller and self.session.key else "page:localhost"

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page with the headers that every page has."""
        person = {"key_id": self.session.key is not None} if self.caller else None
        shown = {"person": person, "csrf": self.cookies.token(self.session), "here": None, "draws": _draws(), **values}
        response = HTMLResponse(_templates().get_template(template).render(shown), status, dict(HEADERS))
        keep(response, self.session, self.request)
        return response

    def check_token(self, token: str) -> None:
        """Raises Forbidden for a form that is not one of ours."""
        if not self.cookies.is_token(self.session, token):
            raise Forbidden("this form is no longer valid, or came from another page; load the page again")


class PageRoute(APIRoute):
    """A route that answers errors as a page, and a missing key with the way to sign in."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler, with errors shown as pages."""
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                return await handle(request)
            except Unauthorized:
                return RedirectResponse("/login", 303, dict(HEADERS))
            except PerennialError as error:
                return _problem_page(request, error)
            except SQLAlchemyError as error:
                return _problem_page(request, about_database(error))

        return handle_as_page


def _problem_page(request: Request, error: PerennialError) -> Response:
    cookies = Cookies(request.app.state.vault)
    visit = Visit(request, cookies, cookies.open(request), None)
    settings: Settings = request.app.state.settings
    sentence, status = settings.without_paths(str(error)), status_of(error)
    page = visit.page("problem.html", status, title="This did not work", problem=sentence)
    page.headers.update(retry_after(status))
    return page


async def _visit(request: Request, keys: KeysDep, vault: VaultDep) -> Visit:
    """A visit by somebody who may read."""
    cookies = Cookies(vault)
    session = cookies.open(request)
    caller = await identify(request, keys, ["read"], session.key, has_token=True)
    if caller.app is not None:
        raise Forbidden(f"the pages show all apps, and the key {caller.label!r} belongs to the app {caller.app!r}")
    return Visit(request, cookies, session, caller)


async def _stranger(request: Request, vault: VaultDep) -> Visit:
    """A visit by somebody who has not signed in yet."""
    cookies = Cookies(vault)
    return Visit(request, cookies, cookies.open(request), None)


VisitDep = Annotated[Visit, Depends(_visit)]
StrangerDep = Annotated[Visit, Depends(_stranger)]
Text = Annotated[str, Form()]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file that the pages load; those of uPlot are there where set-up could fetch them (.ci/page-assets)."""
    if name not in _STATIC or not (_HERE / "static" / name).is_file():
        raise NotFound(f"there is no file {name[:80]!r}")
    headers = {"Cache-Control": f"max-age={_STATIC_SECONDS}"}
    return FileResponse(_HERE / "static" / name, media_type=_STATIC[name], headers=headers)


@router.get("/")
async def overview_(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The overview."""
    return await _live(visit, store, settings, "Overview", "/")


@router.get("/rounds")
async def rounds(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """All rounds."""
    return await _live(visit, store, settings, "Rounds", "/rounds")


@router.get("/rounds/{round_id}")
async def round_(round_id: int, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """One round."""
    return await _live(visit, store, settings, f"Round {round_id}", f"/rounds/{round_id}")


@router.get("/models")
async def models_(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """All models, and the history of promotions."""
    return await _live(visit, store, settings, "Models", "/models")


@router.get("/fragments/{path:path}")
async def fragment(path: str, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The part of a live page that changes."""
    template, view = _view_of(f"/{path}", settings, _funnel(visit.request, store), _obstacles(visit, store, settings))
    values = await run_in_threadpool(_look, store, view)
    return HTMLResponse(_templates().get_template(template).render(values), headers=dict(HEADERS))


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
    template, view = _view_of(path, settings, _funnel(visit.request, store), _obstacles(visit, store, settings))
    values = await run_in_threadpool(_look, store, view)
    here = "/" + path.split("/")[1]
    return visit.page("live.html", title=title, path=path, here=here, fragment=template, **values)


def _funnel(request: Request, store: Store) -> FunnelWatch:
    """The process's one watch over the funnel."""
    state = request.app.state
    if not hasattr(state, "funnel"):
        state.funnel = FunnelWatch(store)
    found: FunnelWatch = state.funnel
    return found


def _obstacles(visit: Visit, store: Store, settings: Settings) -> Callable[[], list[Obstacle]]:
    counts: TrainableWatch = visit.request.app.state.trainable
    return lambda: find_obstacles(settings, store, counts=counts)


def _view_of(
    path: str, settings: Settings, funnel: FunnelWatch, obstacles: Callable[[], list[Obstacle]]
) -> tuple[str, View]:
    """The template and data of a live page. Raises NotFound."""
    if path == "/":
        return "overview.html", lambda session: views.overview_view(session, settings, funnel(), obstacles())
    if path == "/rounds":
        return "rounds.html", views.rounds_view
    if path == "/models":
        return "models.html", lambda session: views.models_view(session, settings)
    number = path.removeprefix("/rounds/")
    if path.startswith("/rounds/") and number.isdecimal() and len(number) < 10:
        return "round.html", lambda session: round_view(session, settings, int(number))
    raise NotFound(f"there is no page {path[:80]!r}")


def _look(store: Store, view: View) -> dict[str, Any]:
    with store.read() as session:
        return view(session)


def _check(visit: Visit, token: str) -> None:
    visit.check_token(token)
    if visit.caller is None or not visit.caller.may("models"):
        raise Forbidden("this key may not promote: it needs the scope 'models'")


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


def _draws() -> bool:
    """Whether the library that draws curves is there; without it the pages show their figures."""
    return (_HERE / "static" / "uPlot.iife.min.js").is_file()


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
