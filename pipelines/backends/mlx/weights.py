"""What a run leaves as weights: a PEFT adapter, or with `method: full` the whole model by its checkpoint's names."""

import json
from collections.abc import Mapping
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from pipelines.artifacts import write_atomic
from pipelines.backends.kept import WriteWeights
from pipelines.backends.mlx.config import read_config
from pipelines.backends.mlx.peft_format import PeftAdapter, write_adapter
from pipelines.backends.output import copy_companions
from pipelines.errors import ModelError
from pipelines.recipe import Lora


def adapter_writer(model: nn.Module, base_name: str, lora: Lora) -> WriteWeights:
    """Writes the model's adapter as it stands into a new folder."""
    about = {"base_name": base_name, "rank": lora.r, "alpha": lora.alpha, "dropout": lora.dropout, "dora": lora.dora}
    return lambda folder: write_adapter(folder, dict(tree_flatten(model.trainable_parameters())), **about)  # type: ignore[arg-type]


def continued_writer(model: nn.Module, base_name: str, adapter: PeftAdapter) -> WriteWeights:
    """The same for an adapter that was trained before; it keeps its rank and scale."""
    lora = Lora(r=adapter.rank, alpha=adapter.scale * adapter.rank, dropout=0.0, dora=adapter.dora)
    return adapter_writer(model, base_name, lora)


def model_writer(model: nn.Module, base: Path) -> WriteWeights:
    """Writes the whole model in float32 beside the base's own tokenizer and settings.

    Raises:
        ModelError: MLX has other tensors than the checkpoint, so that what it trained could not be written back.
    """
    names = _checkpoint_names(model, base)

    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        copy_companions(base, folder)
        config = {**read_config(base), "dtype": "float32", "torch_dtype": "float32"}
        write_atomic(folder / "config.json", json.dumps(config, indent=2))
        tensors = {names[name]: weight for name, weight in tree_flatten(model.parameters())}
        mx.save_safetensors(str(folder / "model.safetensors"), tensors, metadata={"format": "pt"})

    return write


def _checkpoint_names(model: nn.Module, base: Path) -> Mapping[str, str]:
    tensors = {name: tensor.shape for path in base.glob("*.safetensors") for name, tensor in mx.load(str(path)).items()}
    plain = {_plain(name): name for name in tensors}
    names = {}
    for name, weight in tree_flatten(model.parameters()):
        there = plain.get(_plain(name))
        if there is None or tuple(tensors[there]) != tuple(weight.shape):
            raise ModelError(
                f"`train.method: full` cannot write this model back from MLX: '{name}' is no tensor of {base.name}; use "
                "`method: lora`"
            )
        names[name] = there
    return names


def _plain(name: str) -> str:
    """Without the part of a wrapper's name that stands in front of the layers or within."""
    return name.replace("language_model.", "", 1)
