"""Bases, sets of anchors and suites: what there is, and making more of it while the page shows how far that is."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from pipelines.bases.first_recipe import size_words
from pipelines.errors import InputError, PerennialError
from pipelines.suites.benchmarks.make import BENCHMARKS
from pipelines.suites.load import load_suite
from service.anchors.listing import list_sets
from service.bases.records import AdoptedBase, list_bases
from service.jobs.desk import JobDesk
from service.jobs.records import Kind
from service.rounds.library import list_recipes
from service.settings import Settings
from service.web.deps import SettingsDep
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import status_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Text = Annotated[str, Form(max_length=500)]
JOB_WORDS = {"base": N_("Adopt a base"), "anchors": N_("Make anchors"), "suite": N_("Add a suite")}
JOB_STATES = (N_("done"), N_("interrupted"))


class SuiteLine(NamedTuple):
    """A suite with its items to choose on and for gates; `is_own`: it was added here."""

    name: str
    dev: int
    gate: int
    metric: str
    is_own: bool = False


@router.get("/bases")
def bases(visit: VisitDep, settings: SettingsDep) -> Response:
    """What there is, and what is being made."""
    visit.require("operate")
    return _page(visit, settings)


@router.get("/bases/jobs")
def jobs(visit: VisitDep) -> Response:
    """What is being made, as the part of the page that changes."""
    visit.require("operate")
    return visit.fragment("jobs.html", csrf=visit.cookies.token(visit.session), **_jobs(visit.request))


@router.post("/bases/adopt")
def adopt(visit: VisitDep, settings: SettingsDep, csrf: Text, what: Text, name: Text = "") -> Response:
    """Begins to adopt a folder, a file or a model of the hub: any of this machine, so only an administrator may."""
    return _begin(visit, settings, csrf, "admin", "base", what.strip(), {"name": name.strip() or None})


@router.post("/bases/anchors")
def anchors(
    visit: VisitDep,
    settings: SettingsDep,
    csrf: Text,
    recipe: Text,
    count: Annotated[int, Form(ge=1, le=20_000)] = 1000,
) -> Response:
    """Begins to have the base of one of this home's recipes write its anchors."""
    visit.check_token(csrf)
    visit.require("operate")
    if recipe not in {one.name for one in list_recipes(settings) if one.kind == "own"}:
        return _page(visit, settings, f"this home has no recipe of its own called '{recipe[:80]}'", 404)
    return _begin(visit, settings, csrf, "operate", "anchors", recipe, {"count": count})


@router.post("/bases/suite")
def suite(
    visit: VisitDep,
    settings: SettingsDep,
    csrf: Text,
    what: Text,
    data: Text = "",
    hub: Annotated[bool, Form()] = False,
) -> Response:
    """Begins to add a benchmark from a folder of this machine or from the hub, or a file of one's own checks."""
    arguments = {"data": data.strip() or None, "hub": hub}
    return _begin(visit, settings, csrf, "admin", "suite", what.strip(), arguments)


@router.post("/bases/jobs/{job_id}/stop")
def stop(job_id: str, visit: VisitDep, csrf: Text) -> Response:
    """Ends what is being made; asked for again it goes on where it was."""
    visit.check_token(csrf)
    visit.require("operate")
    _desk(visit.request).stop(job_id, visit.by)
    return RedirectResponse("/bases", 303, dict(HEADERS))


def _begin(
    visit: Visit, settings: Settings, csrf: str, scope: str, kind: Kind, what: str, arguments: Mapping[str, Any]
) -> Response:
    visit.check_token(csrf)
    visit.require(scope)
    try:
        if not what:
            raise InputError("say which one: a folder, a file, or a name")
        _desk(visit.request).begin(kind, what, arguments, visit.by)
    except PerennialError as error:
        return _page(visit, settings, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse("/bases", 303, dict(HEADERS))


def _page(visit: Visit, settings: Settings, problem: str = "", status: int = 200) -> Response:
    return visit.page(
        "bases.html",
        status,
        here="/bases",
        problem=problem,
        bases=[(one, _size(one)) for one in list_bases(settings)],
        sets=list_sets(settings),
        suites=_suites(settings),
        benchmarks=BENCHMARKS,
        recipes=[one.name for one in list_recipes(settings) if one.kind == "own" and one.recipe],
        **_jobs(visit.request),
    )


def _jobs(request: Request) -> dict[str, Any]:
    views = _desk(request).look()
    return {"jobs": views, "is_busy": any(one.job.state == "running" for one in views), "words": JOB_WORDS}


def _desk(request: Request) -> JobDesk:
    """The process's one desk."""
    state = request.app.state
    if not hasattr(state, "jobs"):
        state.jobs = JobDesk(state.settings, state.store)
    desk: JobDesk = state.jobs
    return desk


def _size(base: AdoptedBase) -> str:
    return size_words(base.facts) if base.facts else ""


def _suites(settings: Settings) -> list[SuiteLine]:
    """Every suite that can be read, those that ship first."""
    found = []
    for folder in settings.suite_folders:
        for path in sorted(folder.glob("*/")):
            line = _suite_line(path, path.stat().st_mtime_ns)
            found += [line._replace(is_own=folder == settings.suites)] if line else []
    return found


@lru_cache(maxsize=200)
def _suite_line(path: Path, changed_at: int) -> SuiteLine | None:
    """A suite in a line, read once: large ones take a second."""
    try:
        one = load_suite(path)
    except PerennialError:
        return None
    return SuiteLine(one.name, len(one.items["dev"]), len(one.items["gate"]), one.metric)
