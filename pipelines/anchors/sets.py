"""A set of anchors: a folder of pools for one base, with the prompts by which that base and its candidates are watched.

var/anchors/smollm2/
├── general.jsonl  coding.jsonl  reasoning.jsonl     pools (pipelines/mixture/anchors.py); a kind may be missing
├── claims.jsonl      wrong claims (pipelines/suites/probes.py), if there are any
├── language.jsonl    prompts of the language guard (pipelines/suites/language.py), if there are any
└── set.json          written last: {"for": {"name": "smollm2", "digest": "3f2a..", "revision": null}, "seed": 0, ...}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError

from pipelines.errors import DataError, RecipeError
from pipelines.mixture.anchors import Pools, load_pools
from pipelines.recipe import GUARD_SUITE, Recipe
from pipelines.records import Record

CARD = "set.json"
CLAIMS = "claims.jsonl"
LANGUAGE = "language.jsonl"
TINY, TINY_SET = Path("models/tiny"), Path("data/general")


class SetBase(Record):
    """The base that a set is for: its name, the digest of its files, and the commit at which a hub's was fetched."""

    name: str
    digest: str
    revision: str | None = None

    def __str__(self) -> str:
        """As a person tells two of one name apart."""
        return f"'{self.name}' ({f'revision {self.revision[:12]}' if self.revision else f'files {self.digest[:8]}'})"


class SetCard(Record):
    """Whose set it is and how it came about.

    Attributes:
        seed, settings: what it was made with; no seed for one that was imported.
        kept, rejected: counts by family, and by the reason for which something was left out.
        made: when (UTC); None for the set of models/tiny, which comes out byte for byte the same at any time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    base: SetBase = Field(alias="for")
    seed: int | None = None
    settings: Mapping[str, float | int | str] = {}
    kept: Mapping[str, int] = {}
    rejected: Mapping[str, int] = {}
    made: datetime | None = None

    def as_json(self) -> str:
        """What set.json holds."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


@dataclass(frozen=True)
class AnchorSet:
    """A set in its folder; `place` is what a recipe calls it."""

    place: str
    folder: Path
    card: SetCard

    def pools(self) -> Pools:
        """Its pools. Raises DataError."""
        return load_pools(self.folder)

    @property
    def claims(self) -> Path | None:
        """The file of wrong claims, if it has any."""
        return self._file(CLAIMS)

    @property
    def language(self) -> Path | None:
        """The file of prompts for the language guard, if it has any."""
        return self._file(LANGUAGE)

    def check_fits(self, base: SetBase, recipe: str) -> None:
        """Pass if it was made for this base, whatever name that goes by.

        Raises:
            RecipeError: it was made for another: it would teach a model what a stranger knows.
        """
        if base.digest != self.card.base.digest:
            raise self._misfit(recipe, str(base), base.name)

    def check_name(self, recipe: Recipe) -> None:
        """Pass if it was made for a base of the recipe's name: all that can be told while that is not here.

        Raises:
            RecipeError: it was made for another.
        """
        name = recipe.base.model.rsplit("/", 1)[-1].lower()
        if name != self.card.base.name:
            raise self._misfit(recipe.name, f"'{name}'", recipe.base.model)

    def _misfit(self, recipe: str, base: str, make: str) -> RecipeError:
        return RecipeError(
            f"the anchors '{self.place}' were made for {self.card.base}, and the recipe '{recipe}' trains {base}: make its "
            f"own with `perennial anchors make {make}`, and name them under `anchors`"
        )

    def _file(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None


def open_set(folder: Path, place: str) -> AnchorSet:
    """The set in a folder.

    Raises:
        DataError: there is none, or nobody says which base it is for.
    """
    path = folder / CARD
    if not path.is_file():
        why = "there is no such folder" if not folder.is_dir() else f"it holds no {CARD}, which says whose they are"
        raise DataError(
            f"the anchors '{place}' cannot be used: {why}; see `perennial anchors list`, make a set with `perennial anchors "
            "make`, or bring one with `perennial anchors import`"
        )
    try:
        card = SetCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(
            f"{path} is no {CARD} of this version: {error.errors()[0]['msg']}; make the set again"
        ) from error
    return AnchorSet(place, folder, card)


def set_of(recipe: Recipe, project: Path, sets: Path) -> AnchorSet | None:
    """The set that a recipe names, by its name in `sets` or by its path in the project; None for a recipe that needs none.

    A recipe of an older version names none: models/tiny has its own set, every other base goes without.

    Raises:
        RecipeError: the recipe needs a set, or something that its set has not, and would find that out after hours.
        DataError: see open_set.
    """
    place = recipe.anchors or _shipped(recipe, project)
    opened = None if place is None else open_set(_folder(place, project, sets), place)
    asked = [name for name, share in recipe.mixture.anchors.items() if share > 0]
    if opened is None and asked:
        raise RecipeError(
            f"the recipe '{recipe.name}' mixes in {' and '.join(asked)} and names no set of anchors: make one with `perennial "
            f"anchors make {recipe.base.model}` and name it under `anchors`, or say `mixture: {{user: 1.0}}`"
        )
    if (opened is None or opened.language is None) and any(gate.suite == GUARD_SUITE for gate in recipe.gates):
        whose = "it names no set of anchors" if opened is None else f"the anchors '{opened.place}' have none"
        raise RecipeError(
            f"the recipe '{recipe.name}' has a gate on '{GUARD_SUITE}', which needs prompts, and {whose}: make a set with "
            f"`perennial anchors make {recipe.base.model}`, or take that gate out"
        )
    return opened


def _folder(place: str, project: Path, sets: Path) -> Path:
    return project / place if "/" in place else sets / place


def _shipped(recipe: Recipe, project: Path) -> str | None:
    is_tiny = (project / recipe.base.model).resolve() == (project / TINY).resolve()
    return TINY_SET.as_posix() if is_tiny else None
