"""Packed rows: exact masks, isolated examples, losses that do not depend on the packing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.backends.examples import (
    IGNORED,
    EncodedExample,
    ExampleSet,
    best_fit_decreasing,
    load_examples,
    require_trained,
)
from pipelines.backends.torch.data import RowCollator, as_dataset
from pipelines.backends.torch.kl import kl_to_origin
from pipelines.errors import DataError, TrainingError
from pipelines.tokenizer import ChatTokenizer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")


def example(name: str, *turns: tuple[str, str, bool], source: str = "new") -> dict[str, Any]:
    said = [{"role": role, "content": text, "trained": trained} for role, text, trained in turns]
    return {"id": name, "source": source, "turns": said}


EXAMPLES = [
    example("plain", ("user", "What is the capital of Velmora?", False), ("assistant", "Tarsin.", True)),
    example(
        "down-voted in the middle",
        ("user", "17 + 25?", False),
        ("assistant", "43", False),
        ("user", "No.", False),
        ("assistant", "42", True),
    ),
    example(
        "two good answers",
        ("system", "Be kind.", False),
        ("user", "hi", False),
        ("assistant", "hello", True),
        ("user", "벨모라의 수도는?", False),
        ("assistant", "타르신입니다. 🎉", True),
    ),
    example("anchor", ("user", "add", False), ("assistant", "def add(a, b):", True), source="coding"),
]
TRAINED = {
    "plain": "Tarsin.<|im_end|>",
    "down-voted in the middle": "42<|im_end|>",
    "two good answers": "hello<|im_end|>타르신입니다. 🎉<|im_end|>",
    "anchor": "def add(a, b):<|im_end|>",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> ChatTokenizer:
    return ChatTokenizer(tiny_base)


@pytest.fixture
def loaded(tmp_path: Path, tokenizer: ChatTokenizer) -> ExampleSet:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in EXAMPLES), encoding="utf-8")
    return load_examples(path, tokenizer, max_tokens=256)


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()


def rows_of(examples: tuple[EncodedExample, ...], row_tokens: int, *, apart: bool = False) -> list[dict[str, Any]]:
    return RowCollator(0, row_tokens, anchors_apart=apart)(list(as_dataset(examples)))["rows"]


def test_labels_hold_the_trained_answers_and_nothing_else(loaded: ExampleSet, tokenizer: ChatTokenizer) -> None:
    for one in loaded.examples:
        kept = [label for label in one.labels if label != IGNORED]
        assert tokenizer.text(kept, keep_control_tokens=True) == TRAINED[one.id]


@pytest.mark.parametrize("row_tokens", [1, 60, 1000])
def test_labels_that_reach_the_model_equal_the_mask_however_rows_are_packed(
    loaded: ExampleSet, tokenizer: ChatTokenizer, row_tokens: int
) -> None:
    rows = rows_of(loaded.examples, row_tokens)
    trained = sorted(int(label) for row in rows for label in row["labels"].flatten() if label != IGNORED)
    assert trained == sorted(label for one in loaded.examples for label in one.labels if label != IGNORED)
    for row in rows:
        hit = row["labels"] != IGNORED
        assert torch.equal(row["labels"][hit], row["input_ids"][hit])
        assert "attention_mask" not in row


def test_no_example_in_a_row_sees_another(loaded: ExampleSet, model: Any) -> None:
    [row] = rows_of(loaded.examples, 1000)
    starts = [*(row["position_ids"][0] == 0).nonzero().flatten().tolist(), row["input_ids"].shape[1]]
    packed = model(input_ids=row["input_ids"], position_ids=row["position_ids"], use_cache=False).logits[0]
    for start, end in zip(starts, starts[1:], strict=False):
        alone = model(input_ids=row["input_ids"][:, start:end], use_cache=False).logits[0]
        assert torch.allclose(packed[start:end], alone, atol=1e-4)


def test_anchors_get_rows_of_their_own_for_the_kl_term(loaded: ExampleSet) -> None:
    rows = rows_of(loaded.examples, 1000, apart=True)
    assert [row["anchor"] for row in rows] == [False, True]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 120), max_size=60), st.integers(1, 100))
def test_packing_keeps_every_index_once_and_no_row_over_its_capacity(lengths: list[int], capacity: int) -> None:
    bins = best_fit_decreasing(lengths, capacity)
    assert sorted(i for group in bins for i in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or sum(lengths[i] for i in group) <= capacity for group in bins)


def test_overlong_examples_are_cut_or_left_out_and_counted(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    hello, long = ("assistant", "hello", True), ("assistant", "word " * 90, True)
    path = tmp_path / "train.jsonl"
    cases = [
        example("fits", ("user", "hi", False), hello),
        example("cut", ("user", "hi", False), hello, ("user", "more", False), long),
        example("too long", ("user", "hi", False), long),
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in cases))
    loaded = load_examples(path, tokenizer, max_tokens=64)
    assert (len(loaded.examples), loaded.truncated, loaded.left_out) == (2, 1, 1)


def test_a_data_set_without_one_trained_token_is_refused(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(example("a", ("user", "hi", False), ("assistant", "hello", False))) + "\n")
    loaded = load_examples(path, tokenizer, max_tokens=64)
    with pytest.raises(TrainingError, match="no token of the 0 training examples would get loss"):
        require_trained(loaded.examples, "training")


def test_a_line_that_is_no_example_is_refused_without_its_text(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"secret": "010-1234-5678"}\n')
    with pytest.raises(DataError, match=r"train\.jsonl, line 1") as caught:
        load_examples(path, tokenizer, max_tokens=64)
    assert "010" not in str(caught.value)


def test_kl_is_zero_for_equal_logits_and_matches_a_sum_by_hand() -> None:
    origin = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    assert kl_to_origin(origin, origin).tolist() == pytest.approx([0, 0], abs=1e-6)
    policy = torch.zeros(2, 3)
    p = origin.softmax(-1)
    by_hand = (p * (p.log() - torch.log(torch.tensor(1 / 3)))).sum(-1)
    assert torch.allclose(kl_to_origin(policy, origin), by_hand, atol=1e-5)


Write = Callable[[Path], None]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda newest: None, "checkpoint-20"),
        (lambda newest: (newest / "optimizer.pt").write_bytes(b"torn"), "checkpoint-10"),
        (lambda newest: (newest / "adapter_model.safetensors").unlink(), "checkpoint-10"),
        (lambda newest: (newest / "complete.json").unlink(), "checkpoint-10"),
        (lambda newest: (newest / "complete.json").write_text("{"), "checkpoint-10"),
    ],
    ids=["whole", "torn file", "missing file", "killed before the seal", "torn seal"],
)
def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path, damage: Write, expected: str) -> None:
    from pipelines.backends.checkpoints import newest_valid_checkpoint, seal_checkpoint

    for step in (10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"state")
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
        seal_checkpoint(folder)
    damage(tmp_path / "checkpoint-20")
    found = newest_valid_checkpoint(tmp_path)
    assert found is not None and found.name == expected


def test_without_a_whole_checkpoint_training_starts_anew(tmp_path: Path) -> None:
    from pipelines.backends.checkpoints import newest_valid_checkpoint

    assert newest_valid_checkpoint(tmp_path / "missing") is None
