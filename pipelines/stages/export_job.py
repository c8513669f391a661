"""The body of an export, for its child process; nothing imports this module, it is called by name."""

import shutil
from pathlib import Path
from typing import Any

from pipelines.gguf.merge import merge
from pipelines.stages.candidate import ExportJob
from pipelines.stages.export import ExportConfig, export


def export_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """Export as an ExportJob says; the ExportOutput as a dict."""
    job = ExportJob.model_validate(arguments)
    config = ExportConfig.model_validate(job.model_dump(include={"form", "quantize", "max_kld", "scale", "trained_on"}))
    return export(job.base, job.adapter, job.out, config, prompts=job.prompts).model_dump(mode="json")


def merge_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """Fold adapters into a base, one after the other; the last model is the folder `out`, none before it stays."""
    base, out = Path(arguments["base"]), Path(arguments["out"])
    between: list[Path] = []
    for number, adapter in enumerate(arguments["adapters"], 1):
        target = out if number == len(arguments["adapters"]) else out.with_name(f"{out.name}.{number}.tmp")
        shutil.rmtree(target, ignore_errors=True)  # a killed run's
        merge(base, Path(adapter["folder"]), target, scale=adapter["scale"])
        for path in between:
            shutil.rmtree(path, ignore_errors=True)
        base, between = target, [target] if target != out else []
    return {"base": str(base)}
