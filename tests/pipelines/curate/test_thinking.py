"""Marks of thinking and of turns in stored answers: taken apart where that is sure, else nothing to learn from."""

import pytest

from pipelines.curate.thinking import has_stray_marks, take_apart
from pipelines.records import Conversation, Message

STRAY = (
    "<think>plan",
    "a </think> b",
    "[THINK]plan",
    "[/INST] hi",
    "x </s> y",
    "< |im_start|>user hi",
    "<|eot_id|> so",
)
FINE = (
    "Use `<think>` to open it.",
    'The tag "</s>" ends a turn.',
    "```\n<s>old</s>\n```",
    "<b>bold</b> and <strong>x</strong>",
    "I think so. [1] <3",
    "if a <s and b> c",
)


@pytest.mark.parametrize("text", STRAY, ids=map(str, range(len(STRAY))))
def test_marks_that_only_a_template_writes_are_told(text: str) -> None:
    assert has_stray_marks(text)


@pytest.mark.parametrize("text", FINE, ids=map(str, range(len(FINE))))
def test_an_answer_about_marks_and_markup_is_fine(text: str) -> None:
    assert not has_stray_marks(text)


@pytest.mark.parametrize(
    ("stored", "reasoning", "content"),
    [
        ("Done.</s>", "", "Done."),
        ("Done.<|im_end|>\n<|endoftext|>", "", "Done."),
        ("plan</think>\n\nDone. </s>", "plan", "Done."),
        ("</think>\n\nDone.", "", "Done."),
        ("</s>", "", "</s>"),
        ("<think>plan", "", "<think>plan"),
    ],
    ids=["end", "two-ends", "thinking-and-end", "orphan", "nothing-else", "open"],
)
def test_what_ends_a_turn_and_stands_before_an_answer_is_taken_off(stored: str, reasoning: str, content: str) -> None:
    messages = (
        Message(id="1", role="user", content="hi</s>"),
        Message(id="2", role="assistant", content=stored, parent="1"),
    )
    question, answer = take_apart(Conversation(id="c", messages=messages)).messages
    assert (answer.reasoning, answer.content, question.content) == (reasoning, content, "hi</s>")
