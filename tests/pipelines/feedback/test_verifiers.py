"""What can be checked of an answer, and what nobody can tell."""

import pytest

from pipelines.feedback.verifiers import agrees_with, resampled_pairs, verify
from pipelines.records import PreferenceExample, Turn

ROWS = [
    ("What is 17 + 25?", "The answer is 42.", True),
    ("What is 17 + 25?", "The answer is 43.", False),
    ("What is 17 + 25?", "I do not know.", False),
    ("12 × 3 = ?", "36", True),
    ("7 / 2 는 얼마예요?", "3.5입니다", True),
    ("1000 * 2?", "It is 2,000.", True),
    ("What is 5 - 8?", "-3", True),
    ("What is 1 / 0?", "0", None),
    ("Is 3 + 4 more than 2 + 2?", "Yes", None),
    ("Call 010-1234-5678 or 555-0123.", "ok", None),
    ("What is the capital of Banoko?", "Tilu", None),
    ("Give it to me as JSON", '{"a": 1}', True),
    ("Give it to me as JSON", "```json\n[1, 2]\n```", True),
    ("Give it to me as JSON", "{'a': 1}", False),
    ("이름을 JSON으로 써 주세요", '{"이름": "타른"}', True),
    ("What is JSON?", "A format.", None),
    ("Write a function in Python", "def f():\n    return 1", True),
    ("Write a function in Python", "Sure!\n```python\ndef f(): return 1\n```", True),
    ("Write a function in Python", "def f( return 1", False),
    ("Write a function in Python", "no", False),
    ("파이썬 함수를 써 줘", "def f(): pass", True),
]


@pytest.mark.parametrize(("prompt", "answer", "verdict"), ROWS)
def test_an_answer_is_right_wrong_or_nobody_can_tell(prompt: str, answer: str, verdict: bool | None) -> None:
    assert verify([Turn(role="user", content=prompt)], answer) is verdict


def test_a_hostile_answer_is_wrong_and_no_crash() -> None:
    asked = [Turn(role="user", content="Give it to me as JSON")]

    assert verify(asked, "[" * 100_000) is False
    assert verify([Turn(role="user", content="Write a function in Python")], "(" * 100_000) is False


def test_an_answer_agrees_with_a_well_rated_one_of_its_prompt_cluster() -> None:
    check = agrees_with({"q": ["It is Tarn."]}, lambda prompt: prompt[-1].content)

    assert check([Turn(role="user", content="q")], "it is tarn") is True
    assert check([Turn(role="user", content="q")], "It is Osk.") is False
    assert check([Turn(role="user", content="other")], "It is Tarn.") is None


def down(name: str, bad: str) -> PreferenceExample:
    prompt = (Turn(role="user", content="What is 17 + 25?"),)
    return PreferenceExample(
        id=name, kind="labelled", source="lone", topic="t", prompt=prompt, chosen=None, rejected=bad
    )


def test_only_a_sample_that_passes_where_the_bad_answer_fails_makes_a_pair() -> None:
    downs = [down("a", "41"), down("b", "42"), down("c", "41"), down("d", "40")]

    pairs = resampled_pairs(downs, {"a": "It is 42.", "b": "42", "c": "43"}, verify)

    assert [(pair.id, pair.kind, pair.source, *(one.content for one in pair.answers)) for pair in pairs] == [
        ("a", "pair", "resample", "It is 42.", "41")
    ]
