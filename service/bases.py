"""The base models of a home: adopted once, with proofs; then rounds and chat trust them.

var/bases/smollm2/base.json     what was adopted, from where, with which proofs; var/recipes/smollm2.yaml is its first recipe
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from pipelines.artifacts import write_atomic
from pipelines.backends.fetch import BaseFolder
from pipelines.bases import adopt
from pipelines.bases.adopt import Prepared, Show
from pipelines.bases.facts import BaseFacts, Proof
from pipelines.bases.first_recipe import BaseSource, explain_recipe, first_recipe
from pipelines.errors import Conflict, InputError, NotFound, PerennialError, Refused
from pipelines.plain_yaml import parse_plain_yaml
from pipelines.recipe import Base, Quantization
from pipelines.recipe_file import parse_recipe
from pipelines.records import Record
from pipelines.stages.baseline import find_base
from pipelines.suites.load import load_suite
from service.settings import Settings
from service.store import models
from service.store.session import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ENOUGH_ITEMS = 200  # fewer, and a gate is inconclusive for ever (SCIENCE section 3)
_FILE = "base.json"


class AdoptedBase(Record):
    """A base that was adopted.

    Attributes:
        source: the folder, model of the hub or file that it came from; `revision` is the hub's commit.
        facts: None for a file alone, which can be served and not trained.
        origin: the id of its model.
        recipe: the path of its first recipe, from the home.
        choices: what the recipe chose, and what is missing, in lines.
    """

    name: str
    source: str
    revision: str | None
    facts: BaseFacts | None
    quantize: Quantization
    origin: str
    proofs: tuple[Proof, ...]
    recipe: str | None
    choices: tuple[str, ...]


def add_base(
    settings: Settings, store: Store, what: str, name: str | None, quantize: Quantization | None, show: Show
) -> AdoptedBase:
    """Adopt a folder, a model of the hub or a .gguf file; a run that was killed goes on where it was.

    Raises:
        InputError: `what` is none of the three, or the name cannot be one. Conflict: another base has the name.
        Refused: a proof failed. ModelError, GGUFError, NoSpace: it cannot be adopted.
    """
    file = Path(what).expanduser()
    if file.suffix == ".gguf":
        return _add_file(settings, store, file, name, quantize, show)
    show("fetch", None, None)
    base = find_base(_wanted(what), settings.project, settings.models)
    called = _name(name or base.name)
    source = base.pin.model if base.pin else str(base.folder)
    _require_free(settings, called, source)
    prepared = adopt.prepare_base(base, settings.models, quantize, show)
    proofs = _prove(settings, store, called, base.folder, prepared, show)
    recipe, choices = _write_recipe(settings, called, base, prepared)
    return _record(settings, store, called, source, base, prepared, proofs, recipe, choices)


def list_bases(settings: Settings) -> list[AdoptedBase]:
    """The bases of this home by name."""
    kept = (_read(path) for path in sorted(_folder(settings).glob(f"*/{_FILE}")))
    return [base for base in kept if base is not None]


def get_base(settings: Settings, name: str) -> AdoptedBase:
    """One base of this home. Raises NotFound if none has the name."""
    base = _read(_folder(settings) / name / _FILE) if _NAME.fullmatch(name) else None
    if base is None:
        there = ", ".join(one.name for one in list_bases(settings)) or "none yet: `perennial base add`"
        raise NotFound(f"no base is called '{name[:80]}'; there are: {there}")
    return base


def remove_base(settings: Settings, store: Store, name: str) -> AdoptedBase:
    """Forget a base; its recipe stays, and its model's file goes with `perennial gc`.

    Raises:
        NotFound: none has the name. Refused: its origin answers chats.
    """
    base = get_base(settings, name)
    with store.read() as session:
        if models.champion_id(session) == base.origin:
            raise Refused(f"the origin of '{name}' is the champion and answers chats; promote another model first")
    shutil.rmtree(_folder(settings) / name)
    return base


def _add_file(
    settings: Settings, store: Store, file: Path, name: str | None, quantize: Quantization | None, show: Show
) -> AdoptedBase:
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    if quantize is not None:
        raise InputError(f"{file.name} is served as it is: leave --quantize out")
    called = _name(name or file.stem)
    _require_free(settings, called, str(file.absolute()))
    show("copy", None, None)
    settings.models.mkdir(parents=True, exist_ok=True)
    prepared = adopt.take_file(file, called, settings.models)
    proofs = _prove(settings, store, called, None, prepared, show)
    return _record(settings, store, called, str(file.absolute()), None, prepared, proofs, None, ())


def _wanted(what: str) -> Base:
    folder = Path(what).expanduser()
    if folder.exists() or not _HUB_ID.fullmatch(what):
        if not folder.is_dir():
            raise InputError(
                f"'{what[:200]}' is no folder, no .gguf file and no model of the hub, which is written PUBLISHER/NAME"
            )
        return Base(model=str(folder.absolute()))
    return Base(model=what, hub=True)


def _name(wanted: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("-._")
    if not _NAME.fullmatch(name):
        raise InputError(f"'{wanted[:80]}' cannot be a base's name: use --name with up to 64 of a-z, 0-9 and . _ -")
    return name


def _require_free(settings: Settings, name: str, source: str) -> None:
    other = _read(_folder(settings) / name / _FILE)
    if other is not None and other.source != source:
        raise Conflict(
            f"a base called '{name}' is here already, from {other.source}: give another --name, or remove that one"
        )


def _prove(
    settings: Settings, store: Store, name: str, base: Path | None, prepared: Prepared, show: Show
) -> tuple[Proof, ...]:
    """The proofs; where one fails, the file that it failed on goes, unless it is a model of this home already."""
    try:
        return adopt.prove_base(base, prepared, _folder(settings) / name, show)
    except Refused:
        with store.read() as session:
            known = any(one.model.id == prepared.origin.id for one in models.list_models(session))
        if not known:
            shutil.rmtree(settings.models / prepared.origin.id, ignore_errors=True)
            shutil.rmtree(_folder(settings) / name, ignore_errors=True)
        raise


def _write_recipe(settings: Settings, name: str, base: BaseFolder, prepared: Prepared) -> tuple[str, tuple[str, ...]]:
    """The recipe's path from the home, and what it chose; one that is there already is left as it is."""
    assert prepared.facts is not None and prepared.machine is not None
    path = settings.home / "recipes" / f"{name}.yaml"
    relative = str(path.relative_to(settings.home))
    suites = _suites(settings)
    pin = base.pin
    source = BaseSource(pin.model, pin.commit) if pin else BaseSource(str(base.folder))
    if not path.is_file():
        text = first_recipe(name, source, prepared.facts, prepared.quantize, prepared.machine, suites)
        parse_recipe(text, path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    recipe = parse_plain_yaml(path.read_text(encoding="utf-8"), path.name)
    return relative, explain_recipe(recipe, prepared.facts, suites)


def _suites(settings: Settings) -> list[str]:
    """The suites that were added here and have items enough for a gate; those that ship measure the invented world."""
    there = []
    for folder in sorted(settings.suites.glob("*/")):
        try:
            suite = load_suite(folder)
        except PerennialError:
            continue
        if len(suite.items["gate"]) >= _ENOUGH_ITEMS:
            there.append(suite.name)
    return there


def _record(
    settings: Settings,
    store: Store,
    name: str,
    source: str,
    base: BaseFolder | None,
    prepared: Prepared,
    proofs: Sequence[Proof],
    recipe: str | None,
    choices: tuple[str, ...],
) -> AdoptedBase:
    origin = prepared.origin
    with store.begin() as session:
        models.add_model(session, settings.home, origin.id, origin.form, kind="origin", recipe_name=name)
    adopted = AdoptedBase(
        name=name,
        source=source,
        revision=base.pin.commit if base and base.pin else None,
        facts=prepared.facts,
        quantize=prepared.quantize,
        origin=origin.id,
        proofs=tuple(proofs),
        recipe=recipe,
        choices=choices,
    )
    write_atomic(_folder(settings) / name / _FILE, adopted.model_dump_json(indent=1))
    return adopted


def _folder(settings: Settings) -> Path:
    return settings.home / "bases"


def _read(path: Path) -> AdoptedBase | None:
    try:
        return AdoptedBase.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
