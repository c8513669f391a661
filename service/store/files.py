"""Where the files of a served form are, and the link that shows the champion's."""

import os
from pathlib import Path
from typing import Literal

from pipelines import records
from service.store.tables import ServedForm


def served(home: Path, form: ServedForm) -> records.ServedForm:
    """The form as the engine takes it; paths that are relative are relative to the home folder."""
    kind: Literal["merged", "adapter"] = "adapter" if form.kind == "adapter" else "merged"
    return records.ServedForm(
        kind=kind,
        path=str(home / form.path),
        sha256=form.sha256,
        adapter_path=str(home / form.adapter_path) if form.adapter_path else None,
        adapter_sha256=form.adapter_sha256,
        scale=form.scale,
        quantization=form.quantization,
    )


def link_champion(home: Path, form: ServedForm) -> None:
    """Point the `champion` link in the home folder at the folder of the champion's file; it only mirrors the row."""
    folder = home / "models" / form.model_id
    target = folder if folder.is_dir() else (home / form.path).parent
    target = target.relative_to(home) if target.is_relative_to(home) else target
    link = home / "champion"
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    temporary = home / f".champion.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)
