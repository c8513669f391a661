"""The first recipe of an adopted base, with the suites and anchors that are there for it."""

import hashlib
from pathlib import Path

from pipelines.anchors.sets import TINY_SET, AnchorSet, open_set
from pipelines.artifacts import write_atomic
from pipelines.backends.fetch import BaseFolder
from pipelines.bases import adopt
from pipelines.bases.facts import BaseFacts
from pipelines.bases.first_recipe import BaseSource, Here, Machine, explain_recipe, first_recipe
from pipelines.errors import PerennialError, Refused
from pipelines.mixture.anchors import ANCHOR_NAMES
from pipelines.plain_yaml import parse_plain_yaml
from pipelines.recipe import Base, Metric, Quantization
from pipelines.recipe_file import parse_recipe
from pipelines.records import Record
from pipelines.stages.baseline import base_digest, find_base
from pipelines.suites.load import load_suite
from service.bases.records import AdoptedBase, get_base, read_base, recipe_path, write_base
from service.settings import Settings

_BEFORE = ".before"


class WrittenRecipe(Record):
    """A recipe's path from the home, the digest of what was written (None: somebody else's), and what it chose."""

    path: str
    digest: str | None
    choices: tuple[str, ...]


def write_recipe(
    settings: Settings, name: str, base: BaseFolder, facts: BaseFacts, quantize: Quantization, machine: Machine
) -> WrittenRecipe:
    """The recipe that a base begins with; one that is there already is left as it is."""
    path = recipe_path(settings, name)
    source = BaseSource(base.pin.model, base.pin.commit) if base.pin else BaseSource(str(base.folder))
    text = first_recipe(name, source, facts, quantize, machine, _here(settings, base))
    parse_recipe(text, path.name)
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        known = read_base(settings, name)
        kept = known.recipe_digest if known and known.recipe_digest == _digest(path) else None
        return _told(settings, path, facts, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)
    return _told(settings, path, facts, _digest(path))


def renew_recipe(settings: Settings, name: str, *, force: bool = False) -> AdoptedBase:
    """Write the first recipe of a base anew, with the suites and anchors that are there by now.

    Raises:
        NotFound: no base has the name. Refused: it is a file alone, or somebody changed the recipe and `force` is not
            set; with it the changed one stays beside the new one.
    """
    adopted = get_base(settings, name)
    if adopted.facts is None:
        raise Refused(f"'{name}' is a file alone, which is served and never trained, so it has no recipe")
    path = recipe_path(settings, name)
    if path.is_file() and _digest(path) != adopted.recipe_digest:
        beside = path.with_suffix(path.suffix + _BEFORE)
        if not force:
            raise Refused(
                f"{path} was changed since it was written; --force writes it anew and keeps yours as {beside.name}"
            )
        path.replace(beside)
    path.unlink(missing_ok=True)
    base = find_base(_base_of(adopted), settings.project, settings.models)
    facts, machine = adopt.look_at(base)
    written = write_recipe(settings, name, base, facts, adopted.quantize, machine)
    renewed = adopted.model_copy(
        update={"recipe": written.path, "recipe_digest": written.digest, "choices": written.choices}
    )
    write_base(settings, renewed)
    return renewed


def _base_of(adopted: AdoptedBase) -> Base:
    if adopted.revision:
        return Base(model=adopted.source, hub=True, revision=adopted.revision)
    return Base(model=adopted.folder or adopted.source)


def _told(settings: Settings, path: Path, facts: BaseFacts, digest: str | None) -> WrittenRecipe:
    recipe = parse_plain_yaml(path.read_text(encoding="utf-8"), path.name)
    choices = explain_recipe(recipe, facts)
    return WrittenRecipe(path=str(path.relative_to(settings.home)), digest=digest, choices=choices)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _here(settings: Settings, base: BaseFolder) -> Here:
    """What this home has for a base."""
    anchors = _anchors(settings, base)
    if anchors is None:
        return Here(_suites(settings))
    pools = anchors.pools()
    kinds = tuple(kind for kind in ANCHOR_NAMES if kind in pools and pools[kind].anchors)
    return Here(_suites(settings), anchors.place, kinds, anchors.language is not None)


def _anchors(settings: Settings, base: BaseFolder) -> AnchorSet | None:
    """The set of this very base: the one of its name, else the first by name."""
    folders = [(folder.name, folder) for folder in sorted(settings.anchors.glob("*/"))]
    folders.sort(key=lambda place: place[0] != base.name)
    digest = base_digest(base.folder)
    for place, folder in [*folders, (TINY_SET.as_posix(), settings.project / TINY_SET)]:
        try:
            opened = open_set(folder, place)
        except PerennialError:
            continue  # begun, or of another version: `perennial anchors list` says which
        if opened.card.base.digest == digest:
            return opened
    return None


def _suites(settings: Settings) -> dict[str, tuple[Metric, int]]:
    """Metric and number of gate items of the suites that were added here; those that ship measure the invented world."""
    there = {}
    for folder in sorted(settings.suites.glob("*/")):
        try:
            suite = load_suite(folder)
        except PerennialError:
            continue
        there[suite.name] = (suite.metric, len(suite.items["gate"]))
    return there
