"""The files of a model that a person may take along: its weights as they are served, and the adapter as it was trained.

Nothing is made for a download: a file is sent as it lies on the disk, whatever its size.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import NotFound
from service.settings import Settings
from service.store.models import StoredModel


@dataclass(frozen=True)
class Download:
    """A file of a model: the name in its address, where it lies, how large it is, and the name it is saved under."""

    name: str
    path: Path
    size_bytes: int
    save_as: str


def list_downloads(settings: Settings, entry: StoredModel) -> list[Download]:
    """What there is of a model to take along, those that lie on the disk."""
    form, id = entry.form, entry.model.id
    if form is None or form.collected_at is not None:
        return []
    weights = settings.home / form.path
    found = [("model.gguf", weights, f"{id}.gguf")]
    if form.kind == "adapter" and form.adapter_path:
        found.append(("adapter.gguf", settings.home / form.adapter_path, f"{id}-adapter.gguf"))
    if entry.model.adapter_path:
        folder = settings.home / entry.model.adapter_path
        found += [(path.name, path, f"{id}-{path.name}") for path in _of_adapter(folder)]
    return [Download(name, path, path.stat().st_size, save_as) for name, path, save_as in found if path.is_file()]


def find_download(settings: Settings, entry: StoredModel, name: str) -> Download:
    """The file of that name. Raises NotFound with those that there are."""
    files = list_downloads(settings, entry)
    found = next((file for file in files if file.name == name), None)
    if found is None:
        known = ", ".join(file.name for file in files) or "none: its file was deleted, or never exported"
        raise NotFound(f"'{entry.model.id}' has no file {name[:80]!r}; there are {known}")
    return found


def _of_adapter(folder: Path) -> list[Path]:
    """The trained adapter in peft's format: its weights and their configuration."""
    names = ("adapter_model.safetensors", "adapter_config.json")
    return [folder / name for name in names]
