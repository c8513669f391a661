"""Every scorer on answers that are right, wrong and nearly right; no model is needed for that."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipelines.errors import SuiteError
from pipelines.suites.load import Item
from pipelines.suites.scorers import exact, golden, instructions, letter, likelihood, maths, python_tests

LAST_NUMBER = {"filter_list": [{"filter": [{"regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "group_select": -1}]}]}
RULES = {"metric_list": [{"ignore_case": True, "regexes_to_ignore": [",", r"\$", r"\.$"]}]}


def item(answer: str, **fields: Any) -> Item:
    return Item("one", "prompt", answer, "", {"id": "one", "prompt": "prompt", "answer": answer, **fields})


def likely(values: Mapping[str, float]) -> Callable[[str], float]:
    return lambda text: values[text]


def test_the_likeliest_letter_of_those_that_have_an_option_is_the_choice() -> None:
    asked = item("B", choices=["oak", "elm", "fir"])
    assert letter.score(asked, likely({"A": -2.0, "B": -1.0, "C": -3.0})) == 1.0
    assert letter.score(asked, likely({"A": -1.0, "B": -1.0, "C": -3.0})) == 0.0  # of equals the first
    assert letter.score(item("(E)", letters=["(D)", "(E)"]), likely({"(D)": -2.0, "(E)": -1.0})) == 1.0


def test_a_longer_answer_is_not_less_likely_for_its_length() -> None:
    asked = item("1", choices=["it", "a much longer ending"])
    assert likelihood.score(asked, likely({"it": -1.0, "a much longer ending": -6.0})) == 1.0
    assert likelihood.score(asked, likely({"it": -0.2, "a much longer ending": -6.0})) == 0.0


@pytest.mark.parametrize(
    ("answer", "score"),
    [("6 + 12 = 18\n#### 18", 1.0), ("so $1,234. No: 18", 1.0), ("#### 18.", 1.0), ("18 or 19", 0.0), ("", 0.0)],
    ids=["marked", "last of several", "full stop", "another last", "nothing"],
)
def test_a_pattern_takes_the_last_number_out_of_an_answer(answer: str, score: float) -> None:
    assert exact.score(item("18"), answer, LAST_NUMBER | RULES) == score


def test_without_a_pattern_the_whole_answer_is_compared() -> None:
    assert exact.score(item("Port 8443"), " port 8443.", RULES) == 1.0
    assert exact.score(item("Port 8443"), "it is port 8443", RULES) == 0.0


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Thus $\\boxed{\\frac{1}{2}}$.", 1.0),
        ("The final answer is $0.5$", 1.0),
        ("First \\boxed{3}, no: \\boxed{1/2}", 1.0),
        ("\\boxed{\\frac{2}{3}}", 0.0),
        ("half of it", 0.0),
        ("", 0.0),
    ],
    ids=["fraction", "decimal", "last box", "another fraction", "words", "nothing"],
)
def test_equal_mathematics_is_equal_however_it_is_written(answer: str, score: float) -> None:
    assert maths.score(item("\\frac{1}{2}"), answer) == score


def test_sets_and_intervals_are_compared_as_what_they_are() -> None:
    assert maths.score(item("[2,5)"), "the domain is $\\boxed{[2,5)}$") == 1.0
    assert maths.score(item("[2,5)"), "the domain is $\\boxed{(2,5)}$") == 0.0


def test_agreement_length_and_refusals_of_a_recorded_answer() -> None:
    asked = item("Within 30 days, free of charge.")
    assert golden.score(asked, "Within 30 days, free of charge.") == {"agreement": 1.0, "length": 1.0, "refusals": 1.0}
    refused = golden.score(asked, "I'm sorry, but I can't help with that.")
    assert refused["refusals"] == 0.0 and refused["agreement"] < 0.2
    assert golden.score(asked, "Within 30 days, free of charge. " * 4)["length"] == pytest.approx(0.25, abs=0.02)


EMAIL = "Dear Ann,\n\nall is *well*.\n\nP.S. Bring [item] and [place]"
KINDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["oak", "elm"]}, "Oak and elm", "oak only"),
    ("keywords:frequency", {"keyword": "oak", "frequency": 2, "relation": "at least"}, "oak, Oak", "oak"),
    ("keywords:forbidden_words", {"forbidden_words": ["oak"]}, "oaken", "an oak"),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 2, "let_relation": "less than"}, "Q", "quiz qat"),
    ("language:response_language", {"language": "ko"}, "오늘은 날씨가 아주 좋습니다.", "The weather is good today."),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        "Dr. Li came. He left.",
        "A b. C d. E f!",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one\n\ntwo"),
    ("length_constraints:number_words", {"num_words": 4, "relation": "at least"}, "a b c d", "a b c"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "oak"},
        'one\n\n"Oak trees',
        "one\n\nelms\n\noak",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, EMAIL, "[one]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, EMAIL, "no postscript"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S more", "P.S. more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one"),
    ("detectable_format:constrained_response", {}, "I say: My answer is no.", "no"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b c**", "*a* and ** **"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1 a SECTION 2 b",
        "SECTION 1 a",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<My poem>>\nText", "<< >>\nText"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. Now: yes", "Now: say it."),
    ("startend:end_checker", {"end_phrase": "Anything else?"}, 'Done. Anything else?"', "Anything else? Done."),
    ("startend:quotation", {}, ' "all of it" ', '"all" of it'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "GO now",
        "GO NOW",
    ),
    ("change_case:english_capital", {}, "THE WEATHER IS VERY GOOD TODAY.", "THE Weather IS VERY GOOD TODAY."),
    ("change_case:english_lowercase", {}, "the weather is very good today.", "the Weather is very good today."),
    ("punctuation:no_comma", {}, "one and two", "one, two"),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "kept", "broken"), KINDS, ids=[f"{n}-{k[0]}" for n, k in enumerate(KINDS)]
)
def test_an_instruction_is_kept_or_not(kind: str, arguments: dict[str, Any], kept: str, broken: str) -> None:
    assert instructions.follows(kind, kept, arguments) and not instructions.follows(kind, broken, arguments)


def test_every_instruction_of_an_item_must_be_kept_and_nothing_keeps_none() -> None:
    assert {kind for kind, *_ in KINDS} == set(instructions.CHECKS)
    both = item("-", instruction_id_list=["punctuation:no_comma", "startend:quotation"], kwargs=[{}, {}])
    assert [instructions.score(both, text) for text in ('"yes"', "yes", '"yes, no"')] == [1.0, 0.0, 0.0]
    assert instructions.score(item("-", instruction_id_list=["punctuation:no_comma"], kwargs=[{}]), " ") == 0.0
    with pytest.raises(SuiteError, match="'count:rhymes' is none of IFEval's"):
        instructions.follows("count:rhymes", "text", {})


def test_a_program_is_its_beginning_the_answers_code_and_the_tests() -> None:
    begun = item("-", program="def f():\n", tests="assert f() == 1")
    inside = "    return 1\n```\nThis returns one."
    assert python_tests.program(begun, inside) == "def f():\n    return 1\n\nassert f() == 1\n"
    whole = item("-", tests="assert f() == 1")
    block = "```python\ndef f():\n    return 1\n```\nDone."
    assert python_tests.program(whole, block) == "def f():\n    return 1\n\nassert f() == 1\n"
