"""The base that an adapter belongs to: MLX's 4 bits and back, DoRA's lengths, and what another base would say."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from pipelines.errors import ModelError
from pipelines.gguf.adapter import convert_adapter
from pipelines.gguf.agreement import load_model
from pipelines.gguf.lora import Lora
from pipelines.gguf.merge import merge
from pipelines.gguf.rounding import is_rounded, round_trip
from pipelines.gguf.tensors import Checkpoint
from pipelines.recipe import Train
from tests.pipelines.gguf.conftest import peft_as_it_is

IDS = np.random.default_rng(0).integers(3, 200, (1, 24))


def logits_of(model: Any) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model.eval()(torch.from_numpy(IDS)).logits.numpy()
    return logits


def with_adapter(base: Any, adapter: Path) -> np.ndarray[Any, Any]:
    with peft_as_it_is():
        return logits_of(PeftModel.from_pretrained(base, str(adapter)))


def test_a_qlora_adapter_of_mlx_belongs_to_the_dequantized_base_and_to_no_other(model: Path, adapter: Path) -> None:
    """On the weights as they were it says something else, by as much as rounding them moved the base."""
    mx = pytest.importorskip("mlx.core")
    load = importlib.import_module("pipelines.backends.mlx.load")
    trained, _ = load.load_adapted(model, "random", adapter, Train(backend="mlx", method="qlora"), bf16=False)
    said = np.array(trained(mx.array(IDS)))
    np.testing.assert_allclose(with_adapter(load_model(model, "mlx4"), adapter), said, rtol=0, atol=1e-5)
    for other in ("full", "nf4"):
        assert np.abs(with_adapter(load_model(model, other), adapter) - said).max() > 0.01  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_mlxs_rounding_is_of_sixteen_values_a_group_and_keeps_the_dtype(dtype: torch.dtype) -> None:
    pytest.importorskip("mlx.core")
    torch.manual_seed(0)
    weight = torch.randn(8, 128).to(dtype)
    restored = round_trip(weight, "mlx4")
    assert restored.dtype == dtype and restored.shape == weight.shape
    assert all(len(group.unique()) <= 16 for group in restored.reshape(-1, 64))
    assert 0 < (restored - weight).abs().max() < 0.5


@pytest.mark.parametrize(
    ("name", "shape", "rounded"),
    [
        ("model.layers.0.mlp.up_proj.weight", (96, 128), {"nf4", "mlx4"}),
        ("model.layers.0.mlp.down_proj.weight", (128, 96), {"nf4"}),
        ("model.language_model.layers.0.mlp.up_proj.weight", (96, 128), {"nf4", "mlx4"}),
        ("model.layers.0.input_layernorm.weight", (128,), set()),
        ("model.embed_tokens.weight", (300, 128), set()),
        ("lm_head.weight", (300, 128), set()),
    ],
)
def test_what_is_rounded_is_what_training_rounds(name: str, shape: tuple[int, ...], rounded: set[str]) -> None:
    assert {kind for kind in ("full", "nf4", "mlx4") if is_rounded(name, shape, kind)} == rounded  # type: ignore[arg-type]


# ---- DoRA -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dora(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DoRA adapter all of whose parts have moved."""
    folder = tmp_path_factory.mktemp("dora") / "adapter"
    torch.manual_seed(2)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM")
    with peft_as_it_is():
        adapted = get_peft_model(base, config)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.data = 0.05 * torch.randn_like(weight)
            if "magnitude" in name:
                weight.data = weight.data * (1 + 0.1 * torch.randn_like(weight))
        adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def test_a_dora_adapter_merges_as_peft_merges_it(model: Path, dora: Path, tmp_path: Path) -> None:
    merge(model, dora, tmp_path / "merged")
    with peft_as_it_is():
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        expected = PeftModel.from_pretrained(base, str(dora)).merge_and_unload().state_dict()
    ours = Checkpoint(tmp_path / "merged")
    for name in ours.tensors:
        torch.testing.assert_close(ours.read(name), expected[name], rtol=0, atol=1e-6)


def test_a_dora_adapter_is_not_served_beside_its_base_nor_at_another_scale(
    model: Path, dora: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="the adapter uses DoRA"):
        convert_adapter(model, dora, tmp_path / "adapter.gguf")
    with pytest.raises(ModelError, match="has no scale to be merged at, only 1, not 0.5"):
        merge(model, dora, tmp_path / "merged", scale=0.5)
    assert list(tmp_path.iterdir()) == []


def test_a_dora_adapter_without_its_lengths_is_refused(adapter: Path, tmp_path: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"use_dora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").symlink_to(adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="not one length vector for each of its modules"):
        Lora(tmp_path, dora=True)
