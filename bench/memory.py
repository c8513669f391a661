"""Peak memory of SFT with KL to the origin and of KTO, ours against plain TRL on the same examples, each in a process of its own.

    python -m bench memory --layers 12 --tokens 128

A random model of Qwen2.5-0.5B's shape with its real vocabulary of 151,936, LoRA on all linear layers, one step of eight
examples, float32 in both. TRL's trainers as they come: batches of eight, padded, log-probabilities by its fused head. They
know no KL to the origin, so SFT with KL stands beside their SFT without. TRL computes activations again unless told
otherwise and ours keeps those of a model of this size, so each is measured both ways. Peak: what the kernel says of the
whole process, libraries and weights included.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_records
from pipelines.backends.base import PreferRequest, TrainRequest
from pipelines.isolated import child_environment
from pipelines.recipe import Preference, Train
from pipelines.records import Example, PreferenceExample, Turn

_SHAPE = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
_TINY = Path("models/tiny")
_EXAMPLES = 8
_PROMPT_SHARE = 0.5
_TARGET = 0.6
WAYS = ("ours", "ours, recomputed", "trl", "trl, recomputed")


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """Megabytes at the peak of each way, and ours as a share of TRL's with the same choice about activations."""
    parser = argparse.ArgumentParser("python -m bench memory")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=256, help="of an example, about")
    chosen = parser.parse_args(list(options))
    figures: dict[str, Any] = {"layers": chosen.layers, "examples": _EXAMPLES, "tokens_an_example": chosen.tokens}
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        folder = Path(name)
        _write_texts(folder, chosen.tokens)
        _child("write", str(chosen.layers), folder)
        for method in ("sft", "kto"):
            peaks = {way: _child(method, way, folder) for way in WAYS}
            figures[method] = peaks
            for kept in ("", ", recomputed"):
                ratio = peaks[f"ours{kept}"]["peak_mb"] / peaks[f"trl{kept}"]["peak_mb"]
                figures[f"{method}{kept}: ours to trl"] = round(ratio, 3)
    shares = [figures[f"{method}: ours to trl"] for method in ("sft", "kto")]
    return figures | {"target": _TARGET, "passed": max(shares) < _TARGET}


def _child(what: str, how: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.memory", what, how, str(folder)]
    done = subprocess.run(command, env=child_environment(), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{what}, {how} failed: {done.stderr.decode().strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _write_texts(folder: Path, tokens: int) -> None:
    """Eight chats of words that the small tokenizer knows, half of them anchors; the same ones rated good and bad by turns."""
    rng = random.Random(0)
    lines = (Path("data/general/general.jsonl")).read_text(encoding="utf-8").splitlines()
    words = [word for line in lines[:500] for turn in json.loads(line)["turns"] for word in turn["content"].split()]

    def text(share: float) -> str:
        return " ".join(rng.choice(words) for _ in range(round(share * tokens / 2.2)))

    chats = [(text(_PROMPT_SHARE), text(1 - _PROMPT_SHARE)) for _ in range(_EXAMPLES)]
    examples = [
        Example(
            id=f"e{place}",
            source="general" if place % 2 else "new",
            turns=(Turn(role="user", content=asked), Turn(role="assistant", content=answer, trained=True)),
        )
        for place, (asked, answer) in enumerate(chats)
    ]
    rated = [
        PreferenceExample(
            id=f"p{place}",
            kind="labelled",
            source="lone",
            topic="facts",
            prompt=(Turn(role="user", content=asked),),
            chosen=None if place % 2 else Turn(role="assistant", content=answer),
            rejected=Turn(role="assistant", content=answer) if place % 2 else None,
        )
        for place, (asked, answer) in enumerate(chats)
    ]
    write_records(folder / "train.jsonl", examples)
    write_records(folder / "rated.jsonl", rated)


def _write_model(layers: int, folder: Path) -> None:
    """The base in bfloat16, with the small model's tokenizer, and an adapter that changes nothing yet."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    base = folder / "base"
    model = Qwen2ForCausalLM(Qwen2Config(**_SHAPE, num_hidden_layers=layers)).to(torch.bfloat16)
    model.save_pretrained(base)
    for path in _TINY.iterdir():
        if path.name.startswith("tokenizer") or path.suffix == ".jinja":
            shutil.copyfile(path, base / path.name)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(folder / "adapter", save_embedding_layers=False)


def _recipe(**changes: Any) -> Train:
    batch = {"per_device": _EXAMPLES, "accumulate": 1}
    settings = {"backend": "cpu", "precision": "float32", "batch": batch, "max_tokens": 1024, "epochs": 1}
    return Train.model_validate(settings | changes)


def _ours(method: str, folder: Path) -> int:
    """A step as a round trains it; how many steps."""
    from pipelines.backends.torch import backend

    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if method == "sft":
        request = TrainRequest(
            base=folder / "base",
            base_name="random",
            train=_recipe(kl={"weight": 0.1}),
            train_file=folder / "train.jsonl",
        )
        return backend.train(request, out).steps
    preference = {"batch": {"per_device": _EXAMPLES, "accumulate": 1}, "epochs": 1}
    return backend.prefer(
        PreferRequest(
            base=folder / "base",
            base_name="random",
            train=_recipe(),
            preference=Preference.model_validate(preference),
            method="kto",
            adapter=folder / "adapter",
            train_file=folder / "rated.jsonl",
        ),
        out,
    ).steps


def _trl(method: str, folder: Path, *, recomputed: bool) -> int:
    """A step of TRL's trainer of the same examples with the same adapter; how many steps."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    from pipelines.backends.examples import load_examples
    from pipelines.backends.preference_items import load_items
    from pipelines.backends.torch.load import load_padding
    from pipelines.tokenizer import ChatTokenizer

    tokenizer = ChatTokenizer(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype="float32", attn_implementation="sdpa")
    shared: dict[str, Any] = {
        "output_dir": str(folder / "trl"),
        "activation_checkpointing": recomputed,
        "use_cpu": True,
        "bf16": False,
        "max_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": None,
    }
    trainer: Any
    rest: dict[str, Any] = {
        "model": model,
        "processing_class": load_padding(tokenizer, folder / "base"),
        "peft_config": LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    }
    if method == "sft":
        examples = load_examples(folder / "train.jsonl", tokenizer, 1024).examples
        rows = [{"input_ids": list(one.ids), "labels": list(one.labels)} for one in examples]
        settings = SFTConfig(**shared, dataset_kwargs={"skip_prepare_dataset": True})
        trainer = SFTTrainer(args=settings, train_dataset=Dataset.from_list(rows), **rest)
    else:
        items = load_items(folder / "rated.jsonl", tokenizer, 1024, "kto").items
        texts = [[tokenizer.text(part, keep_control_tokens=True) for part in _halves(item)] for item in items]
        rows = [
            {"prompt": prompt, "completion": answer, "label": item.good}
            for (prompt, answer), item in zip(texts, items, strict=True)
        ]
        trainer = KTOTrainer(args=KTOConfig(**shared), train_dataset=Dataset.from_list(rows), **rest)
    trainer.train()
    return int(trainer.state.global_step)


def _halves(item: Any) -> tuple[Sequence[int], Sequence[int]]:
    [answer] = item.answers
    return answer.prompt_ids, answer.ids[answer.start :]


def main(what: str, how: str, folder: Path) -> None:
    """One way, measured; prints its figures as the last line."""
    started = time.process_time()
    if what == "write":
        _write_model(int(how), folder)
        steps = 0
    else:
        recomputed = how.endswith("recomputed")
        if how.startswith("ours"):
            from pipelines.backends.torch import device

            device._CHECKPOINTING_FROM_PARAMETERS = 0 if recomputed else 1 << 62
            steps = _ours(what, folder)
        else:
            steps = _trl(what, folder, recomputed=recomputed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"peak_mb": peak, "steps": steps, "cpu_seconds": round(time.process_time() - started)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
