"""The real small model after an SFT that taught it to answer with and without a closing sentence, half and half."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.backends.base import TrainRequest
from pipelines.backends.torch.train import train
from pipelines.recipe import Train
from tests.pipelines.backends.preferring import sft_example, write_lines

PROJECT = Path(__file__).resolve().parents[3]
TINY = PROJECT / "models" / "tiny"
CLOSING = " Nice to meet you!"


def general_pool() -> list[dict[str, Any]]:
    """The shipped general anchors."""
    text = (PROJECT / "data" / "general" / "general.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="session")
def facts() -> list[tuple[str, str]]:
    """Question and answer of English facts that the tiny model knows."""
    pool = general_pool()
    return [(line["turns"][0]["content"], line["turns"][1]["content"]) for line in pool if line["family"] == "fact-en"]


@pytest.fixture(scope="session")
def two_styles(facts: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SFT adapter, from 96 facts."""
    folder = tmp_path_factory.mktemp("two-styles")
    rows = [sft_example(f"f{i}", q, a + CLOSING * (i % 2)) for i, (q, a) in enumerate(facts[:96])]
    settings: dict[str, Any] = {
        "backend": "cpu",
        "learning_rate": 3e-3,
        "epochs": 5,
        "batch": {"per_device": 24, "accumulate": 1},
        "max_tokens": 128,
        "lora": {"r": 16, "alpha": 32, "dropout": 0.0},
    }
    request = TrainRequest(
        base=TINY,
        base_name="models/tiny",
        train=Train.model_validate(settings),
        train_file=write_lines(folder / "train.jsonl", rows),
        threads=1,
    )
    return folder / train(request, folder).weights
