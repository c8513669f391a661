"""What the tests of preference training share: examples, adapters, requests, histories."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.torch.prefer import prefer


def pair(name: str, question: str, chosen: str, rejected: str, **changes: Any) -> dict[str, Any]:
    prompt = [{"role": "user", "content": question}]
    return {
        "id": name,
        "kind": "pair",
        "source": "siblings",
        "topic": "facts",
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        **changes,
    }


def sft_example(name: str, question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer, "trained": True}]
    return {"id": name, "source": "general", "turns": turns}


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_adapter(base: Path, folder: Path, *, moved: float = 0.0, r: int = 4) -> Path:
    """A LoRA adapter; `moved` is the deviation of its B matrices, 0 for one that changes nothing yet."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=r, lora_alpha=2 * r, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    for name, weight in model.named_parameters():
        if moved and "lora_B" in name:
            weight.data = moved * torch.randn_like(weight)
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def run(request: PreferRequest, out: Path) -> PreferOutput:
    out.mkdir(exist_ok=True)
    return prefer(request, out)


def history(out: Path) -> list[dict[str, str]]:
    with (out / "preference_history.csv").open() as file:
        return list(csv.DictReader(file))
