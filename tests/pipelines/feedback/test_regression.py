"""The permanent regression suite: what is in it, that it only grows, and what makes an item leave."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.feedback.regression import HeldoutCorrections, Regression, RegressionItem
from pipelines.feedback.select import renders_always
from pipelines.recipe import Select
from pipelines.records import RatedConversation
from pipelines.stages.contract import Finished
from pipelines.stages.snapshot import Selector, corrections_of, preview, snapshot
from tests.pipelines.feedback_rows import conversation, correction, message
from tests.pipelines.stages.test_mix import ListedCorpus


class Chats(ListedCorpus):
    """A corpus of these conversations."""

    def __init__(self, *candidates: RatedConversation) -> None:
        super().__init__({})
        self._candidates = candidates

    def candidates(self) -> Iterator[RatedConversation]:
        return iter(self._candidates)


def corrected(name: str, **more: Any) -> RatedConversation:
    """A held-out chat of one question, whose answer somebody corrected."""
    return conversation(
        name,
        message(f"{name}.q", "user", more.pop("question", f"where is {name}?"), None),
        message(
            f"{name}.a", "assistant", more.pop("given", f"{name} is nowhere"), f"{name}.q", **more.pop("answer", {})
        ),
        correction(
            f"{name}.c", f"{name}.a", more.pop("text", f"{name} is in the north"), f"{name}.q", **more.pop("by", {})
        ),
        **{"part": "heldout", **more},
    )


def settle(*candidates: RatedConversation) -> tuple[list[RegressionItem], Regression]:
    collected = HeldoutCorrections(renders_always)
    assert list(collected.watch(candidates)) == list(candidates)
    return collected.settle()


def test_a_held_out_correction_is_an_item_and_says_whose_it_is() -> None:
    (item,), found = settle(corrected("a", app="shop", topic="rivers"), corrected("b", part="train"))
    assert (item.chosen and item.chosen.message, item.rejected and item.rejected.message) == ("a.c", "a.a")
    assert [turn.key.message for turn in item.prompt] == ["a.q"]
    assert (item.app, item.topic, item.person, item.raters, item.part) == ("shop", "rivers", "p-a", ("r",), "heldout")
    assert (found.items, found.people, found.by_app) == (1, 1, {"shop": 1})


@pytest.mark.parametrize(
    "other",
    [
        corrected("a", consent=False),
        corrected("a", consent=None),
        corrected("a", part="dev"),
        corrected("a", text="a is  nowhere"),
        corrected("a", question="I say: a is in the north. Where is a?"),
        corrected("a", answer={"replaced": True}),
        corrected("a", answer={"state": "unfinished"}),
        corrected("a", by={"weight": 0}),
        conversation("a", message("a.q", "user", "?", None), message("a.a", "assistant", "!", "a.q"), part="heldout"),
    ],
    ids=[
        "consent withdrawn",
        "no consent",
        "dev",
        "same text",
        "echo",
        "replaced",
        "cut off",
        "weight 0",
        "uncorrected",
    ],
)
def test_what_cannot_measure_is_no_item(other: RatedConversation) -> None:
    assert settle(other) == ([], Regression())


def test_the_suite_grows_and_shrinks_by_erasure_alone_whatever_the_recipe_leaves_out() -> None:
    first, second = corrected("a"), corrected("b")
    items, month = settle(first)
    more, later = settle(first, second)
    assert {item.id for item in items} < {item.id for item in more} and later.version != month.version
    assert settle(second, first)[1] == later, "the order of the corpus decides nothing"
    left, after = settle(second)  # the person of the first was erased: the corpus has nothing of hers any more
    assert [item.person for item in left] == ["p-b"] and after.items == 1
    strict = Select.model_validate({"min_satisfaction": 5, "feedback": {"min_account_days": 1000}})
    taken = preview(Chats(first, second), strict, SELECTOR, now=NOW)
    assert taken.heldout == 0 and taken.regression == later


def test_of_one_prompt_the_newest_correction_counts() -> None:
    """Two people correct the same answer to the same question, in chats of their own."""
    old, new = (
        corrected(name, question="where is it?", given="nowhere", text=text, by={"day": day})
        for name, text, day in (("a", "in the north", 1), ("b", "in the south", 2))
    )
    (item,), _ = settle(new, old)
    assert item.chosen and item.chosen.message == "b.c"
    again = corrected("a")
    last = correction("a.d", "a.c", "a is in the west", "a.q", day=3)
    (item,), _ = settle(again.model_copy(update={"messages": (*again.messages, last)}))
    assert item.chosen and item.rejected and (item.chosen.message, item.rejected.message) == ("a.d", "a.a")


def test_a_prompt_that_is_trained_on_inside_a_longer_chat_is_not_asked_and_counted() -> None:
    held = corrected("a", question="where is it?")
    longer = [
        message("t.1", "user", "hello", None),
        message("t.2", "assistant", "hi", "t.1"),
        message("t.3", "user", "where is  it?", "t.2"),
        message("t.4", "assistant", "in the north", "t.3"),
    ]
    for more, asked in (({"satisfaction": 5}, 0), ({}, 1), ({"satisfaction": 5, "consent": False}, 1)):
        items, found = settle(conversation("t", *longer, **more), held)
        assert (len(items), found.in_training) == (asked, 1 - asked), more


def test_a_snapshot_keeps_the_suite_beside_its_lists(tmp_path: Path) -> None:
    output = snapshot(Chats(corrected("a")), Select(), tmp_path, SELECTOR, now=NOW)
    finished = Finished[Any](digest="d", output=output, folder=tmp_path)
    assert [item.person for item in corrections_of(finished)] == ["p-a"]
    assert output.regression.items == 1 and output.quarter == "2026Q4"
    former = output.model_copy(update={"corrections": ""})
    assert corrections_of(Finished[Any](digest="d", output=former, folder=tmp_path)) == []


SELECTOR = Selector(count_tokens=lambda text: len(text.split()), find_contaminated=lambda texts: [None] * len(texts))
NOW = datetime(2026, 11, 27, tzinfo=UTC)
