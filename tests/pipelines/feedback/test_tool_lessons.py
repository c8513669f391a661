"""Calls of tools, failed turns and pictures in selection: what gets loss, and the reason where nothing does."""

from typing import Any

import pytest

from pipelines.feedback.lesson import lesson_of
from pipelines.feedback.select import select
from pipelines.feedback.weigh import weigh
from pipelines.recipe import Select
from pipelines.records import RatedConversation, RatedMessage, ToolCall
from tests.pipelines.feedback.test_preferences import build, fates
from tests.pipelines.feedback_rows import NOW, conversation, down, message, rating, up

RULES = Select.model_validate({"response_tokens": [3, 300]})
CALL = (ToolCall(id="t", name="weather", arguments='{"city": "Ulm"}'),)
BROKEN = (ToolCall(id="t", name="weather", arguments="{Ulm"),)


def tokens(text: str) -> int:
    return len(text.split())


def with_tool(votes: Any = (), calls: Any = CALL, **answer: Any) -> tuple[RatedMessage, ...]:
    return (
        message("q", "user", "Is it warm in Ulm?", None),
        message("c", "assistant", "", "q", tool_calls=calls),
        message("r", "tool", '{"degrees": 21}', "c"),
        message("a", "assistant", "It has 21 degrees.", "r", votes, **answer),
    )


def trained(candidate: RatedConversation) -> tuple[bool, ...]:
    return lesson_of(candidate, RULES, tokens).trained


def reason(candidate: RatedConversation) -> str:
    items, _ = select([candidate], RULES, count_tokens=tokens, find_contaminated=lambda texts: [None for _ in texts])
    return items[0].reason


@pytest.mark.parametrize(
    ("votes", "expected"),
    [(up("u"), (False, True, False, True)), (down("u"), (False,) * 4), ((), (False,) * 4)],
    ids=["up", "down", "none"],
)
def test_a_vote_on_an_answer_speaks_for_the_call_that_it_came_of(votes: Any, expected: tuple[bool, ...]) -> None:
    assert trained(conversation("a", *with_tool(votes))) == expected


def test_a_call_that_was_voted_on_itself_has_its_own_word() -> None:
    question, call, result, answer = with_tool(up("u"))
    bad = call.model_copy(update={"ratings": down("v"), "down": 1})
    assert trained(conversation("a", question, bad, result, answer)) == (False, False, False, True)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"state": "error"}, "failed_turn"),
        ({"state": "unfinished"}, "unfinished"),
        ({"weight": 0}, "weight_zero"),
        ({"tool_calls": BROKEN}, "broken_call"),
    ],
    ids=["error", "unfinished", "weight", "broken"],
)
def test_what_is_no_whole_answer_gets_no_loss_and_is_no_side_of_a_pair(answer: dict[str, Any], why: str) -> None:
    turns = (message("q", "user", "Why?", None), message("a", "assistant", "It is so.", "q", up("u"), **answer))
    assert reason(conversation("a", *turns)) == why
    assert fates(build(conversation("a", *turns))) == {why: 1}
    bad = (turns[0], message("a", "assistant", "It is so.", "q", down("u"), **answer))
    assert fates(build(conversation("a", *bad))) == {why: 1}


def test_an_answer_behind_a_picture_is_not_learnt_without_it() -> None:
    asked = message("q", "user", "What is it?", None, parts=("image:1",))
    assert reason(conversation("a", asked, message("a", "assistant", "It is a cat.", "q", up("u")))) == "part_dropped"


def test_a_call_is_learnt_by_sft_and_is_a_side_of_a_pair_like_any_answer() -> None:
    question, call, *_ = with_tool()
    made = conversation("a", question, call.model_copy(update={"ratings": up("u"), "up": 1}))
    assert trained(made) == (False, True) and fates(build(made)) == {"lone": 1}

    bad = message("d", "assistant", "No idea.", "q", down("v"))
    assert fates(build(conversation("a", *made.messages, bad))) == {"siblings": 2}


@pytest.mark.parametrize("source", ["judge", "implicit"])
def test_what_no_person_gave_neither_speaks_for_an_answer_nor_against_it(source: str) -> None:
    for value in (1, -1):
        given = (rating("j", value).model_copy(update={"source": source}),)
        answer = message("a", "assistant", "It is so.", "q", given).model_copy(update={"up": 0, "down": 0})
        one = conversation("a", message("q", "user", "Why?", None), answer, satisfaction=5)
        weighed = weigh([one], RULES, NOW)
        assert [fate.rule for fate in weighed.dropped] == ["not_a_person"]
        assert trained(weighed.candidates[0]) == (False, True)  # on the satisfaction alone


def test_two_calls_with_other_arguments_are_not_the_same_answer() -> None:
    question, call, *_ = with_tool()
    other = message(
        "d", "assistant", "", "q", tool_calls=(CALL[0].model_copy(update={"arguments": '{"city": "Bonn"}'}),)
    )
    assert call.said != other.said and call.said == '\nweather({"city": "Ulm"})'
