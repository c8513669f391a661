"""Schedules: which recipes ask for rounds by themselves, when next, and whether there will be enough to learn from."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from pipelines.errors import PerennialError, RecipeError
from service.rounds.library import get_recipe, list_recipes
from service.rounds.outlook import count_new_now, schedule_outlooks
from service.rounds.permission import check_base_is_here, check_permission
from service.rounds.schedule import add_schedule, remove_schedule
from service.settings import Settings
from service.store.session import Store
from service.web.deps import SettingsDep, StoreDep
from service.web.pages.counted import Counted
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.problems import status_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Text = Annotated[str, Form(max_length=80)]


@router.get("/schedule")
def schedule(visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The schedules."""
    visit.require("operate")
    return _page(visit, store, settings)


@router.post("/schedule/on")
def turn_on(visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, recipe: Text) -> Response:
    """Lets a recipe ask for rounds by itself."""
    visit.check_token(csrf)
    visit.require("rounds")
    try:
        kept = get_recipe(settings, recipe)
        if kept.recipe is None:
            raise RecipeError(kept.problem)
        assert visit.caller is not None
        check_permission(settings, visit.caller, kept.recipe)
        check_base_is_here(settings, kept.recipe)
        add_schedule(store, kept.text, visit.by)
    except PerennialError as error:
        return _page(visit, store, settings, settings.without_paths(str(error)), status_of(error))
    return RedirectResponse("/schedule", 303, dict(HEADERS))


@router.post("/schedule/{name}/off")
def turn_off(name: str, visit: VisitDep, store: StoreDep, csrf: Text) -> Response:
    """Lets a recipe ask for no more rounds; those that it asked for stay."""
    visit.check_token(csrf)
    visit.require("rounds")
    remove_schedule(store, name, visit.by)
    return RedirectResponse("/schedule", 303, dict(HEADERS))


def _page(visit: Visit, store: Store, settings: Settings, problem: str = "", status: int = 200) -> Response:
    with store.read() as session:
        outlooks = schedule_outlooks(session, partial(_count, visit.request, store))
    on = {one.view.name for one in outlooks}
    able = [one for one in list_recipes(settings) if one.recipe and one.recipe.schedule and one.recipe.schedule.cron]
    off = [one for one in able if one.recipe and one.recipe.name not in on]
    return visit.page("schedule.html", status, here="/schedule", outlooks=outlooks, off=off, problem=problem)


def _count(request: Request, store: Store, enough: int) -> int | None:
    """How many conversations are new, counted beside the page: of many thousands that takes a second."""
    state = request.app.state
    if not hasattr(state, "new_conversations"):
        state.new_conversations = {}
    counts: dict[int, Counted[int]] = state.new_conversations
    return counts.setdefault(enough, Counted(partial(count_new_now, store, enough)))()
