"""What a model folder is, and what is refused of it by name, with the way out."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.bases.facts import BaseFacts
from pipelines.bases.first_recipe import BaseSource, Here, Machine, explain_recipe, first_recipe, quantization_for
from pipelines.bases.inspect import inspect_base
from pipelines.bases.texts import COUNT, SCRIPTS, script_texts
from pipelines.errors import ModelError
from pipelines.gate.outlook import gate_outlooks
from pipelines.plain_yaml import parse_plain_yaml
from pipelines.recipe import Metric
from pipelines.recipe_file import parse_recipe

TINY = Path(__file__).resolve().parents[3] / "models" / "tiny"
LAPTOP = Machine(memory_bytes=16 << 30, cuda=False)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    shutil.copytree(TINY, tmp_path / "mine")
    return tmp_path / "mine"


def change(file: Path, **fields: Any) -> None:
    said = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in (said | fields).items() if value is not None}))


def test_a_base_is_what_its_folder_says(base: Path) -> None:
    change(base / "generation_config.json", temperature=0.6, top_p=0.95)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    facts = inspect_base(base)
    assert (facts.architecture, facts.parameters, facts.context) == ("Qwen2ForCausalLM", 3_674_368, 1024)
    assert (facts.end_token, facts.licence, facts.k_quants) == ("<|im_end|>", "apache-2.0", True)
    assert facts.sampling == {"temperature": 0.6, "top_p": 0.95}


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "mxfp4"])
def test_a_quantized_base_is_refused_with_the_way_out(base: Path, method: str) -> None:
    change(base / "config.json", quantization_config={"quant_method": method})
    with pytest.raises(ModelError, match=rf"stored quantized \({method}\).*use the original in bfloat16"):
        inspect_base(base)


def without_template(base: Path) -> None:
    (base / "chat_template.jinja").unlink(missing_ok=True)
    change(base / "tokenizer_config.json", chat_template=None)


def only_seeing(base: Path) -> None:
    change(base / "config.json", architectures=["SiglipForCausalLM"], vision_config={})


def cut_short(base: Path) -> None:
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[:-100])


def with_too_many_tokens(base: Path) -> None:
    change(base / "config.json", vocab_size=1000)


REFUSALS = {
    "no template": (without_template, "has no chat template: put one into chat_template.jinja, or use an instruct"),
    "only sees": (only_seeing, "only sees: it has no text part"),
    "no text": (lambda base: change(base / "config.json", architectures=["BertModel"]), "is BertModel, which does not write text"),
    "no tokenizer": (lambda base: (base / "tokenizer.json").unlink(), "has no tokenizer.json; write one with transformers"),
    "no config": (lambda base: (base / "config.json").unlink(), "no config.json, so it is no model folder; name a folder"),
    "no end": (lambda base: change(base / "tokenizer_config.json", eos_token="<|other|>"), "its answers would never end"),
    "cut short": (cut_short, "model.safetensors"),
    "too many tokens": (with_too_many_tokens, "and the model only 1000 embeddings"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_adopted_is_refused_by_name(base: Path, name: str) -> None:
    spoil, words = REFUSALS[name]
    spoil(base)
    with pytest.raises(ModelError, match=words):
        inspect_base(base)


def facts_of(billions: float, *, k_quants: bool = True) -> BaseFacts:
    parameters = int(billions * 1e9)
    return inspect_base(TINY).model_copy(
        update={"parameters": parameters, "size_bytes": 2 * parameters, "k_quants": k_quants, "context": 32_768}
    )


@pytest.mark.parametrize(
    ("billions", "machine", "expected"),
    [
        (0.135, LAPTOP, ("lora", 4e-4, 8, 2, "merged", "Q8_0")),
        (2.0, LAPTOP, ("lora", 2e-4, 4, 2, "merged", "Q4_K_M")),
        (7.0, Machine(memory_bytes=24 << 30, cuda=True), ("lora", 2e-4, 2, 2, "adapter", "Q4_K_M")),
        (14.0, Machine(memory_bytes=24 << 30, cuda=True), ("qlora", 1e-4, 1, 2, "adapter", "Q4_K_M")),
        (32.0, Machine(memory_bytes=48 << 30, cuda=True), ("qlora", 1e-4, 1, 1, "adapter", "Q4_K_M")),
    ],
    ids=["135M", "2B", "7B", "14B", "32B"],
)
def test_the_first_recipe_follows_the_evidence_for_the_size(
    billions: float, machine: Machine, expected: tuple[Any, ...]
) -> None:
    facts = facts_of(billions)
    text = first_recipe(
        "mine", BaseSource("/models/mine"), facts, quantization_for(facts), machine, Here({"kmmlu": ("acc", 35_030)})
    )
    recipe = parse_recipe(text, "mine.yaml")
    train, export = recipe.train, recipe.export
    chosen = (train.method, train.learning_rate, train.batch.per_device, train.epochs, export.form, export.quantize)
    assert chosen == expected
    assert train.batch.per_device * train.batch.accumulate == 16
    assert [gate.suite for gate in recipe.gates] == ["kmmlu", "heldout"]


def test_the_first_recipe_takes_what_is_there_at_margins_that_can_be_held() -> None:
    facts, suites = facts_of(0.135), {"mmlu": 253, "chat": 540, "small": 90, "text": 250}
    metrics: dict[str, Metric] = {"mmlu": "acc_norm", "chat": "acc_norm", "small": "acc", "text": "perplexity"}
    here = Here(
        {name: (metrics[name], items) for name, items in suites.items()},
        "smollm2",
        ("general", "coding"),
        language=True,
    )
    text = first_recipe("mine", BaseSource("/models/mine"), facts, "Q8_0", LAPTOP, here)
    recipe = parse_recipe(text, "mine.yaml")
    assert {gate.suite: gate.margin.origin for gate in recipe.gates if gate.margin} == {
        "mmlu": 4.0,
        "chat": 3.0,
        "text": 2.0,
    }
    assert all(not outlook.never for outlook in gate_outlooks(recipe, suites, heldout=300))
    assert (recipe.anchors, recipe.mixture.user, recipe.mixture.general, recipe.mixture.coding) == (
        "smollm2",
        0.5,
        0.31,
        0.19,
    )
    assert recipe.evaluate.suites == ("mmlu", "chat", "text", "heldout", "language")
    lines = explain_recipe(parse_plain_yaml(text, "mine.yaml"), facts)
    assert (
        "mmlu (margin 4), chat (margin 3), text (margin 2)" in lines[3]
        and "anchors: smollm2; mixture in tokens: user 50%" in lines[4]
    )


def test_a_model_of_the_hub_is_pinned_and_a_width_that_k_quants_cannot_take_is_served_in_eight_bits() -> None:
    facts = facts_of(7.0, k_quants=False)
    source = BaseSource("Qwen/Qwen3-8B", "0123abcd")
    text = first_recipe("mine", source, facts, quantization_for(facts), LAPTOP, Here({}))
    recipe = parse_recipe(text, "mine.yaml")
    assert (recipe.base.hub, recipe.base.revision, recipe.export.quantize) == (True, "0123abcd", "Q8_0")
    lines = explain_recipe(parse_plain_yaml(text, "mine.yaml"), facts)
    assert len(lines) == 5 and "`perennial suites add`" in lines[3] and "anchors make mine`" in lines[4]


def test_the_texts_are_two_thousand_different_ones_in_ten_scripts() -> None:
    texts = list(script_texts())
    assert len(texts) == COUNT == 2000 and len(SCRIPTS) == 10
    assert len(set(texts)) > 1990 and texts == list(script_texts())
