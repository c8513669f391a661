"""The export stage: base and adapter in, checked served forms with their agreement out."""

import shutil
from pathlib import Path

import pytest

from pipelines.errors import GGUFError, ModelError
from pipelines.gguf.check import tensor_types, verify_form
from pipelines.gguf.scorer import GGUFScorer
from pipelines.stages.export import ExportConfig, export
from tests.pipelines.gguf.conftest import write_adapter

PROMPTS = [f"<|im_start|>user\nHello {n} 안녕<|im_end|>\n<|im_start|>assistant\n" for n in range(20)]


def test_the_merged_form_agrees_with_the_trained_model(model: Path, adapter: Path, tmp_path: Path) -> None:
    output = export(model, adapter, tmp_path / "made", ExportConfig(quantize="Q8_0"), prompts=PROMPTS)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["model.gguf"]
    assert output.agreement is not None and output.agreement.prompts == 20
    assert output.agreement.kld < 1e-5 and output.agreement.top1 > 0.95 and output.agreement.served_top1 > 0.8
    assert output.merged_tensors == 14 and output.merged_onto == "full" and output.seconds > 0
    moved = shutil.move(tmp_path / "made", tmp_path / "renamed")
    verify_form(output.form_in(Path(moved)))


def test_a_zero_adapter_exports_the_origins_own_bytes(model: Path, tmp_path: Path) -> None:
    zero = write_adapter(tmp_path / "zero", model, size=0.0)
    origin = export(model, None, tmp_path / "origin", ExportConfig())
    candidate = export(model, zero, tmp_path / "candidate", ExportConfig())
    assert origin.form == candidate.form and origin.form.quantization == "Q4_K_M"
    assert origin.tensor_types == candidate.tensor_types
    assert origin.agreement is None and "no prompts" in origin.note


def test_an_adapter_trained_on_nf4_is_merged_onto_nf4_when_the_full_weights_stray(
    model: Path, adapter: Path, tmp_path: Path
) -> None:
    config = ExportConfig(trained_on="nf4", max_kld=0.001, quantize="F16")
    output = export(model, adapter, tmp_path / "made", config, prompts=PROMPTS[:5])
    assert output.merged_onto == "nf4"
    assert output.agreement is not None and output.agreement.kld < 1e-5


def test_a_merge_that_strays_is_refused_and_leaves_no_file(model: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="would stray .* more than max_kld"):
        export(model, adapter, tmp_path / "made", ExportConfig(max_kld=1e-15), prompts=PROMPTS[:5])
    assert list((tmp_path / "made").iterdir()) == []


def test_the_adapter_form_keeps_both_files_and_its_scale(model: Path, adapter: Path, tmp_path: Path) -> None:
    config = ExportConfig(form="adapter", scale=0.5)
    output = export(model, adapter, tmp_path / "made", config)
    form = output.form_in(tmp_path / "made")
    assert form.kind == "adapter" and form.scale == 0.5
    assert output.size_bytes == sum(path.stat().st_size for path in (tmp_path / "made").iterdir())
    with GGUFScorer(form) as scorer:
        assert scorer.generate(scorer.tokenize(PROMPTS[0]), 5)


def test_weights_beyond_float16_go_through_bf16(model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    tensors = load_file(changed / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(tensors, changed / "model.safetensors")
    output = export(changed, None, tmp_path / "made", ExportConfig(quantize="Q8_0"))
    assert tensor_types(tmp_path / "made" / output.form.path)["blk.0.ffn_up.weight"] == "Q8_0"


def test_a_refused_adapter_leaves_an_empty_folder(model: Path, adapter: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(adapter, tmp_path / "broken"))
    (broken / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="adapter_model.safetensors"):
        export(model, broken, tmp_path / "made", ExportConfig())
    assert list((tmp_path / "made").iterdir()) == []


def test_a_model_larger_than_memory_is_exported_without_agreement_and_says_so(
    model: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.stages.export.os.sysconf", lambda name: 1 << 11)
    output = export(model, adapter, tmp_path / "made", ExportConfig(), prompts=PROMPTS[:5])
    assert output.agreement is None and "too many for 0 GB of memory" in output.note
