"""Recipes from YAML: a file or text in, a Recipe out; what cannot be acted on is refused in one sentence that names it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from pipelines.errors import DataError, RecipeError
from pipelines.plain_yaml import find_line, line_of_problem, parse_plain_yaml, read_plain_yaml
from pipelines.recipe import Recipe, Section
from pipelines.text import find_nearest, shorten

_MAX_SENTENCES = 10
_NO_GATES = "has no gates; a candidate without a gate is never promoted"


class Problem(NamedTuple):
    """What is wrong with a recipe in a sentence, and on which line of its text, from 1."""

    line: int
    sentence: str


def load_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file; a relative `base.model` stays relative to the project, not to the file.

    Raises:
        RecipeError: the file is missing, is not YAML, or has a key or value that this version does not act on.
    """
    try:
        text = read_plain_yaml(path, f"the recipe {path}")
    except DataError as error:
        raise RecipeError(str(error)) from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str) -> Recipe:
    """The recipe in a YAML text; `name` stands in error messages."""
    try:
        raw = parse_plain_yaml(text, f"recipe {name}")
    except DataError as error:
        raise RecipeError(str(error)) from error
    if not isinstance(raw, Mapping):
        raise RecipeError(f"recipe {name} holds {type(raw).__name__}, not a mapping of keys")
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"recipe {name}: {_sentences(error)}") from error
    if not recipe.gates:  # said now, not after hours of training
        raise RecipeError(f"recipe {name} {_NO_GATES}")
    return recipe


def find_problems(text: str) -> list[Problem]:
    """What is wrong with a recipe's text, by line; empty for one that this version acts on."""
    try:
        raw = parse_plain_yaml(text, "the recipe")
    except DataError as error:
        return [Problem(line_of_problem(error), str(error))]
    if not isinstance(raw, Mapping):
        return [Problem(1, f"the recipe holds {type(raw).__name__}, not a mapping of keys")]
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        problems = [(find_line(text, one["loc"]), _sentence(dict(one))) for one in error.errors()]
        return [Problem(line, sentence) for line, sentence in sorted(problems)[:_MAX_SENTENCES]]
    return [] if recipe.gates else [Problem(find_line(text, ("gates",)), f"the recipe {_NO_GATES}")]


def _sentences(error: ValidationError) -> str:
    """The first few problems, each in a sentence, and how many more there are."""
    problems = error.errors()
    more = f"; and {len(problems) - _MAX_SENTENCES} more" if len(problems) > _MAX_SENTENCES else ""
    return "; ".join(_sentence(dict(problem)) for problem in problems[:_MAX_SENTENCES]) + more


def _sentence(problem: Mapping[str, Any]) -> str:
    steps = [str(step) for step in problem["loc"]]
    place = ".".join(shorten(step) for step in steps)
    if problem["type"] == "extra_forbidden":
        near = find_nearest(steps[-1], _all_keys())
        hint = f"; did you mean `{near}`?" if near else ""
        return f"this version does not act on the key `{place}`{hint}"
    if problem["type"] == "missing":
        return f"the key `{place}` is missing"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    shown = f" (given {shorten(repr(value))})" if isinstance(value, str | int | float | bool) or value is None else ""
    return f"`{place}`: {shorten(message, 500)}{shown}" if place else shorten(message, 500)


def _all_keys() -> list[str]:
    return sorted({key for section in Section.__subclasses__() for key in section.model_fields})
