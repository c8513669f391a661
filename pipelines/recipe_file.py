"""Recipes from YAML: a file or text in, a Recipe out; what cannot be acted on is refused in one sentence that names it."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.errors import RecipeError
from pipelines.recipe import Recipe, Section


def load_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file; a relative `base.model` stays relative to the project, not to the file.

    Raises:
        RecipeError: the file is missing, is not YAML, or has a key or value that this version does not act on.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"the recipe {path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str) -> Recipe:
    """The recipe in a YAML text; `name` stands in error messages."""
    try:
        raw = yaml.load(text, _OneOfEachKey)
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {name} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise RecipeError(f"recipe {name} is nested too deeply to be a recipe") from error
    if not isinstance(raw, Mapping):
        raise RecipeError(f"recipe {name} holds {type(raw).__name__}, not a mapping of keys")
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"recipe {name}: " + "; ".join(_sentences(error))) from error
    if not recipe.gates:  # said now, not after hours of training
        raise RecipeError(f"recipe {name} has no gates; a candidate without a gate is never promoted")
    return recipe


class _OneOfEachKey(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping; YAML itself takes the last and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _sentences(error: ValidationError) -> list[str]:
    return [_sentence(dict(problem)) for problem in error.errors()]


def _sentence(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _all_keys(), n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"this version does not act on the key `{'.'.join(place)}`{hint}"
    if problem["type"] == "missing":
        return f"the key `{'.'.join(place)}` is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    shown = f" (given {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    return f"`{'.'.join(place)}`: {message}{shown}" if place else message


def _all_keys() -> list[str]:
    return sorted({key for section in Section.__subclasses__() for key in section.model_fields})
