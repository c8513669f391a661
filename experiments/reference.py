"""What every run starts from: models/tiny taught both styles equally, once, by the product's own SFT."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from experiments.measure import BASE, PROJECT, score
from experiments.task import style_examples
from pipelines.artifacts import digest_of, write_atomic
from pipelines.backends.base import TrainRequest
from pipelines.backends.torch.train import train
from pipelines.mixture.anchors import load_pools
from pipelines.recipe import Batch, Lora, Train
from pipelines.records import Example

ANCHORS_FOR_SFT = 700
SFT = Train(
    backend="cpu",
    method="lora",
    lora=Lora(r=16, alpha=32, dropout=0.0),
    learning_rate=1.5e-3,
    epochs=3,
    batch=Batch(per_device=32, accumulate=1),
    max_tokens=256,
    early_stopping=None,
)


def prepare_reference(folder: Path) -> Path:
    """The adapter's folder, trained now unless an earlier call did with the same data and settings."""
    examples = [*style_examples(), *anchor_examples(ANCHORS_FOR_SFT, seed=0)]
    random.Random(0).shuffle(examples)
    asked = digest_of({"train": SFT.model_dump(mode="json"), "examples": [e.model_dump(mode="json") for e in examples]})
    done = folder / "done.json"
    if done.is_file() and json.loads(done.read_text())["asked"] == asked:
        return folder / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    file = write_examples(folder / "train.jsonl", examples)
    train(TrainRequest(base=BASE, base_name="models/tiny", train=SFT, train_file=file, threads=1), folder)
    write_atomic(folder / "scores.json", score(folder / "adapter").model_dump_json())
    write_atomic(done, json.dumps({"asked": asked}))
    return folder / "adapter"


def anchor_examples(count: int, seed: int) -> list[Example]:
    """Anchors for training, the same number of each kind, in an order of their own."""
    rng = random.Random(f"{seed}/anchors")
    pools = load_pools(PROJECT / "data" / "general")
    drawn = [
        Example(id=f"{name}/{anchor.id}", source=name, turns=anchor.trained_turns)
        for name, pool in pools.items()
        for anchor in rng.sample(pool.split()[0], count // len(pools))
    ]
    rng.shuffle(drawn)
    return drawn


def write_examples(path: Path, examples: Sequence[Example]) -> Path:
    """The examples as the trainers read them."""
    path.write_text("".join(example.model_dump_json() + "\n" for example in examples), encoding="utf-8")
    return path
