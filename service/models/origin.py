"""The untouched base as the first champion, so that a fresh home answers before its first round.

var/origin.json   {"pid": 17, "recipe": "data/recipes/tiny.yaml", "problem": null}     while it is made, or why it was not
"""

import os
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.artifacts import write_atomic
from pipelines.errors import Conflict, PerennialError, Refused
from pipelines.recipe import Recipe
from pipelines.recipe_file import load_recipe
from pipelines.stages.baseline import find_base, prepare_origin
from service.liveness import another_lives
from service.models.promotion import promote
from service.settings import Settings
from service.store import models
from service.store.session import Store

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Preparation(BaseModel):
    """The making of the first champion: which process makes it from what, or the sentence by which it failed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    recipe: str
    problem: str | None = None


def make_first_champion(settings: Settings, store: Store, by: str) -> str:
    """Install the origin of the settings' recipe, leaving word of it in the home meanwhile; its model id.

    Raises:
        PerennialError: it cannot be made; the sentence stays in the home until a later try succeeds.
    """
    _leave_word(settings, None)
    try:
        origin = install_origin(settings, store, load_recipe(settings.recipe_path), by)
    except PerennialError as error:
        _leave_word(settings, settings.without_paths(str(error)))
        raise
    _path(settings.home).unlink(missing_ok=True)
    return origin


def read_preparation(home: Path) -> Preparation | None:
    """How the making of the first champion stands; None if nobody tries, or who tried died of it."""
    try:
        found = Preparation.model_validate_json(_path(home).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return found if found.problem is not None or another_lives(found.pid) else None


def install_origin(settings: Settings, store: Store, recipe: Recipe, by: str) -> str:
    """Export the recipe's base to the form in which it is served, record it, and promote it if there is no champion.

    Returns:
        The origin's model id.

    Raises:
        ModelError, GGUFError: the base cannot be exported.
    """
    base = find_base(recipe.base, settings.project, settings.models)
    origin = prepare_origin(base, recipe.export.quantize, settings.models, recipe.chat.thinking)
    with store.begin() as session:
        models.add_model(session, settings.home, origin.id, origin.form, kind="origin", recipe_name=recipe.name)
        first = models.champion_id(session) is None
    if first:
        _promote_first(settings, store, origin.id, by)
    return origin.id


def _promote_first(settings: Settings, store: Store, origin: str, by: str) -> None:
    """Promote the origin; that another model was faster is fine."""
    try:
        promote(store, settings, origin, by)
    except (Conflict, Refused):
        with store.read() as session:
            if models.champion_id(session) is None:
                raise
        _log.info("another_was_first", origin=origin)


def _leave_word(settings: Settings, problem: str | None) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    word = Preparation(pid=os.getpid(), recipe=settings.recipe, problem=problem)
    write_atomic(_path(settings.home), word.model_dump_json())


def _path(home: Path) -> Path:
    return home / "origin.json"
