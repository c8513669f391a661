"""Every proof fails with its figure where the file and the weights are two things; test_bases.py has those that hold."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.bases.facts import Proof, ProofRequest
from pipelines.bases.proofs import prove_agreement, prove_stop, prove_template, prove_tokens
from pipelines.gguf.convert import convert
from pipelines.records import ServedForm

TINY = Path(__file__).resolve().parents[3] / "models" / "tiny"
PROVERS: dict[str, Callable[[ProofRequest], Proof]] = {
    "tokens": prove_tokens,
    "template": prove_template,
    "agreement": prove_agreement,
    "stops": prove_stop,
}


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> ServedForm:
    made = convert(TINY, tmp_path_factory.mktemp("served") / "model.gguf")
    return ServedForm(kind="merged", path=str(made.path), sha256=made.sha256)


def prove(name: str, base: Path, form: ServedForm, folder: Path) -> Proof:
    return PROVERS[name](ProofRequest(names=(name,), base=base, form=form, quantize="F16", folder=folder))


def other_words(base: Path) -> None:
    """Two ids change places, as with a tokenizer of another version."""
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["a"], words["e"] = words["e"], words["a"]
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))


def other_template(base: Path) -> None:
    template = base / "chat_template.jinja"
    template.write_text(template.read_text() + "{%- if tools %}{{ tools | tojson }}{%- endif %}")


def other_weights(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith("q_proj.weight"):
            weights[name] = weight.roll(32, 0)
    save_file(weights, base / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("name", "spoil", "figure"),
    [
        ("tokens", other_words, r"equal on [\d,]+ of 2,000 texts in 10 scripts \(not: .*latin"),
        ("template", other_template, r"chats of 9 of 12 shapes .*not: tools, a call of a tool, an answer after a tool"),
        ("agreement", other_weights, r"KL divergence \d+\.\d+ nats a token \(at most 0.02\)"),
    ],
    ids=["tokens", "template", "agreement"],
)
def test_a_file_of_another_model_is_caught(
    name: str, spoil: Callable[[Path], None], figure: str, form: ServedForm, tmp_path: Path
) -> None:
    shutil.copytree(TINY, tmp_path / "base")
    spoil(tmp_path / "base")
    proof = prove(name, tmp_path / "base", form, tmp_path)
    assert not proof.passed
    assert re.search(figure, proof.line), proof.line


def test_a_model_that_says_nothing_is_caught(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "base")
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.norm.weight"] = torch.zeros_like(
        weights["model.norm.weight"]
    )  # the likeliest is the first token of all: an end
    save_file(weights, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    made = convert(tmp_path / "base", tmp_path / "model.gguf")
    silent = ServedForm(kind="merged", path=str(made.path), sha256=made.sha256)
    proof = prove("stops", tmp_path / "base", silent, tmp_path)
    assert not proof.passed and "answers to 0 of 4 short questions end by themselves" in proof.line


def test_a_template_that_refuses_every_chat_proves_nothing(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    made = convert(tmp_path / "base", tmp_path / "model.gguf")
    form = ServedForm(kind="merged", path=str(made.path), sha256=made.sha256)
    proof = prove("template", tmp_path / "base", form, tmp_path)
    assert not proof.passed and "12 of which this template refuses" in proof.line
