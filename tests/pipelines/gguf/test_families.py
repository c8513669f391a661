"""Real families end as GGUF with the same answers as in transformers: merged, and as a base with an adapter on top."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.artifacts import sha256_of
from pipelines.errors import MissingDependency, ModelError
from pipelines.gguf.adapter import convert_adapter
from pipelines.gguf.check import check_adapter
from pipelines.gguf.convert import convert
from pipelines.isolated import run_in_child
from tests.pipelines.gguf.families import FAMILIES, IN_THE_SUITE, NEW_TOKENS, TEXT

Facts = dict[str, dict[str, Any]]


def make(folder: Path, **wanted: Any) -> Facts:
    return run_in_child("tests.pipelines.gguf.families:make_all", {"folder": str(folder), **wanted})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def facts(folder: Path) -> Facts:
    return make(folder, names=list(IN_THE_SUITE), small=True)


def check(wanted: dict[str, Any], folder: Path) -> None:
    """The GGUFs of a family say what transformers says: alone, merged, and with the adapter on top."""
    assert wanted["greedy"] != wanted["greedy_base"]
    check_adapter(folder / "base.gguf", folder / "adapter.gguf")
    assert greedy(folder / "base.gguf") == (wanted["ids"], wanted["greedy_base"])
    assert greedy(folder / "merged.gguf") == (wanted["ids"], wanted["greedy"])
    assert greedy(folder / "base.gguf", folder / "adapter.gguf") == (wanted["ids"], wanted["greedy"])


@pytest.mark.parametrize("name", IN_THE_SUITE)
def test_a_trained_adapter_says_the_same_merged_and_on_top_of_its_base(name: str, facts: Facts, folder: Path) -> None:
    check(facts[name], folder / name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_with_its_own_vocabulary_says_the_same(name: str, tmp_path: Path) -> None:
    check(make(tmp_path, names=[name], small=False)[name], tmp_path / name)


def test_a_vision_tower_and_a_head_for_several_tokens_are_left_out_and_said(facts: Facts) -> None:
    """The adapter that was trained on the text part alone still fits the wrapper's names: `check` has asked its answers."""
    assert facts["qwen3_5"]["dropped"] == ["1 tensors of mtp", "1 tensors of visual"]
    assert facts["mistral"]["dropped"] == []


def test_the_front_door_gives_the_same_bytes(facts: Facts, folder: Path, tmp_path: Path) -> None:
    """Through a child process of its own, as every export goes."""
    here = folder / "mistral"
    report = convert(here / "base", tmp_path / "merged.gguf", adapter=here / "adapter", ftype="f32")
    assert report.sha256 == sha256_of(here / "merged.gguf")
    assert (report.tensors, report.merged) == (facts["mistral"]["tensors"], 14)
    made = convert_adapter(here / "base", here / "adapter", tmp_path / "adapter.gguf")
    assert (made.sha256, made.tensors) == (sha256_of(here / "adapter.gguf"), 28)


def test_the_template_is_the_one_that_training_renders(facts: Facts, folder: Path) -> None:
    from transformers.integrations.gguf import read_gguf_metadata

    template = read_gguf_metadata(str(folder / "mistral" / "base.gguf"))[0]["tokenizer.chat_template"]
    published = (folder / "mistral" / "base" / "chat_template.jinja").read_text(encoding="utf-8")
    assert template == '{%- set bos_token = "<s>" -%}{%- set eos_token = "</s>" -%}' + published


def test_an_adapter_of_another_model_is_refused(facts: Facts, folder: Path, tmp_path: Path) -> None:
    for convert_it in (
        lambda: convert(folder / "llama3" / "base", tmp_path / "x.gguf", adapter=folder / "phi3" / "adapter"),
        lambda: convert_adapter(folder / "llama3" / "base", folder / "phi3" / "adapter", tmp_path / "x.gguf"),
    ):
        with pytest.raises(ModelError, match="wrong base model"):
            convert_it()
    assert not list(tmp_path.iterdir())


def changed(base: Path, out: Path, **fields: Any) -> Path:
    """A copy of a model folder with other fields in its config."""
    shutil.copytree(base, out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | fields))
    return out


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "mxfp4", "bitsandbytes"])
def test_a_model_that_is_stored_quantized_is_refused_by_name(
    method: str, facts: Facts, folder: Path, tmp_path: Path
) -> None:
    base = changed(folder / "mistral" / "base", tmp_path / "base", quantization_config={"quant_method": method})
    with pytest.raises(ModelError, match=rf"stored quantized \({method}\).*use the original in bfloat16"):
        convert(base, tmp_path / "out.gguf")


def test_what_llama_cpp_does_not_know_is_refused_in_a_sentence(facts: Facts, folder: Path, tmp_path: Path) -> None:
    base = changed(folder / "mistral" / "base", tmp_path / "base", architectures=["TomorrowForCausalLM"])
    with pytest.raises(ModelError, match="the architecture TomorrowForCausalLM of base is not one that llama.cpp"):
        convert(base, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused_in_a_sentence(
    facts: Facts, folder: Path, tmp_path: Path
) -> None:
    base = changed(folder / "qwen3_5" / "base", tmp_path / "base", vocab_size=151_000)
    with pytest.raises(ModelError, match="has the token id 151935, and the model only 151000 embeddings"):
        convert(base, tmp_path / "out.gguf")


def test_a_weight_beyond_float16_is_refused_by_its_name(facts: Facts) -> None:
    words = "tensor 'model.layers.1.mlp.up_proj.weight' has values beyond the range of float16; convert with ftype bf16"
    assert facts["mistral"]["too_large"] == words


def test_without_llama_cpps_converter_it_says_what_is_missing(
    facts: Facts, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_LLAMA_CPP", str(tmp_path))
    with pytest.raises(MissingDependency, match="run `make setup`"):
        convert(folder / "mistral" / "base", tmp_path / "out.gguf")


def greedy(model: Path, adapter: Path | None = None) -> tuple[list[int], list[int]]:
    """The ids of TEXT and the likeliest continuation, with a float32 cache."""
    from llama_cpp import Llama

    engine = Llama(
        str(model), lora_path=str(adapter) if adapter else None, n_ctx=256, verbose=False, type_k=0, type_v=0
    )
    ids = engine.tokenize(TEXT.encode(), add_bos=False, special=False)
    engine.eval(ids)
    answer = []
    for _ in range(NEW_TOKENS):
        answer.append(int(engine.sample(temp=0.0)))
        engine.eval(answer[-1:])
    engine.close()
    return ids, answer
