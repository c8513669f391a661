"""A checkpoint of an MLX run: everything that the next step depends on, sealed when it is whole.

checkpoints/checkpoint-100/
├── weights.safetensors     the trained weights, by MLX's names
├── optimizer.safetensors   AdamW's moments, its step and rate
├── state.json              step, history, what was best so far
└── complete.json           written last

Random numbers need no place of their own: dropout is drawn by the run's seed and the number of the step (adapters.py).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_unflatten

from pipelines.artifacts import write_atomic
from pipelines.backends.checkpoints import seal_checkpoint
from pipelines.backends.kept import BestOnDev, LastGood

_KEPT = 2


class Stateful(Protocol):
    """Something that a checkpoint keeps."""

    def state(self) -> dict[str, Any]:
        """What has to be kept, as JSON values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what was kept."""
        ...


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: optim.Optimizer, parts: Mapping[str, Stateful]
) -> None:
    """Write and seal the checkpoint of a step; of the older ones, one stays."""
    checkpoint = folder / f"checkpoint-{step}"
    shutil.rmtree(checkpoint, ignore_errors=True)
    checkpoint.mkdir(parents=True)
    mx.save_safetensors(str(checkpoint / "weights.safetensors"), dict(tree_flatten(model.trainable_parameters())))
    mx.save_safetensors(str(checkpoint / "optimizer.safetensors"), dict(tree_flatten(optimizer.state)))
    state: dict[str, Any] = {name: part.state() for name, part in parts.items()}
    write_atomic(checkpoint / "state.json", json.dumps(state))
    seal_checkpoint(checkpoint)
    steps = sorted(int(path.name.rsplit("-", 1)[1]) for path in folder.glob("checkpoint-*"))
    for old in steps[:-_KEPT]:
        shutil.rmtree(folder / f"checkpoint-{old}")
    for part in parts.values():
        if isinstance(part, BestOnDev | LastGood):
            part.saved()


def restore_parts(checkpoint: Path, parts: Mapping[str, Stateful]) -> None:
    """Give every part what the checkpoint kept of it."""
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    for name, part in parts.items():
        part.restore(state[name])


def restore_checkpoint(checkpoint: Path, model: nn.Module, optimizer: optim.Optimizer) -> None:
    """Weights and optimizer as they were; the model has its adapters already."""
    model.load_weights(str(checkpoint / "weights.safetensors"), strict=False)
    optimizer.state = tree_unflatten(list(mx.load(str(checkpoint / "optimizer.safetensors")).items()))
    optimizer.init(model.trainable_parameters())
