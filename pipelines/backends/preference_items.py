"""Preference examples -> token ids, and what one training item is: a pair, or one answer that is good or bad.

A line of the text file, and what becomes of it:
    {"id": "p1", "kind": "pair", "source": "siblings", "topic": "facts", "prompt": [{"role": "user", "content": "hi"}],
     "chosen": "Hello!", "rejected": "What?", "weight": 1.0}
    Item(id="p1", answers=(Answer(ids=(1, 341, ..., 2), labels=(-100, ..., 503, 2)), Answer(...)), good=True, weight=1.0)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.artifacts import read_records
from pipelines.backends.examples import IGNORED
from pipelines.errors import DataError
from pipelines.messages import from_start
from pipelines.records import PreferenceExample, Turn
from pipelines.tokenizer import ChatTokenizer

Method = Literal["dpo", "kto", "bco"]


@dataclass(frozen=True)
class Answer:
    """A prompt with one answer as ids, up to the answer's end-of-turn marker, and the place where the answer begins.

    Labels are IGNORED outside the answer, and within it where a word stands for another.
    """

    prompt: tuple[Turn, ...]
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    start: int

    @property
    def tokens(self) -> int:
        """How many tokens of the answer count, its end-of-turn marker included."""
        return sum(label != IGNORED for label in self.labels)

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The ids before the answer."""
        return self.ids[: self.start]


@dataclass(frozen=True)
class Item:
    """What one place of an optimizer step holds: a pair (chosen, rejected), or one answer that is good or bad."""

    id: str
    answers: tuple[Answer, ...]
    good: bool
    weight: float

    @property
    def is_pair(self) -> bool:
        """Whether this is (chosen, rejected) rather than one labelled answer."""
        return len(self.answers) == 2

    @property
    def tokens(self) -> int:
        """The answers' tokens, without their prompts."""
        return sum(answer.tokens for answer in self.answers)


@dataclass(frozen=True)
class Items:
    """What a text file gave; `left_out` counts examples by reason, for KTO and BCO answers."""

    items: tuple[Item, ...]
    left_out: Mapping[str, int]


def load_items(path: Path, tokenizer: ChatTokenizer, max_tokens: int, method: Method | None) -> Items:
    """The items that a method trains on: DPO on pairs alone; KTO and BCO on answers, a pair's two among them.

    Old turns of a prompt go where it is too long. An answer that does not fit even so is left out, since half an answer is not what was rated, and with it
    its pair where pairs are read. Without a method everything that fits is kept as it is.

    Raises:
        DataError: a line is not a preference example.
    """
    left_out: Counter[str] = Counter()
    items: list[Item] = []
    for example in read_records(path, PreferenceExample):
        item = _item(example, tokenizer, max_tokens)
        for one in [item] if method in ("dpo", None) else _split(item):
            if any(len(answer.ids) > max_tokens for answer in one.answers):
                left_out["too_long"] += 1
            elif method == "dpo" and not one.is_pair:
                left_out["not_a_pair"] += 1
            else:
                items.append(one)
    return Items(tuple(items), dict(left_out))


def _item(example: PreferenceExample, tokenizer: ChatTokenizer, max_tokens: int) -> Item:
    """The item; where its answers are too long behind all of their prompt, behind as much of it as lets both fit."""
    turns = example.answers
    if len(turns) != (2 if example.kind == "pair" else 1):
        raise DataError(f"preference example {example.id} is of kind {example.kind} and has {len(turns)} answers")
    starts = [tokenizer.start([*example.prompt, turn], max_tokens) for turn in turns]
    start = max((place for place in starts if place is not None), default=0)
    prompt = from_start(example.prompt, start) if start else example.prompt
    answers = tuple(_answer(prompt, turn, tokenizer) for turn in turns)
    return Item(example.id, answers, example.chosen is not None, example.weight)


def _answer(prompt: Sequence[Turn], answer: Turn, tokenizer: ChatTokenizer) -> Answer:
    row = tokenizer.answer([*prompt, answer])
    labels = tuple(id if on else IGNORED for id, on in zip(row.ids, row.mask, strict=True))
    return Answer(tuple(prompt), tuple(row.ids), labels, row.prompt)


def _split(item: Item) -> list[Item]:
    """A pair as a good and a bad answer."""
    if not item.is_pair:
        return [item]
    marks = (("good", True), ("bad", False))
    return [
        Item(f"{item.id}/{name}", (answer,), good, item.weight)
        for (name, good), answer in zip(marks, item.answers, strict=True)
    ]
