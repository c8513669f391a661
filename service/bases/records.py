"""What is kept of an adopted base, and where.

var/bases/smollm2/base.json     what was adopted, from where, with which proofs
var/weights/smollm2/            its weights, where it came as a GGUF
var/recipes/smollm2.yaml        its first recipe
"""

import re
import shutil
from pathlib import Path

from pydantic import ValidationError

from pipelines.artifacts import write_atomic
from pipelines.bases.facts import BaseFacts, Proof
from pipelines.errors import InputError, NotFound, Refused
from pipelines.recipe import Quantization
from pipelines.records import Record
from service.settings import Settings
from service.store import models
from service.store.session import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FILE = "base.json"


class AdoptedBase(Record):
    """A base that was adopted.

    Attributes:
        source: the folder, model of the hub or file that it came from; `revision` is the hub's commit.
        folder: where its weights are; None for one of the hub, whose cache has them, and for a file alone.
        facts: None for a file alone, which can be served and not trained.
        origin: the id of its model.
        recipe: the path of its first recipe, from the home; `recipe_digest` is that of what was written into it.
        choices: what the recipe chose, and what is missing, in lines; of a file alone, why it cannot be trained.
    """

    name: str
    source: str
    revision: str | None
    folder: str | None = None
    facts: BaseFacts | None
    quantize: Quantization
    origin: str
    proofs: tuple[Proof, ...]
    recipe: str | None
    recipe_digest: str | None = None
    choices: tuple[str, ...]


def base_folder(settings: Settings, name: str) -> Path:
    """Where the record and the proofs of a base lie."""
    return settings.home / "bases" / name


def weights_folder(settings: Settings, name: str) -> Path:
    """Where the weights of a base lie that came as a GGUF."""
    return settings.home / "weights" / name


def recipe_path(settings: Settings, name: str) -> Path:
    """Where the first recipe of a base lies."""
    return settings.home / "recipes" / f"{name}.yaml"


def base_name(wanted: str) -> str:
    """What a base is called that somebody calls so. Raises InputError where nothing is left of it."""
    name = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("-._")
    if not _NAME.fullmatch(name):
        raise InputError(f"'{wanted[:80]}' cannot be a base's name: use --name with up to 64 of a-z, 0-9 and . _ -")
    return name


def list_bases(settings: Settings) -> list[AdoptedBase]:
    """The bases of this home by name."""
    kept = (read_base(settings, path.parent.name) for path in sorted((settings.home / "bases").glob(f"*/{_FILE}")))
    return [base for base in kept if base is not None]


def get_base(settings: Settings, name: str) -> AdoptedBase:
    """One base of this home. Raises NotFound if none has the name."""
    base = read_base(settings, name) if _NAME.fullmatch(name) else None
    if base is None:
        there = ", ".join(one.name for one in list_bases(settings)) or "none yet: `perennial base add`"
        raise NotFound(f"no base is called '{name[:80]}'; there are: {there}")
    return base


def read_base(settings: Settings, name: str) -> AdoptedBase | None:
    """What is kept under a name; None where nothing is, or of a version that cannot be read."""
    try:
        return AdoptedBase.model_validate_json((base_folder(settings, name) / _FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_base(settings: Settings, base: AdoptedBase) -> None:
    """Keep a base under its name."""
    folder = base_folder(settings, base.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / _FILE, base.model_dump_json(indent=1))


def remove_base(settings: Settings, store: Store, name: str) -> AdoptedBase:
    """Forget a base and the weights that were restored for it; its recipe stays, and its model's file goes with `perennial gc`.

    Raises:
        NotFound: none has the name. Refused: its origin answers chats.
    """
    base = get_base(settings, name)
    with store.read() as session:
        if models.champion_id(session) == base.origin:
            raise Refused(f"the origin of '{name}' is the champion and answers chats; promote another model first")
    shutil.rmtree(base_folder(settings, name))
    shutil.rmtree(weights_folder(settings, name), ignore_errors=True)
    return base
