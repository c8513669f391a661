"""The rules in their order, held against the tables that people read in docs/round.md."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines.feedback import rated_answers, reasons, select, weigh
from pipelines.feedback.lesson import UNTAUGHT
from pipelines.feedback.reasons import CONVERSATION_REASONS, FEEDBACK_REASONS
from pipelines.feedback.rules import Rule, first_against

ROUND = (Path(__file__).parents[3] / "docs" / "round.md").read_text(encoding="utf-8")


def table(heading: str) -> list[str]:
    """The names in the first column of the table that has this heading."""
    _, _, after = ROUND.partition(f"| {heading} |")
    assert after, f"docs/round.md has no table headed '{heading}'"
    rows = after.split("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"[a-z_]+", row.split("|")[1])]


def names(rules: Iterable[Rule]) -> list[str]:
    return [rule.name for rule in rules]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("a conversation is left out as", [*names(select.RULES), *reasons.MIXTURE]),
        ("feedback does not count as", names(weigh.RULES)),
        (
            "feedback makes no pair as",
            [
                *names(rated_answers.RULES),
                *names(UNTAUGHT),
                *names(rated_answers.UNFIT),
                *reasons.PAIRING,
                *reasons.UNREAD,
            ],
        ),
        ("feedback is about nothing read as", list(reasons.LOST)),
    ],
)
def test_the_docs_list_exactly_the_rules_in_their_order(heading: str, expected: list[str]) -> None:
    assert table(heading) == expected


def test_no_name_stands_for_two_rules_of_one_table() -> None:
    for rules in (select.RULES, weigh.RULES, rated_answers.RULES):
        assert len(set(names(rules))) == len(rules)
    parts = (reasons.LOST, reasons.PAIRING, reasons.UNREAD, reasons.SOURCES, names(weigh.RULES))
    parts = (*parts, names(rated_answers.RULES), names(UNTAUGHT), names(rated_answers.UNFIT))
    assert sum(map(len, parts)) == len(FEEDBACK_REASONS)
    assert len(CONVERSATION_REASONS) == len(reasons.PARTS) + len(select.RULES) + len(reasons.MIXTURE)


def test_the_first_rule_against_a_case_has_the_word_and_later_ones_are_not_asked() -> None:
    asked: list[str] = []

    def rule(name: str, limit: int) -> Rule[int, bool]:
        return Rule(name, f"above {limit}", lambda number: asked.append(name) or number > limit)

    rules = (rule("ten", 10), rule("five", 5), rule("one", 1))

    assert (first_against(rules, 7), asked) == ("five", ["ten", "five"])
    assert first_against(rules, 1) is None
