"""What `perennial plan` forecasts against what training then takes: seconds of the processor, and peak memory.

Six configurations, each forecast and then trained for some steps in processes of their own: the embedded model with
LoRA, QLoRA, long examples and KL to the origin, and two models of random weights. Anchors of data/general are the text.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.artifacts import write_records
from pipelines.backends.base import Pace, TrainOutput, TrainRequest
from pipelines.backends.launch import calibrate, look_at_machine
from pipelines.forecast.hours import ExampleSize, TrainingWork, training_seconds
from pipelines.forecast.memory import training_memory
from pipelines.forecast.model_size import shape_of
from pipelines.isolated import run_in_child
from pipelines.mixture.anchors import load_pool
from pipelines.recipe import Train
from pipelines.records import Example, Turn
from pipelines.tokenizer import ChatTokenizer

_TINY = Path("models/tiny")
_POOLS = Path("data/general")
_EXAMPLES = 160
_WITHIN = 0.25


class Case(NamedTuple):
    """A configuration: its base (the embedded one, or random weights of a shape), settings, and messages an example."""

    base: str
    train: dict[str, Any]
    turns: int = 1
    steps: int = 60


_BATCH = {"per_device": 8, "accumulate": 2}
CASES = {
    "tiny, lora": Case("tiny", {"batch": _BATCH, "max_tokens": 512}),
    "tiny, qlora": Case("tiny", {"batch": _BATCH, "max_tokens": 512, "method": "qlora"}, steps=20),
    "tiny, long examples": Case("tiny", {"batch": _BATCH, "max_tokens": 1024}, turns=8, steps=20),
    "tiny, KL on anchors": Case("tiny", {"batch": _BATCH, "max_tokens": 512, "kl": {"weight": 0.1}}),
    "random 30 M, lora": Case("30M", {"batch": _BATCH, "max_tokens": 512}, steps=10),
    "random 135 M, lora": Case("135M", {"batch": {"per_device": 4, "accumulate": 2}, "max_tokens": 1024}, 3, 5),
}
_SHAPES = {
    "30M": dict(
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=32_000,
    ),
    "135M": dict(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49_152,
    ),
}


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """Forecast and measured of every configuration; `--only WORD` runs those whose name has the word."""
    word = options[1] if len(options) == 2 and options[0] == "--only" else ""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        cases = {name: _told(name, _compare(case, Path(folder))) for name, case in CASES.items() if word in name}
    within = all(abs(row[key] - 1) <= _WITHIN for row in cases.values() for key in ("steps_ratio", "memory_ratio"))
    return {"cases": cases, "passed": within, "target": "every ratio within .75 and 1.25"}


def _told(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, shown as soon as they are there: all six take minutes."""
    print(f"{name}: {json.dumps(figures)}", flush=True)
    return figures


def _compare(case: Case, folder: Path) -> dict[str, Any]:
    base = _TINY.resolve() if case.base == "tiny" else _random_base(folder / case.base, case.base)
    train = Train.model_validate({"learning_rate": 1e-4, "early_stopping": None, "precision": "float32", **case.train})
    batch = train.batch.per_device * train.batch.accumulate
    examples = _examples(case)
    train = train.model_copy(update={"epochs": case.steps * batch / len(examples)})
    sizes = _sizes(examples, ChatTokenizer(base), train.max_tokens)
    before = calibrate(base, train, processor=True, threads=1)
    done = _trained(base, train, examples, folder)
    after = calibrate(base, train, processor=True, threads=1)
    work = TrainingWork(sample=tuple(sizes), steps=case.steps, looks=0, dev_examples=0)
    start = (before.start + after.start) / 2
    forecast = _mean(before, after, train, work)
    shape = shape_of(str(base), base)
    assert shape is not None
    memory = training_memory(train, shape, look_at_machine(train), _longest(sizes)).total
    return {
        "seconds": round(forecast, 1),
        "measured_seconds": round(done["seconds"], 1),
        "start_seconds": round(start, 1),
        "seconds_ratio": round(forecast / done["seconds"], 3),
        "steps_ratio": round((forecast - start) / (done["seconds"] - start), 3),
        "memory_mb": round(memory / 1e6),
        "measured_memory_mb": round(done["peak"] / 1e6),
        "memory_ratio": round(memory / done["peak"], 3),
    }


def _mean(before: Pace, after: Pace, train: Train, work: TrainingWork) -> float:
    return sum(training_seconds(train, work, pace) for pace in (before, after)) / 2


def _longest(sizes: Sequence[ExampleSize]) -> int:
    return max(one.tokens for one in sizes)


def _examples(case: Case) -> list[Example]:
    """Anchors of the general pool, some joined to one chat; half of them count as users' own."""
    anchors = load_pool(_POOLS / "general.jsonl", "general").anchors
    examples = []
    for number in range(_EXAMPLES):
        joined = anchors[number * case.turns : (number + 1) * case.turns]
        turns = tuple(
            Turn(role=turn.role, content=turn.content, trained=turn.role == "assistant")
            for anchor in joined
            for turn in anchor.turns
        )
        examples.append(Example(id=str(number), source="new" if number % 2 else "general", turns=turns))
    return examples


def _sizes(examples: Sequence[Example], tokenizer: ChatTokenizer, max_tokens: int) -> list[ExampleSize]:
    return [
        ExampleSize(len(row.ids), sum(row.mask), example.source == "general")
        for example in examples
        for row in tokenizer.rows(example.turns, max_tokens)[0]
    ]


def _trained(base: Path, train: Train, examples: Sequence[Example], folder: Path) -> dict[str, float]:
    path = folder / "train.jsonl"
    write_records(path, examples)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        request = TrainRequest(base=base, base_name="bench", train=train, train_file=path, threads=1)
        return run_in_child("bench.plan:train_here", {"request": request.model_dump(mode="json"), "out": out})


def train_here(arguments: dict[str, Any]) -> dict[str, float]:
    """Train as the request says; the processor's seconds of this process from its start, and its peak memory."""
    from pipelines.backends.torch.train import train

    result: TrainOutput = train(TrainRequest.model_validate(arguments["request"]), Path(arguments["out"]))
    return {"seconds": time.process_time(), "peak": result.peak_memory_bytes}


def _random_base(folder: Path, name: str) -> Path:
    """Random weights of a shape with the embedded model's tokenizer and template, whose tokens are the first of its vocabulary."""
    import shutil

    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    if not folder.is_dir():
        config = Qwen2Config(**_SHAPES[name], tie_word_embeddings=True, max_position_embeddings=2048)
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copyfile(_TINY / file, folder / file)
    return folder
