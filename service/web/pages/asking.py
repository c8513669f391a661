"""Asking for a round from the page: a recipe is chosen and changed, its plan is shown, and then it is asked for."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from starlette.responses import RedirectResponse

from pipelines.errors import Conflict, PerennialError
from pipelines.forecast.plan import REFUSED, Plan
from pipelines.recipe import Recipe
from pipelines.recipe_file import find_problems, parse_recipe
from service.obstacles import find_obstacles
from service.rounds.forecast import plan_recipe
from service.rounds.library import get_recipe, list_recipes
from service.rounds.permission import check_base_is_here, check_permission
from service.rounds.requests import request_round
from service.settings import Settings
from service.store import rounds
from service.store.session import Store
from service.web.deps import SettingsDep, StoreDep, VaultDep
from service.web.pages.outcome import size_in_words
from service.web.pages.rounds import clock
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.problems import status_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
MAX_RECIPE = 100_000
Text = Annotated[str, Form()]
RecipeText = Annotated[str, Form(max_length=MAX_RECIPE)]


@router.get("/rounds/new")
def new(
    visit: VisitDep,
    store: StoreDep,
    settings: SettingsDep,
    recipe: Annotated[str, Query(max_length=80)] = "",
    again: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None,
) -> Response:
    """The recipes to choose from, and the text of the chosen one, or of the round that is to run again."""
    visit.require("rounds")
    text = get_recipe(settings, recipe).text if recipe else ""
    if again is not None:
        with store.read() as session:
            text = rounds.get_round(session, again).recipe
    return _new(visit, settings, text, recipe, again)


@router.post("/rounds/plan")
def plan(
    visit: VisitDep,
    store: StoreDep,
    settings: SettingsDep,
    vault: VaultDep,
    csrf: Text,
    text: RecipeText,
    timed: Annotated[bool, Form()] = False,
) -> Response:
    """What a round of this recipe would be, and what stops it; starts nothing."""
    visit.check_token(csrf)
    visit.require("rounds")
    text = _as_typed(text)
    try:
        recipe = parse_recipe(text, "given")
        told = plan_recipe(settings, store, vault, recipe, timed=timed)
    except PerennialError as error:
        return _new(visit, settings, text, problem=settings.without_paths(str(error)), status=status_of(error))
    return _plan(visit, settings, store, recipe, told, text)


@router.post("/rounds")
def start(visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, text: RecipeText) -> Response:
    """Asks for a round, as the API does, and shows it."""
    visit.check_token(csrf)
    visit.require("rounds")
    text = _as_typed(text)
    try:
        number = _ask(visit, settings, store, text)
    except PerennialError as error:
        return _new(visit, settings, text, problem=settings.without_paths(str(error)), status=status_of(error))
    return RedirectResponse(f"/rounds/{number}", 303, dict(HEADERS))


def _ask(visit: Visit, settings: Settings, store: Store, text: str) -> int:
    recipe = parse_recipe(text, "given")
    _check(visit, settings, recipe)
    number = request_round(store, text, by=visit.by, key=visit.caller.key if visit.caller else None)
    if number is None:
        raise Conflict("the round was not recorded; ask again")
    return number


def _check(visit: Visit, settings: Settings, recipe: Recipe) -> None:
    """Raise what keeps this visitor from asking for a round of this recipe."""
    assert visit.caller is not None
    check_permission(settings, visit.caller, recipe)
    check_base_is_here(settings, recipe)


def _new(
    visit: Visit,
    settings: Settings,
    text: str,
    chosen: str = "",
    again: int | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    return visit.page(
        "round_new.html",
        status,
        here="/rounds",
        recipes=list_recipes(settings),
        chosen=chosen,
        again=again,
        text=text,
        problem=problem,
        problems=find_problems(text) if text else [],
    )


def _plan(visit: Visit, settings: Settings, store: Store, recipe: Recipe, told: Plan, text: str) -> Response:
    stops = [warning.removeprefix(REFUSED) for warning in told.warnings if warning.startswith(REFUSED)]
    try:
        _check(visit, settings, recipe)
    except PerennialError as error:
        stops.append(settings.without_paths(str(error)))
    return visit.page(
        "plan.html",
        here="/rounds",
        plan=told,
        text=text,
        stops=list(dict.fromkeys(stops)),
        notes=[warning for warning in told.warnings if not warning.startswith(REFUSED)],
        obstacles=find_obstacles(settings, store, recipe),
        hours=clock(told.seconds) if told.times else "",
        memory=size_in_words(told.memory.bytes) if told.memory else "",
        usable=size_in_words(told.memory.usable_bytes) if told.memory else "",
        disk=size_in_words(told.disk_bytes),
        free=size_in_words(told.free_bytes),
        clock=clock,
    )


def _as_typed(text: str) -> str:
    """A form sends its line ends as CR and LF."""
    return text.replace("\r\n", "\n")
