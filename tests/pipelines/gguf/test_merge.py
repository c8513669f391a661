"""The streaming merge against peft's own, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pipelines.artifacts import require_space
from pipelines.errors import ArtifactError, ModelError
from pipelines.gguf.merge import merge
from pipelines.gguf.tensors import Checkpoint, row_blocks
from tests.pipelines.gguf.conftest import peft_as_it_is, write_adapter


def peft_merge(base: Path, adapter: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    with peft_as_it_is():
        merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return dict(merged.state_dict())


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="plain"),
        pytest.param({"use_rslora": True, "r": 16}, id="rank-stabilised"),
        pytest.param({"targets": ["q_proj"]}, id="one-module"),
    ],
)
def test_a_sharded_bf16_model_merges_bit_identically_to_peft(
    bf16_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    adapter = write_adapter(tmp_path / "lora", bf16_model, **settings)
    report = merge(bf16_model, adapter, tmp_path / "merged")
    expected = peft_merge(bf16_model, adapter, torch.bfloat16)
    ours = Checkpoint(tmp_path / "merged")
    assert report.merged > 0 and len(ours.shards) > 1
    for name in ours.tensors:
        assert torch.equal(ours.read(name), expected[name]), name


def test_small_row_blocks_give_the_same_bytes(
    bf16_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = write_adapter(tmp_path / "lora", bf16_model)
    merge(bf16_model, adapter, tmp_path / "large")
    monkeypatch.setattr("pipelines.gguf.merge.row_blocks", lambda info: row_blocks(info, 4096))
    merge(bf16_model, adapter, tmp_path / "small")
    for file in sorted((tmp_path / "large").iterdir()):
        assert file.read_bytes() == (tmp_path / "small" / file.name).read_bytes()


def test_a_scale_of_zero_leaves_every_byte_of_the_base(model: Path, adapter: Path, tmp_path: Path) -> None:
    merge(model, adapter, tmp_path / "same", scale=0.0)
    name = "model.safetensors"
    assert (tmp_path / "same" / name).read_bytes() == (model / name).read_bytes()


def test_a_scale_multiplies_the_adapters_change(model: Path, adapter: Path, tmp_path: Path) -> None:
    base = load_file(model / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    changes = []
    for scale in (1.0, 0.5):
        merge(model, adapter, tmp_path / str(scale), scale=scale)
        merged = load_file(tmp_path / str(scale) / "model.safetensors")
        changes.append(merged["model.layers.0.mlp.up_proj.weight"] - base)
    torch.testing.assert_close(changes[1] * 2, changes[0], atol=1e-6, rtol=1e-3)


def test_the_merged_folder_loads_with_transformers(model: Path, adapter: Path, tmp_path: Path) -> None:
    merge(model, adapter, tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").config.hidden_size == 256
    assert (tmp_path / "merged" / "chat_template.jinja").is_file()


Change = Callable[[Path], None]


def config_with(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def tensors_with(edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        save_file(edit(load_file(path)), path)

    return change


def without_one_half(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("0.mlp.up_proj.lora_B.weight")}


def with_nan(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    first = next(iter(tensors))
    return tensors | {first: torch.full_like(tensors[first], float("nan"))}


def too_wide(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: torch.cat([t, t], 1) if "lora_A" in k else t for k, t in tensors.items()}


def for_layer_nine(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace("layers.0.", "layers.9."): tensor for name, tensor in tensors.items()}


def for_the_tied_head(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    stem = "model.layers.0.self_attn.q_proj"
    return {name.replace(stem, "lm_head"): tensor for name, tensor in tensors.items() if stem in name}


def cut_short(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (config_with(use_dora=True), "DoRA"),
        (config_with(rank_pattern={"q_proj": 4}), "rank_pattern"),
        (config_with(alpha_pattern={"q_proj": 4}), "alpha_pattern"),
        (config_with(modules_to_save=["lm_head"]), "modules_to_save"),
        (config_with(lora_bias=True), "lora_bias"),
        (config_with(bias="all"), "biases"),
        (config_with(trainable_token_indices=[1, 2]), "trainable_token_indices"),
        (config_with(init_lora_weights="pissa"), "pissa"),
        (config_with(layer_replication=[[0, 2]]), "replicated layers"),
        (config_with(peft_type="IA3"), "IA3"),
        (config_with(r=0), "rank of at least 1"),
        (config_with(r=4), "do not fit its rank 4"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "not a readable PEFT"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "lacks adapter_model.safetensors"),
        (cut_short, "cut short"),
        (tensors_with(without_one_half), "incomplete"),
        (tensors_with(with_nan), "NaN"),
        (tensors_with(too_wide), "wrong base model"),
        (tensors_with(for_layer_nine), "wrong base model"),
        (tensors_with(for_the_tied_head), "ties to its embeddings"),
        (tensors_with(lambda t: t | {"base_model.model.x.lora_magnitude_vector": torch.ones(2)}), "magnitude"),
    ],
)
def test_an_adapter_that_is_not_a_plain_lora_of_this_base_is_refused_by_name(
    model: Path, adapter: Path, tmp_path: Path, damage: Change, words: str
) -> None:
    changed = Path(shutil.copytree(adapter, tmp_path / "lora"))
    damage(changed)
    with pytest.raises(ModelError, match=words):
        merge(model, changed, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("changes", [{"use_dora": False}, {"rank_pattern": {}}, {"init_lora_weights": "gaussian"}])
def test_near_misses_of_refused_features_are_accepted(
    model: Path, adapter: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changed = Path(shutil.copytree(adapter, tmp_path / "lora"))
    config_with(**changes)(changed)
    assert merge(model, changed, tmp_path / "merged").merged == 14


def test_a_base_cut_short_is_refused_and_leaves_nothing(model: Path, adapter: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(model, tmp_path / "base"))
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4096])
    with pytest.raises(ModelError, match="cut short"):
        merge(base, adapter, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_missing_shard_is_named(bf16_model: Path, adapter: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(bf16_model, tmp_path / "base"))
    lost = sorted(base.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ModelError, match=lost.name):
        merge(base, adapter, tmp_path / "merged")


def test_an_existing_folder_is_never_overwritten(model: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    with pytest.raises(ArtifactError, match="exists already"):
        merge(model, adapter, tmp_path / "merged")


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="MB are needed"):
        require_space(tmp_path, 1 << 60)
