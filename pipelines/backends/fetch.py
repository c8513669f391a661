"""The base model that a recipe names, as a folder of this machine: the project's own, or one from the hub.

A model of the hub is fetched once. What `base.revision` (or the hub's main branch) meant then is a commit, which the origin's
manifest keeps (pipelines/stages/baseline.py); from then on this commit is the base, and no look-up is made.
"""

from pathlib import Path
from typing import Any

from pipelines.errors import MissingDependency, ModelError
from pipelines.isolated import run_in_child
from pipelines.recipe import Base
from pipelines.records import Record

# For the fetching child alone: every other process stays offline, and so does this one.
_ONLINE = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model", "LICENSE*", "README.md"]
_MAIN = "main"


class Pin(Record):
    """What a recipe's `model` and the `asked` revision meant when it was fetched: the `commit`."""

    model: str
    asked: str
    commit: str


class BaseFolder(Record):
    """A base model on this machine; `pin` is None for a folder of the project."""

    folder: Path
    pin: Pin | None = None

    @property
    def name(self) -> str:
        """Its short name, in lower case."""
        return (self.pin.model.rsplit("/", 1)[-1] if self.pin else self.folder.name).lower()


def asked_revision(base: Base) -> str:
    """The revision of a recipe's hub model, the main branch if it names none."""
    return base.revision or _MAIN


def fetch_base(base: Base, project: Path, pin: Pin | None = None) -> BaseFolder:
    """The local folder of a recipe's base model; downloads only when the recipe says `hub: true`.

    Args:
        project: the folder that a relative `base.model` is relative to.
        pin: what the same model and revision meant before.

    Raises:
        ModelError: no such folder, or the hub has no such model or revision.
        MissingDependency: `hub: true` without huggingface_hub.
    """
    folder = project / base.model
    if folder.is_dir():
        if base.revision:
            raise ModelError(
                f"{base.model} is a folder here, which has no revision '{base.revision}'; leave `base.revision` out, or move "
                "the folder away to take the model from the hub"
            )
        if not (folder / "config.json").is_file():
            raise ModelError(f"{base.model} is a folder without config.json, so it is no model")
        return BaseFolder(folder=folder)
    if not base.hub:
        raise ModelError(
            f"there is no folder {base.model}; give a local model folder, or `hub: true` under `base` to download it"
        )
    wanted = pin.commit if pin else asked_revision(base)
    arguments = {"model": base.model, "revision": wanted}
    fetched = Path(run_in_child("pipelines.backends.fetch:fetch_here", arguments, environment=_ONLINE)["folder"])
    return BaseFolder(folder=fetched, pin=Pin(model=base.model, asked=asked_revision(base), commit=fetched.name))


def fetch_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """The hub's folder of a model at a revision: from the cache if it is whole there, else downloaded."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingDependency("`hub: true` needs huggingface_hub: pip install 'perennial-service[train]'") from error
    model, revision = arguments["model"], arguments["revision"]
    try:
        try:
            folder = snapshot_download(model, revision=revision, allow_patterns=_WANTED, local_files_only=True)
        except LocalEntryNotFoundError:
            folder = snapshot_download(model, revision=revision, allow_patterns=_WANTED)
    except RevisionNotFoundError as error:
        raise ModelError(
            f"the hub's model '{model}' has no revision '{revision}'; set `base.revision` to one of its branches, tags or commits"
        ) from error
    except GatedRepoError as error:
        raise ModelError(
            f"the hub gives the model '{model}' only to those who accepted its terms: accept them on its page, put a token of your "
            "account into HF_TOKEN, and try again; or download it elsewhere and name the folder"
        ) from error
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"the hub did not give the model '{model}': {first}") from error
    return {"folder": folder}
