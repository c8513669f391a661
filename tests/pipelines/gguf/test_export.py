"""One export: base and adapter in, a checked served form with its agreement and with what it changed out."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pipelines.errors import GGUFError, ModelError
from pipelines.gate.change import Change
from pipelines.gguf import agreement
from pipelines.gguf.check import tensor_types, verify_form
from pipelines.gguf.scorer import GGUFScorer
from pipelines.progress import PROGRESS_FILE, read_progress
from pipelines.recipe import Export
from pipelines.stages.export.child import export
from pipelines.stages.export.form import Exported, ExportRequest, run_export
from tests.pipelines.gguf.conftest import write_adapter

PROMPTS = tuple(f"<|im_start|>user\nHello {n} 안녕<|im_end|>\n<|im_start|>assistant\n" for n in range(20))


def request(base: Path, adapter: Path | None, out: Path, settings: Export = Export(), **more: Any) -> ExportRequest:
    return ExportRequest(base=base, adapter=adapter, out=out, settings=settings, **more)


def test_the_merged_form_agrees_with_the_trained_model(model: Path, adapter: Path, tmp_path: Path) -> None:
    output = export(request(model, adapter, tmp_path / "made", Export(quantize="Q8_0"), prompts=PROMPTS))
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["model.gguf"]
    assert output.agreement is not None and output.agreement.prompts == 20
    assert output.agreement.kld < 1e-5 and output.agreement.top1 > 0.95 and output.agreement.served_top1 > 0.8
    assert output.merged_onto == "full" and output.seconds > 0
    moved = shutil.move(tmp_path / "made", tmp_path / "renamed")
    verify_form(output.form_in(Path(moved)))


@pytest.mark.parametrize("rounded", ["nf4", "mlx4"])
def test_an_adapter_trained_on_4_bits_is_merged_onto_them_when_the_full_weights_stray(
    model: Path, adapter: Path, tmp_path: Path, rounded: str
) -> None:
    pytest.importorskip({"nf4": "bitsandbytes", "mlx4": "mlx.core"}[rounded])
    settings = Export(max_kld=0.001, quantize="F16")
    output = export(request(model, adapter, tmp_path / "made", settings, trained_on=rounded, prompts=PROMPTS[:5]))
    assert output.merged_onto == rounded
    assert output.agreement is not None and output.agreement.kld < 1e-5


def test_a_merge_that_strays_is_refused_and_leaves_no_file(model: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="would stray .* more than max_kld"):
        export(request(model, adapter, tmp_path / "made", Export(max_kld=1e-15), prompts=PROMPTS[:5]))
    assert list((tmp_path / "made").iterdir()) == []


def test_there_is_one_limit_of_what_a_merge_may_stray() -> None:
    """Between what rounding costs (2e-4) and what weights that it was not trained on cost (3e-2), on models/tiny."""
    assert Export().max_kld == 0.01
    numbers = [name for record in (ExportRequest, Exported) for name in record.model_fields if "kld" in name]
    assert numbers == []


def test_what_an_export_of_an_earlier_version_left_is_still_read(tmp_path: Path) -> None:
    """Origins and adapters of a lineage outlive the version that made them; its figures were all floats."""
    agreement = {"prompts": 300.0, "positions": 1200.0, "top1": 1.0, "kld": 2e-7, "served_top1": 0.94}
    form = {"kind": "merged", "path": "model.gguf", "sha256": "s"}
    made = {"form": form, "scale": 0.5, "merged_onto": "full", "size_bytes": 1, "tensor_types": {"Q4_K": 28}}
    found = Exported.model_validate(made | {"agreement": agreement, "tried": [0.5], "seconds": 1.0})
    assert found.agreement is not None and found.agreement.prompts == 300
    assert (found.change, found.note, found.form_in(tmp_path).path) == (None, "", str(tmp_path / "model.gguf"))


def test_the_adapter_form_keeps_both_files_and_its_scale(model: Path, adapter: Path, tmp_path: Path) -> None:
    output = export(request(model, adapter, tmp_path / "made", Export(form="adapter"), scale=0.5))
    form = output.form_in(tmp_path / "made")
    assert form.kind == "adapter" and form.scale == 0.5
    assert output.size_bytes == sum(path.stat().st_size for path in (tmp_path / "made").iterdir())
    with GGUFScorer(form) as scorer:
        assert scorer.generate(scorer.tokenize(PROMPTS[0]), 5)


def test_weights_beyond_float16_go_through_bf16(model: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    tensors = load_file(changed / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(tensors, changed / "model.safetensors")
    output = export(request(changed, None, tmp_path / "made", Export(quantize="Q8_0")))
    assert tensor_types(tmp_path / "made" / output.form.path)["blk.0.ffn_up.weight"] == "Q8_0"


def test_a_refused_adapter_leaves_an_empty_folder(model: Path, adapter: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(adapter, tmp_path / "broken"))
    (broken / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="adapter_model.safetensors"):
        export(request(model, broken, tmp_path / "made"))
    assert list((tmp_path / "made").iterdir()) == []


def test_a_model_larger_than_memory_is_exported_without_agreement_and_says_so(
    model: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.stages.export.child.os.sysconf", lambda name: 1 << 11)
    output = export(request(model, adapter, tmp_path / "made", prompts=PROMPTS[:5]))
    assert output.agreement is None and "too many for 0 GB of memory" in output.note


def test_a_comparison_that_takes_too_long_is_a_note_and_the_export_goes_on(
    model: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.stages.export.child._AGREEMENT_SECONDS", 0.01)
    output = export(request(model, adapter, tmp_path / "made", prompts=PROMPTS[:5]))
    assert output.agreement is None and output.note.endswith("it took longer than 0.01 s and was stopped")
    verify_form(output.form_in(tmp_path / "made"))


def test_prompts_are_compared_in_batches_of_like_length_which_changes_no_figure(
    model: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agreement.batches([3, 9, 2, 8, 1], tokens=18) == [[1, 3], [0, 2, 4]]
    prompts = (*PROMPTS[:3], "a", PROMPTS[0] * 3)
    asked = {"base": str(model), "adapter": str(adapter), "scale": 1.0, "trained_on": "full", "max_kld": 1.0}
    both = agreement.Request(**asked, merge_onto=("full",), prompts=prompts, progress=str(tmp_path))  # type: ignore[arg-type]
    together = agreement.measure(both)
    assert [line["done"] for line in read_progress(tmp_path / PROGRESS_FILE)] == [5, 10]
    monkeypatch.setattr(agreement, "_BATCH_TOKENS", 1)
    alone = agreement.measure(both)
    assert (alone.tokens, alone.positions, alone.top1) == (together.tokens, 17, together.top1)
    assert alone.kld == pytest.approx(together.kld, abs=1e-7)


# ---- what the candidate changed --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def origin_file(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    return Path(run_export(request(model, None, folder)).form_in(folder).path)


def without(name: str, adapter: Path, out: Path) -> Path:
    """A copy of an adapter that lacks the modules with this in their names."""
    partial = Path(shutil.copytree(adapter, out))
    weights = partial / "adapter_model.safetensors"
    save_file({key: tensor for key, tensor in load_file(weights).items() if name not in key}, weights)
    return partial


def change_of(exported: Exported) -> Change:
    assert exported.change is not None
    return exported.change


def test_a_trained_adapter_changes_the_blocks_of_its_modules_and_nothing_else(
    model: Path, adapter: Path, origin_file: Path, tmp_path: Path
) -> None:
    change = change_of(export(request(model, adapter, tmp_path / "made", origin=origin_file)))
    assert (change.modules, change.targeted_modules, change.moved_modules) == (14, 14, 14)
    assert (change.tensors, change.changed_tensors) == (26, 14) and not change.unchanged
    assert 0.5 * change.blocks < change.changed_blocks < change.blocks
    assert f"{change.changed_blocks:,} of {change.blocks:,} blocks" in change.sentence
    assert "moves 14 of the 14 modules that the recipe names (14 in the model)" in change.sentence


def test_a_zero_adapter_exports_the_origins_own_bytes_and_is_called_unchanged(
    model: Path, origin_file: Path, tmp_path: Path
) -> None:
    zero = write_adapter(tmp_path / "zero", model, size=0.0)
    candidate = export(request(model, zero, tmp_path / "candidate", origin=origin_file))
    assert (tmp_path / "candidate" / "model.gguf").read_bytes() == origin_file.read_bytes()
    change = change_of(candidate)
    assert change.unchanged and (change.changed_blocks, change.moved_modules) == (0, 0)


def test_a_zero_adapter_beside_its_base_is_called_unchanged_too(model: Path, origin_file: Path, tmp_path: Path) -> None:
    zero = write_adapter(tmp_path / "zero", model, size=0.0)
    change = change_of(export(request(model, zero, tmp_path / "made", Export(form="adapter"), origin=origin_file)))
    assert change.unchanged and (change.blocks, change.moved_modules, change.targeted_modules) == (0, 0, 14)


def test_a_zero_adapter_on_a_base_that_moved_is_called_unchanged_too(
    model: Path, adapter: Path, origin_file: Path, tmp_path: Path
) -> None:
    """As under `lineage: sequential`, where the base is the champion and differs from the origin everywhere."""
    from pipelines.gguf.merge import merge

    merge(model, adapter, tmp_path / "champion")
    zero = write_adapter(tmp_path / "zero", model, size=0.0)
    change = change_of(export(request(tmp_path / "champion", zero, tmp_path / "made", origin=origin_file)))
    assert change.unchanged and change.changed_blocks > 0


def test_an_adapter_that_moves_a_quarter_of_its_modules_says_so(
    model: Path, adapter: Path, origin_file: Path, tmp_path: Path
) -> None:
    quiet = Path(shutil.copytree(adapter, tmp_path / "quiet"))
    weights = quiet / "adapter_model.safetensors"
    moving = ("q_proj", "v_proj")
    tensors = load_file(weights).items()
    save_file(
        {key: one * any(name in key for name in moving) if "lora_B" in key else one for key, one in tensors}, weights
    )
    change = change_of(export(request(model, quiet, tmp_path / "made", origin=origin_file)))
    assert (change.targeted_modules, change.moved_modules, change.changed_tensors) == (14, 4, 4)
    assert not change.unchanged


def test_an_adapter_without_all_modules_of_the_recipe_is_refused(model: Path, adapter: Path, tmp_path: Path) -> None:
    partial = without("layers.1.", adapter, tmp_path / "partial")
    with pytest.raises(
        ModelError, match=r"has 7 of the 14 modules .* and not 'model\.layers\.1\.\S+'.* train it again"
    ):
        export(request(model, partial, tmp_path / "made"))
    assert list((tmp_path / "made").iterdir()) == []


def test_a_recipe_that_names_few_modules_gets_an_adapter_of_few(model: Path, origin_file: Path, tmp_path: Path) -> None:
    few = write_adapter(tmp_path / "few", model, targets=["q_proj", "v_proj"])
    asked = request(model, few, tmp_path / "made", target=("q_proj", "v_proj"), origin=origin_file)
    change = change_of(export(asked))
    assert (change.modules, change.targeted_modules, change.moved_modules) == (14, 4, 4)
    with pytest.raises(ModelError, match="has 4 of the 14 modules"):
        export(request(model, few, tmp_path / "whole"))
