"""The origin in the form in which it would be served: made once per base folder and quantization, then kept.

var/models/tiny-origin-3f2a91bc/
├── model.gguf
└── manifest.json     written last, as for every stage; for a base from the hub it holds the commit, which later rounds take
"""

import os
import shutil
import time
from pathlib import Path

from pipelines.anchors.sets import SetBase
from pipelines.artifacts import Manifest, digest_of, read_manifest, sha256_of, sync, verify_files, write_atomic
from pipelines.backends.fetch import BaseFolder, Pin, asked_revision, fetch_base
from pipelines.context import Baseline
from pipelines.errors import ModelError
from pipelines.recipe import Base, Export, Quantization
from pipelines.recipe.chat import Thinking
from pipelines.stages.export.form import Exported, ExportRequest, run_export

_ORIGIN = "-origin-"
_MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")


class _Origin(Exported):
    """What an origin's manifest keeps of its export, and of where the base came from."""

    pin: Pin | None = None


def find_base(base: Base, project: Path, models: Path) -> BaseFolder:
    """The folder of a recipe's base model; one from the hub at the commit that an origin in `models` was made of.

    Raises as `fetch_base` does.
    """
    return fetch_base(base, project, pin_of(base, models) if base.hub else None)


def prepare_origin(
    base: BaseFolder, quantize: Quantization, models: Path, thinking: Thinking | None = None
) -> Baseline:
    """The untouched base as a served form in `models`, exported now if it was not before; `thinking` fixes its switch.

    Raises:
        ModelError, GGUFError, ArtifactError: the base cannot be exported, or what was exported has been changed.
    """
    pin = {"pin": base.pin.model_dump()} if base.pin else {}
    switch = {"thinking": thinking} if thinking else {}
    read = digest_of({"base": base_digest(base.folder), "quantize": quantize, **switch, **pin})
    folder = models / f"{base.name}{_ORIGIN}{read[:8]}"
    manifest = read_manifest(folder)
    if manifest is None:
        manifest = _export_origin(base, Export(quantize=quantize), thinking, folder, read)
    verify_files(folder, manifest.files)
    origin = _Origin.model_validate(manifest.output)
    return Baseline(id=folder.name, form=origin.form_in(folder), commit=origin.pin.commit if origin.pin else None)


def base_digest(base: Path) -> str:
    """One digest over the weights, tokenizer and configuration in a model folder."""
    files = sorted({path for pattern in _MODEL_FILES for path in base.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(f"{base} holds no .safetensors weights, so it is no base model")
    return digest_of({path.name: sha256_of(path) for path in files})


def set_base(base: BaseFolder, digest: str) -> SetBase:
    """What a set of anchors for this base carries; `digest` is that of `base_digest`."""
    return SetBase(name=base.name, digest=digest, revision=base.pin.commit if base.pin else None)


def pin_of(base: Base, models: Path) -> Pin | None:
    """What the recipe's model and revision meant when their first origin was made."""
    for manifest in filter(None, map(read_manifest, sorted(models.glob(f"*{_ORIGIN}*")))):
        held = manifest.output.get("pin")
        if held and (held["model"], held["asked"]) == (base.model, asked_revision(base)):
            return Pin.model_validate(held)
    return None


def _export_origin(base: BaseFolder, settings: Export, thinking: Thinking | None, folder: Path, read: str) -> Manifest:
    """Export beside the final place and rename; of two rounds that race, the second keeps the first one's files."""
    started = time.monotonic()
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        output = run_export(
            ExportRequest(base=base.folder, adapter=None, out=temporary, settings=settings, thinking=thinking)
        )
        manifest = Manifest(
            stage="origin",
            input=read,
            output=_Origin(**output.model_dump(), pin=base.pin).model_dump(mode="json"),
            files={output.form.path: output.form.sha256},
            seconds=time.monotonic() - started,
            finished_at=time.time(),
        )
        write_atomic(temporary / "manifest.json", manifest.model_dump_json(indent=1))
        try:
            temporary.rename(folder)
            sync(folder.parent)
        except OSError:  # another round was first
            manifest = read_manifest(folder) or manifest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest
