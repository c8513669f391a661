"""Thoughts parted from answers, however the text is cut."""

import pytest

from pipelines.thoughts import ThoughtReader, thought_format

TEMPLATE = "... <think> ... </think> ..."


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("prompt", "written", "thought", "said"),
    [
        ("", "<think>\nplan a\n</think>\n\nDone.", "plan a", "Done."),
        ("<think>\n", "plan a\n</think>\n\nDone.", "plan a", "Done."),
        ("", "Done <think> is a word.", "", "Done <think> is a word."),
        ("", "  Done.", "", "  Done."),
        ("", "<think>\n\n</think>\n\nDone.", "", "Done."),
        ("<think>", "never ends", "never ends", ""),
        ("", "<thin", "", "<thin"),
        ("<think>", "a </thin b\n\nc</think>d", "a </thin b\n\nc", "d"),
    ],
)
def test_thought_and_answer_come_apart_and_nothing_is_lost(
    prompt: str, written: str, thought: str, said: str, size: int
) -> None:
    form = thought_format(TEMPLATE, prompt)
    assert form is not None
    reader = ThoughtReader(form)
    parts = [part for start in range(0, len(written), size) for part in reader.push(written[start : start + size])]
    parts += reader.end()
    assert "".join(text for is_thought, text in parts if is_thought) == thought
    assert "".join(text for is_thought, text in parts if not is_thought) == said


def test_a_template_that_knows_no_thought_or_has_closed_it_leaves_the_answer_whole() -> None:
    assert thought_format("plain", "<think>") is None
    assert thought_format(TEMPLATE, "<think>\n\n</think>\n\n") is None
