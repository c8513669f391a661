"""Whose anchors are meant: a folder of a model, a recipe, or a base that this home knows by name."""

import re
from pathlib import Path
from typing import NamedTuple

from pipelines.anchors.sets import TINY, TINY_SET, SetBase
from pipelines.backends.fetch import BaseFolder
from pipelines.errors import InputError, NotFound
from pipelines.recipe import Base, Quantization
from pipelines.recipe_file import load_recipe
from pipelines.stages.baseline import base_digest, find_base, set_base
from service.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RECIPES = (".yaml", ".yml")
_QUANTIZE: Quantization = "Q8_0"  # close to the weights, and right for rows of any length


class NamedBase(NamedTuple):
    """A base, in what it is served, and the name of its set."""

    folder: BaseFolder
    quantize: Quantization
    set_name: str

    @property
    def identity(self) -> SetBase:
        """What its set says of it; reads all of its files."""
        return set_base(self.folder, base_digest(self.folder.folder))


def named_base(settings: Settings, what: str, name: str | None) -> NamedBase:
    """The base that `what` means, with the name for its set: `name`, what its recipe says, or its own.

    Raises:
        NotFound: there is neither such a folder nor a recipe, nor a base of that name.
        InputError: the name cannot be one. ModelError, RecipeError: the base or its recipe cannot be used.
    """
    base, quantize, called = _found(settings, what)
    called = name or called or base.name
    if not _NAME.fullmatch(called):
        raise InputError(
            f"'{called}' cannot name a set of anchors: it takes 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or "
            "a digit; give it one with --name"
        )
    return NamedBase(base, quantize, called)


def _found(settings: Settings, what: str) -> tuple[BaseFolder, Quantization, str | None]:
    if (settings.project / what).is_dir():
        return find_base(Base(model=what), settings.project, settings.models), _QUANTIZE, None
    known = settings.home / "recipes" / f"{what}.yaml"
    path = Path(what) if what.endswith(_RECIPES) else known
    if not path.is_file():
        raise NotFound(
            f"there is no base '{what}': give the folder of a model, the YAML file of a recipe, or the name of one in the "
            "home's recipes"
        )
    recipe = load_recipe(path)
    named = recipe.anchors if recipe.anchors and "/" not in recipe.anchors else None
    own = named or (what if path == known else None)
    return find_base(recipe.base, settings.project, settings.models), recipe.export.quantize, own


def tiny_note(settings: Settings, base: BaseFolder) -> str | None:
    """For models/tiny: that a set of its own ships."""
    if base.folder.resolve() != (settings.project / TINY).resolve():
        return None
    return (
        f"{TINY} has a set of its own in {TINY_SET}, which fits it better: it knows an invented world and little else"
    )
