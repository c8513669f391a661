"""Checkpoints that say themselves whether they are whole.

checkpoints/checkpoint-100/
├── adapter_model.safetensors, optimizer.pt, scheduler.pt, rng_state.pth, trainer_state.json
└── complete.json        written last: {"adapter_model.safetensors": "<sha256>", ...}
"""

import json
import shutil
from pathlib import Path

from pipelines.artifacts import sha256_of, sync, write_atomic

SEAL = "complete.json"
_PREFIX = "checkpoint-"


def seal_checkpoint(folder: Path) -> None:
    """Record what the checkpoint holds; from now on it counts."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_atomic(folder / SEAL, json.dumps(files, indent=1))
    sync(folder)


def newest_valid_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose files are all as they were sealed; damaged and unfinished ones are removed."""
    for checkpoint in sorted(folder.glob(_PREFIX + "*"), key=_step, reverse=True):
        if _is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdigit() else -1


def _is_whole(checkpoint: Path) -> bool:
    seal = checkpoint / SEAL
    if not seal.is_file():
        return False
    try:
        files = json.loads(seal.read_text(encoding="utf-8"))
    except ValueError:
        return False
    paths = {checkpoint / name: sha256 for name, sha256 in files.items()}
    return all(path.is_file() and sha256_of(path) == sha256 for path, sha256 in paths.items())
