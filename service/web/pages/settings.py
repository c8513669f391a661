"""The settings of the whole service: what this machine is set to, and who did what and when.

Their pages share a second row of tabs: each that a visitor may open is offered.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse

from pipelines.errors import InputError, PerennialError
from service.choices import LATER, RETENTION, RULES, choose_names, choose_retention, is_set_outside, next_settings
from service.models.targets.deploy import TargetView, list_targets
from service.obstacles import naming
from service.settings import Settings
from service.store import audit
from service.store.session import Store
from service.web.deps import SettingsDep, StoreDep
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import status_of

_TABS = (
    ("/settings", N_("This machine"), "people"),
    ("/settings/keys", N_("API keys"), "admin"),
    ("/settings/users", N_("Users"), "admin"),
    ("/settings/people", N_("People's data"), "people"),
    ("/audit", N_("Audit"), "admin"),
)
_RETENTION = {
    "PERENNIAL_RETENTION_DAYS": ("retention_days", N_("What people wrote as it came in, after it was curated")),
    "PERENNIAL_REJECTED_DAYS": ("rejected_days", N_("What curation rejected or could not check")),
    "PERENNIAL_ERASURE_KEEP_DAYS": ("erasure_keep_days", N_("A model that learned from somebody who was forgotten")),
    "PERENNIAL_LOG_DAYS": ("log_days", N_("Logs of this service, after their last line")),
}
_AUDIT_ENTRIES = 100

Text = Annotated[str, Form()]


class Kept(NamedTuple):
    """For how many days something is kept now and from the next start on; `is_fixed`: the environment says so."""

    words: str
    name: str
    now: int
    next: int
    is_fixed: bool


router = APIRouter(route_class=PageRoute, include_in_schema=False)


def settings_page(visit: Visit, template: str, tab: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the settings; `tab` is the address of the tab that is open."""
    tabs = [(path, label) for path, label, scope in _TABS if visit.may(scope)]
    return visit.page(template, status, here="/settings", tab=tab, tabs=tabs, **values)


@router.get("/settings")
def machine(visit: VisitDep, store: StoreDep, settings: SettingsDep, kept: Annotated[str, Query()] = "") -> Response:
    """How names are found on this machine, how long what is kept, and where the champion is brought."""
    visit.require("people")
    return _machine(visit, store, settings, kept=bool(kept))


@router.post("/settings/names")
def names(visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, how: Text, model: Text = "") -> Response:
    """Chooses how names are found from the next start on."""
    answer = how if how in (RULES, LATER) else model
    return _choose(visit, store, settings, csrf, lambda: choose_names(settings, store, answer, visit.by))


@router.post("/settings/retention")
async def retention(visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text) -> Response:
    """Chooses for how many days what is kept from the next start on."""
    form = await visit.request.form()
    days = {name: str(form[name]).strip() for name in RETENTION if name in form}
    choose = partial(choose_retention, settings, store, days, visit.by)
    return await run_in_threadpool(_choose, visit, store, settings, csrf, choose)


def _choose(visit: Visit, store: Store, settings: Settings, csrf: str, choose: Callable[[], None]) -> Response:
    visit.check_token(csrf)
    visit.require("admin")
    try:
        choose()
    except PerennialError as error:
        return _machine(visit, store, settings, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse("/settings?kept=1", 303, dict(HEADERS))


def _machine(
    visit: Visit, store: Store, settings: Settings, problem: str = "", status: int = 200, *, kept: bool = False
) -> Response:
    following = next_settings(settings)
    targets: list[TargetView] = []
    with store.read() as session:
        obstacles = list(naming(settings, session))
        try:
            targets = list_targets(settings, session)
        except InputError as error:  # of the file that names them
            problem = problem or settings.without_paths(str(error))
    return settings_page(
        visit,
        "settings.html",
        "/settings",
        status,
        now=settings,
        next=following,
        obstacles=obstacles,
        targets=targets,
        retention=[
            Kept(words, name, getattr(settings, field), getattr(following, field), is_set_outside(name))
            for name, (field, words) in _RETENTION.items()
        ],
        problem=problem,
        kept=kept,
    )


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
    return settings_page(visit, "audit.html", "/audit", entries=shown, next_before=next_before)
