"""The settings of the whole service: what this machine is set to, and who did what and when.

Their pages share a second row of tabs: each that a visitor may open is offered.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from starlette.responses import HTMLResponse

from service.obstacles import naming
from service.settings import Settings
from service.store import audit
from service.web.deps import SettingsDep, StoreDep
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_

_TABS = (
    ("/settings", N_("This machine"), "people"),
    ("/settings/keys", N_("API keys"), "admin"),
    ("/settings/users", N_("Users"), "admin"),
    ("/settings/people", N_("People's data"), "people"),
    ("/audit", N_("Audit"), "admin"),
)
_RETENTION = (
    ("PERENNIAL_RETENTION_DAYS", "retention_days", N_("What people wrote as it came in, after it was curated")),
    ("PERENNIAL_REJECTED_DAYS", "rejected_days", N_("What curation rejected or could not check")),
    ("PERENNIAL_ERASURE_KEEP_DAYS", "erasure_keep_days", N_("A model that learned from somebody who was forgotten")),
    ("PERENNIAL_LOG_DAYS", "log_days", N_("Logs of this service, after their last line")),
)
_AUDIT_ENTRIES = 100

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def settings_page(visit: Visit, template: str, tab: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the settings; `tab` is the address of the tab that is open."""
    tabs = [(path, label) for path, label, scope in _TABS if visit.may(scope)]
    return visit.page(template, status, here="/settings", tab=tab, tabs=tabs, **values)


@router.get("/settings")
def machine(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """How names are found on this machine, and how long what is kept."""
    visit.require("people")
    with store.read() as session:
        obstacles = list(naming(settings, session))
    return settings_page(
        visit,
        "settings.html",
        "/settings",
        models=(settings.ner_model or "").split(",") if settings.ner_model else [],
        obstacles=obstacles,
        by_rules=settings.allow_degraded_names,
        people=settings.public_names_people,
        own_rules=settings.recognizers is not None,
        retention=_retention(settings),
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


def _retention(settings: Settings) -> list[tuple[str, int, str]]:
    """What is kept in words, for how many days, and the setting that says so."""
    return [(words, getattr(settings, field), name) for name, field, words in _RETENTION]
