"""The recipes that a person can choose: those that ship in data/recipes, and those of this home in var/recipes.

What ships is never written over. A home's own recipe of the same name counts before the shipped one.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.artifacts import write_atomic
from pipelines.errors import Conflict, NotFound, RecipeError
from pipelines.recipe import Recipe
from pipelines.recipe_file import parse_recipe
from service.settings import Settings
from service.store import audit
from service.store.session import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class KeptRecipe:
    """A recipe in its file. `recipe` is None where the file holds none that this version acts on: `problem` says why."""

    name: str
    kind: Literal["ships", "own"]
    text: str
    recipe: Recipe | None
    problem: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the text, by which a later change of the file is seen."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def list_recipes(settings: Settings) -> list[KeptRecipe]:
    """Every recipe by name, this home's own before those that ship."""
    own = {path.stem: path for path in _files(own_recipes(settings))}
    shipped = {path.stem: path for path in _files(shipped_recipes(settings)) if path.stem not in own}
    return [_read(settings, path) for _, path in [*sorted(own.items()), *sorted(shipped.items())]]


def get_recipe(settings: Settings, name: str) -> KeptRecipe:
    """The recipe of a name. Raises NotFound with those that exist."""
    for folder in (own_recipes(settings), shipped_recipes(settings)):
        path = folder / f"{name}.yaml"
        if _NAME.fullmatch(name) and path.is_file():
            return _read(settings, path)
    known = ", ".join(sorted({path.stem for folder in _folders(settings) for path in _files(folder)})) or "none"
    raise NotFound(f"no recipe is called '{name[:80]}'; there are {known}")


def save_recipe(settings: Settings, store: Store, text: str, by: str, replaces: str | None = None) -> KeptRecipe:
    """Keep a recipe in this home under the name that it gives itself.

    Args:
        replaces: digest of the text that the writer began with, if this home's own recipe is to be changed.

    Raises:
        RecipeError: it is none that this version acts on.
        Conflict: a recipe that ships has the name, or the home's own was changed meanwhile.
    """
    name = parse_recipe(text, "given").name
    path = own_recipes(settings) / f"{name}.yaml"
    if (shipped_recipes(settings) / path.name).is_file():
        raise Conflict(f"the recipe '{name}' ships with the program and stays as it is: give yours another `name`")
    if path.is_file() and (there := _read(settings, path)).text != text and there.digest != replaces:
        raise Conflict(
            f"a recipe '{name}' is here already, and it is not the one that you began with: give yours another `name`, "
            "or open that one and change it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)
    with store.begin() as session:
        audit.record(session, by, "recipe.save", name, {"digest": _read(settings, path).digest})
    return _read(settings, path)


def own_recipes(settings: Settings) -> Path:
    """The folder of this home's own recipes."""
    return settings.home / "recipes"


def shipped_recipes(settings: Settings) -> Path:
    """The folder of the recipes that ship."""
    return settings.project / "data" / "recipes"


def _folders(settings: Settings) -> tuple[Path, Path]:
    return own_recipes(settings), shipped_recipes(settings)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.yaml") if _NAME.fullmatch(path.stem))


def _read(settings: Settings, path: Path) -> KeptRecipe:
    kind: Literal["ships", "own"] = "own" if path.parent == own_recipes(settings) else "ships"
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return KeptRecipe(path.stem, kind, text, parse_recipe(text, path.name))
    except RecipeError as error:
        return KeptRecipe(path.stem, kind, text, None, str(error))
