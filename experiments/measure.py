"""What an adapter of models/tiny prefers and still knows: marks per item, so that items can be resampled later."""

from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.score import answer, load_tuned
from experiments.task import all_prompts
from pipelines.records import Record, Turn
from pipelines.suites.load import choose_items, load_suite
from pipelines.tokenizer import ChatTokenizer

PROJECT = Path(__file__).resolve().parent.parent
BASE = PROJECT / "models" / "tiny"
SUITES = ("tiny_kmmlu", "tiny_mmlu", "tiny_humaneval", "tiny_math")
ITEMS_PER_SUITE = 200


class Scores(Record):
    """One adapter: exact matches of preferred answers and of suite items, one mark each ("1" or "0"), pair choices."""

    preferred: str
    likelier: str
    suites: dict[str, str]


def score(adapter: Path) -> Scores:
    """Held-out preference and general skill of an adapter, by teacher-forced exact match."""
    torch.set_num_threads(1)
    tokenizer, model = ChatTokenizer(BASE), load_tuned(BASE, adapter)
    heldout = all_prompts().heldout
    liked = answer(model, tokenizer, [prompt.turns(prompt.preferred) for prompt in heldout])
    other = answer(model, tokenizer, [prompt.turns(prompt.other) for prompt in heldout])
    suites = {name: _marks(answer(model, tokenizer, suite_chats(name)).exact) for name in SUITES}
    likelier = [good > bad for good, bad in zip(liked.logp, other.logp, strict=True)]
    return Scores(preferred=_marks(liked.exact), likelier=_marks(likelier), suites=suites)


def suite_chats(name: str) -> list[tuple[Turn, ...]]:
    """A fixed stratified choice of a suite's gate items as chats with the right answer."""
    items = choose_items(load_suite(PROJECT / "data" / "suites" / name), "gate", ITEMS_PER_SUITE)
    return [
        (Turn(role="user", content=item.prompt), Turn(role="assistant", content=item.answer, trained=True))
        for item in items
    ]


def _marks(values: Sequence[bool]) -> str:
    return "".join("1" if value else "0" for value in values)
