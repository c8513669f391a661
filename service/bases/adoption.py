"""Adopting a base: fetched, looked at, converted, proven, recorded, with the recipe that it begins with."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipelines.backends.fetch import BaseFolder
from pipelines.bases import adopt
from pipelines.bases.adopt import Prepared, Show
from pipelines.bases.facts import PROOFS, Proof
from pipelines.errors import Conflict, InputError, ModelError, Refused
from pipelines.recipe import Base, Quantization
from pipelines.stages.baseline import find_base
from service.bases.recipes import WrittenRecipe, write_recipe
from service.bases.records import AdoptedBase, base_folder, base_name, read_base, weights_folder, write_base
from service.settings import Settings
from service.store import models
from service.store.session import Store

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_OF_THE_SOURCE = "source"  # in a base's folder: the proofs that what was restored of a file says what the file says


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
    called = base_name(name or base.name)
    source = base.pin.model if base.pin else str(base.folder)
    require_free(settings, called, source)
    return _add_folder(settings, store, called, source, base, quantize, (), show)


def _add_folder(
    settings: Settings,
    store: Store,
    name: str,
    source: str,
    base: BaseFolder,
    quantize: Quantization | None,
    before: tuple[Proof, ...],
    show: Show,
) -> AdoptedBase:
    """Adopt a folder of weights; `before` are proofs of how it came about."""
    prepared = adopt.prepare_base(base, settings.models, quantize, show)
    proofs = _prove(settings, store, name, base.folder, prepared, show)
    assert prepared.facts is not None and prepared.machine is not None
    recipe = write_recipe(settings, name, base, prepared.facts, prepared.quantize, prepared.machine)
    return _record(settings, store, name, source, base, prepared, (*before, *proofs), recipe)


def _add_file(
    settings: Settings, store: Store, file: Path, name: str | None, quantize: Quantization | None, show: Show
) -> AdoptedBase:
    """Adopt a GGUF: with its weights restored, so that it can be trained; where that is impossible, the file alone."""
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    adopt.check_gguf(file)
    called = base_name(name or file.stem)
    source = str(file.absolute())
    require_free(settings, called, source)
    weights = weights_folder(settings, called)
    try:
        proofs = adopt.restored_from(file, weights, base_folder(settings, called) / _OF_THE_SOURCE, show)
    except (ModelError, Refused) as error:
        shutil.rmtree(weights, ignore_errors=True)
        if quantize is not None:
            raise InputError(f"{file.name} can only be served as it is: {error}; leave --quantize out") from error
        return add_file_alone(settings, store, file, called, str(error), show)
    return _add_folder(settings, store, called, source, BaseFolder(folder=weights), quantize, proofs, show)


def add_file_alone(settings: Settings, store: Store, file: Path, name: str, why: str, show: Show) -> AdoptedBase:
    """Adopt a GGUF that can be served and not be trained, `why` in a sentence. Raises as `add_base` does."""
    show("copy", None, None)
    settings.models.mkdir(parents=True, exist_ok=True)
    prepared = adopt.take_file(file, name, settings.models)
    proofs = _prove(settings, store, name, None, prepared, show)
    return _record(settings, store, name, str(file.absolute()), None, prepared, proofs, None, (why,))


def _wanted(what: str) -> Base:
    folder = Path(what).expanduser()
    if folder.exists() or not _HUB_ID.fullmatch(what):
        if not folder.is_dir():
            raise InputError(
                f"'{what[:200]}' is no folder, no .gguf file and no model of the hub, which is written PUBLISHER/NAME"
            )
        return Base(model=str(folder.absolute()))
    return Base(model=what, hub=True)


def require_free(settings: Settings, name: str, source: str) -> None:
    """Raise Conflict if a base of another source has the name."""
    other = read_base(settings, name)
    if other is not None and other.source != source:
        raise Conflict(
            f"a base called '{name}' is here already, from {other.source}: give another --name, or remove that one"
        )


def _prove(
    settings: Settings, store: Store, name: str, base: Path | None, prepared: Prepared, show: Show
) -> tuple[Proof, ...]:
    """The proofs; where one fails, the file that it failed on goes, unless it is a model of this home already."""
    folder = base_folder(settings, name)
    try:
        return adopt.prove_base(base, prepared, folder, show, PROOFS if base else adopt.OF_A_FILE)
    except Refused:
        with store.read() as session:
            known = any(one.model.id == prepared.origin.id for one in models.list_models(session))
        if not known:
            shutil.rmtree(settings.models / prepared.origin.id, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(weights_folder(settings, name), ignore_errors=True)
        raise


def _record(
    settings: Settings,
    store: Store,
    name: str,
    source: str,
    base: BaseFolder | None,
    prepared: Prepared,
    proofs: Sequence[Proof],
    recipe: WrittenRecipe | None,
    choices: tuple[str, ...] = (),
) -> AdoptedBase:
    origin = prepared.origin
    with store.begin() as session:
        models.add_model(session, settings.home, origin.id, origin.form, kind="origin", recipe_name=name)
    adopted = AdoptedBase(
        name=name,
        source=source,
        revision=base.pin.commit if base and base.pin else None,
        folder=str(base.folder) if base and not base.pin else None,
        facts=prepared.facts,
        quantize=prepared.quantize,
        origin=origin.id,
        proofs=tuple(proofs),
        recipe=recipe.path if recipe else None,
        recipe_digest=recipe.digest if recipe else None,
        choices=recipe.choices if recipe else choices,
    )
    write_base(settings, adopted)
    return adopted
