"""Which precision and memory measures a run uses, and why: measured on the machine at hand and written down."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn

from pipelines.backends.blas import blas_in_words
from pipelines.backends.mlx.adapters import attach
from pipelines.backends.mlx.load import load_base
from pipelines.backends.mlx.machine import machine, on_metal
from pipelines.backends.mlx.picking import logits_at
from pipelines.errors import ModelError
from pipelines.recipe import Train
from pipelines.timing import faster_precision

_PROBE_LAYERS = 2
_PROBE_TOKENS = 384
_MEMORY_SHARE = 0.6


@dataclass(frozen=True)
class Choices:
    """What a run uses. `budget` bounds a padded batch in tokens; `why` says in words why each was chosen."""

    bf16: bool
    checkpointing: bool
    budget: int
    why: Mapping[str, str]

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """The dtype of the frozen weights and of a step's products."""
        return "bfloat16" if self.bf16 else "float32"


def choose(train: Train, base: Path, before: bool | None) -> Choices:
    """The choices for a base on this machine; `before` is the precision of a run that goes on."""
    here = machine(train.backend)
    parameters = count_parameters(base)
    checkpointing = parameters >= here.checkpointing_from
    asked = train.batch.per_device * train.max_tokens
    budget = min(asked, here.row_tokens or asked)
    where = "the GPU of an Apple chip" if on_metal() else "the processor, for there is no Apple GPU here"
    bf16, why = _precision(train, base, parameters, before)
    optimizer = "as the recipe asks" if train.optimizer == "adamw_torch" else f"{train.optimizer} needs CUDA"
    return Choices(
        bf16=bf16,
        checkpointing=checkpointing,
        budget=budget,
        why={
            "device": f"mlx: {where}{'; auto takes it on every Apple chip' if train.backend == 'auto' else ''}",
            "threads": f"{os.environ.get('OMP_NUM_THREADS') or 'as many as MLX and its BLAS take'}",
            "blas": blas_in_words(),
            "precision": f"{'bfloat16' if bf16 else 'float32'}: {why}",
            "optimizer": f"AdamW of MLX: {optimizer}",
            "activation_checkpointing": "on: from 1e9 parameters" if checkpointing else "off: memory is not tight",
            "packing": f"by length within each step's examples, padded batches of at most {budget} tokens",
        },
    )


def apply(choices: Choices, model: nn.Module) -> None:
    """Compute activations again instead of keeping them, where that was chosen; it patches the class of the layers."""
    if not on_metal():
        mx.disable_compile()  # on a processor every new shape would be compiled by g++, for a second each
    if choices.checkpointing:
        from mlx_lm.tuner.trainer import grad_checkpoint

        grad_checkpoint(model.layers[0])


def count_parameters(base: Path) -> int:
    """How many weights the safetensors of a folder hold. Raises ModelError where there are none."""
    files = sorted(base.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{base.name} holds no *.safetensors; convert the weights first")
    return sum(tensor.size for path in files for tensor in mx.load(str(path)).values())


def _precision(train: Train, base: Path, parameters: int, before: bool | None) -> tuple[bool, str]:
    if before is not None:
        return before, "as before the interruption"
    if train.method == "full":
        return False, "all weights are trained, in float32"
    if train.precision != "auto":
        return train.precision == "bfloat16", "as the recipe asks"
    memory = machine(train.backend).memory_bytes
    if 4 * parameters > _MEMORY_SHARE * memory and train.method != "qlora":
        return True, f"float32 weights of {4 * parameters / 1e9:.0f} GB would not fit into this machine's memory"
    return _time_one_row(base, train)


def _time_one_row(base: Path, train: Train) -> tuple[bool, str]:
    """Forward and backward of one row through the model's first layers in both precisions."""
    models = {bf16: _shortened(base, train, bf16=bf16) for bf16 in (False, True)}
    tokens = min(train.max_tokens, _PROBE_TOKENS)
    ids_BT, places_N = mx.zeros((1, tokens), mx.int32), mx.arange(tokens // 2, tokens - 1)

    def row(bf16: bool) -> None:
        model = models[bf16]
        value, gradients = nn.value_and_grad(
            model, lambda: mx.logsumexp(logits_at(model, ids_BT, places_N), -1).sum()
        )()
        mx.eval(value, gradients)

    return faster_precision(row)


def _shortened(base: Path, train: Train, *, bf16: bool) -> Any:
    model = load_base(base, bf16=bf16, quantized=train.method == "qlora", layers=_PROBE_LAYERS)
    attach(model, train.lora.target, rank=train.lora.r, scale=1.0, dropout=0.0, dora=train.lora.dora)
    return model
