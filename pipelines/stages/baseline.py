"""The origin in the form in which it would be served: made once per base folder and quantization, then kept.

var/models/tiny-origin-3f2a91bc/
├── model.gguf
└── manifest.json     written last, as for every stage
"""

import os
import shutil
import time
from pathlib import Path

from pipelines.artifacts import Manifest, digest_of, read_manifest, sha256_of, sync, verify_files, write_atomic
from pipelines.context import Baseline
from pipelines.errors import ModelError
from pipelines.recipe import Export, Quantization
from pipelines.stages.export.form import Exported, ExportRequest, run_export

_MODEL_FILES = ("*.safetensors", "*.json", "*.jinja")


def prepare_origin(base: Path, quantize: Quantization, models: Path) -> Baseline:
    """The untouched base as a served form in `models`, exported now if it was not before.

    Raises:
        ModelError, GGUFError, ArtifactError: the base cannot be exported, or what was exported has been changed.
    """
    read = digest_of({"base": base_digest(base), "quantize": quantize})
    folder = models / f"{base.name.lower()}-origin-{read[:8]}"
    manifest = read_manifest(folder)
    if manifest is None:
        manifest = _export_origin(base, quantize, folder, read)
    verify_files(folder, manifest.files)
    return Baseline(id=folder.name, form=Exported.model_validate(manifest.output).form_in(folder))


def base_digest(base: Path) -> str:
    """One digest over the weights, tokenizer and configuration in a model folder."""
    files = sorted({path for pattern in _MODEL_FILES for path in base.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(f"{base} holds no .safetensors weights, so it is no base model")
    return digest_of({path.name: sha256_of(path) for path in files})


def _export_origin(base: Path, quantize: Quantization, folder: Path, read: str) -> Manifest:
    """Export beside the final place and rename; of two rounds that race, the second keeps the first one's files."""
    started = time.monotonic()
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        output = run_export(ExportRequest(base=base, adapter=None, out=temporary, settings=Export(quantize=quantize)))
        manifest = Manifest(
            stage="origin",
            input=read,
            output=output.model_dump(mode="json"),
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
