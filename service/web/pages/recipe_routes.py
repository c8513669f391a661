"""Recipes: those that ship and those of this home, with what is wrong with a text while it is typed."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response
from starlette.responses import JSONResponse, RedirectResponse

from pipelines.errors import PerennialError
from pipelines.recipe_file import find_problems
from service.rounds.library import get_recipe, list_recipes, save_recipe
from service.web.deps import SettingsDep, StoreDep
from service.web.pages.asking import RecipeText, Text
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.problems import status_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/recipes")
def recipes(visit: VisitDep, settings: SettingsDep) -> Response:
    """All recipes."""
    visit.require("operate")
    return visit.page("recipes.html", here="/recipes", recipes=list_recipes(settings))


@router.post("/recipes/check")
def check(visit: VisitDep, csrf: Text, text: Annotated[str, Form(max_length=400_000)] = "") -> Response:
    """What is wrong with a text, line by line, for the editor: {"problems": [{"line": 12, "sentence": "..."}]}."""
    visit.check_token(csrf)
    problems = [one._asdict() for one in find_problems(text.replace("\r\n", "\n"))]
    return JSONResponse({"problems": problems}, headers=dict(HEADERS))


@router.post("/recipes/save")
def save(
    visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text, text: RecipeText, replaces: Text = ""
) -> Response:
    """Keeps a recipe in this home, and shows it."""
    visit.check_token(csrf)
    visit.require("operate")
    text = text.replace("\r\n", "\n")
    try:
        kept = save_recipe(settings, store, text, visit.by, replaces or None)
    except PerennialError as error:
        shown: dict[str, Any] = {"problem": settings.without_paths(str(error)), "replaces": replaces}
        return _editor(visit, text, status=status_of(error), **shown)
    return RedirectResponse(f"/recipes/{kept.name}?saved=1", 303, dict(HEADERS))


@router.get("/recipes/{name}")
def recipe(name: str, visit: VisitDep, settings: SettingsDep, saved: Annotated[bool, Query()] = False) -> Response:
    """One recipe in the editor; of one that ships a copy is kept."""
    visit.require("operate")
    kept = get_recipe(settings, name)
    replaces = kept.digest if kept.kind == "own" else ""
    return _editor(visit, kept.text, name=name, ships=kept.kind == "ships", saved=saved, replaces=replaces)


def _editor(
    visit: Visit,
    text: str,
    *,
    status: int = 200,
    name: str = "",
    ships: bool = False,
    saved: bool = False,
    problem: str = "",
    replaces: str = "",
) -> Response:
    return visit.page(
        "recipe.html",
        status,
        here="/recipes",
        text=text,
        name=name,
        ships=ships,
        saved=saved,
        problem=problem,
        replaces=replaces,
        problems=find_problems(text),
    )
