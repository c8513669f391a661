"""Which answers become anchors: a reason for each that does not."""

import pytest

from pipelines.anchors.frames import Draw
from pipelines.anchors.screen import REASONS, Distinct, screen, screen_prompt

PLAIN = Draw(prompt="Tell me about tides, please.")
SUM = Draw(prompt="What is 20 + 21?", truth="41")
LETTER = Draw(prompt="Which one?\nA. x\nB. y\nC. z\nD. w", truth="B")
KEYS = Draw(prompt="JSON with age and name", truth='["age", "name"]')
CODE = Draw(prompt="Write twice", truth="twice", tests="assert twice(2) == 4\n")
SAID = "Tides rise and fall because the moon pulls at the sea."
ROWS: dict[str, tuple[str, Draw, list[str], str | None]] = {
    "an answer": ("chat-en", PLAIN, [SAID], None),
    "nothing": ("chat-en", PLAIN, [""], "empty"),
    "a mark of a template": ("chat-en", PLAIN, [SAID + "<|im_start|>user"], "control"),
    "half a character": ("chat-en", PLAIN, [SAID + "\ufffd"], "broken"),
    "one word": ("chat-en", PLAIN, ["Tides."], "too_short"),
    "another language": ("chat-en", PLAIN, ["달이 바다를 당기기 때문에 물이 오르내립니다."], "language"),
    "its own language": ("chat-ko", PLAIN, ["달이 바다를 당기기 때문에 물이 오르내립니다."], None),
    "a third script": ("chat-ko", PLAIN, ["달이 바다를 당기기 때문입니다. 因为月亮吸引海水"], "language"),
    "over and over": ("chat-en", PLAIN, ["I like the sea and the moon a lot. " * 12], "repetition"),
    "declined": ("chat-en", PLAIN, ["I'm sorry, but I can't help with that."], "refused"),
    "declined where that is right": ("refusal-en", PLAIN, ["I'm sorry, but I can't help with that."], None),
    "done where it is wrong": ("refusal-en", PLAIN, [SAID], "complied"),
    "the letter": ("choice-en", LETTER, ["B"], None),
    "the letter in a sentence": ("choice-en", LETTER, ["The answer is (B)."], None),
    "another letter": ("choice-en", LETTER, ["A. x"], "wrong"),
    "no letter": ("choice-en", LETTER, ["Banana, I think"], "no_choice"),
    "three that agree": ("math-en", SUM, ["20 + 21 = 41", "It is 41.", "So we have 41"], None),
    "three that agree and err": ("math-en", SUM, ["It is 42."] * 3, "wrong"),
    "three that do not agree": ("math-en", SUM, ["It is 41.", "It is 41.", "It is 42."], "disagreement"),
    "no number": ("math-en", SUM, ["I do not know."] * 3, "disagreement"),
    "an object": ("json", KEYS, ['{"name": "Anna", "age": 3}'], None),
    "an object in a fence": ("json", KEYS, ['```json\n{"name": "Anna", "age": 3}\n```'], None),
    "another key": ("json", KEYS, ['{"name": "Anna"}'], "json"),
    "a list": ("json", KEYS, ["[1]"], "json"),
    "half an object": ("json", KEYS, ['{"name": '], "json"),
    "code": ("code", CODE, ["```python\ndef twice(x):\n    return 2 * x\n```"], None),
    "code that does not compile": ("code", CODE, ["```python\ndef twice(x:\n```"], "code"),
    "code of another name": ("code", CODE, ["```python\ndef double(x):\n    return 2 * x\n```"], "code"),
}


@pytest.mark.parametrize("row", ROWS)
def test_an_answer_is_taken_or_left_out_for_a_reason(row: str) -> None:
    family, draw, answers, reason = ROWS[row]

    assert screen(family, draw, answers, run_code=False) == reason
    assert reason is None or reason in REASONS


def test_code_that_does_something_else_fails_only_where_it_is_run() -> None:
    wrong = ["```python\ndef twice(x):\n    return 3 * x\n```"]

    assert screen("code", CODE, wrong, run_code=True) == "tests"
    assert screen("code", CODE, wrong, run_code=False) is None


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("How do tides work?", None),
        ("밀물과 썰물은 왜 생기나요?", None),
        ("", "empty"),
        ("Why?", "too_short"),
        ("潮汐是怎么形成的？", "language"),
        ("12345 67890 12345", "language"),
        ("tides and moon and sea and sun " * 12, "repetition"),
    ],
)
def test_a_prompt_that_a_model_made_up_is_worth_answering_or_not(prompt: str, reason: str | None) -> None:
    assert screen_prompt(prompt) == reason


def test_what_says_the_same_is_kept_once_and_another_number_is_another_thing() -> None:
    kept = Distinct()
    said = "Anna has {n} apples in a basket and she gives some of them to her neighbours on Monday morning"

    assert kept.add("How many?", said.format(n=12))
    assert not kept.add("How many?", said.format(n=12))
    assert not kept.add("How many, please?", said.format(n=12).replace("Anna", "anna") + ".")
    assert kept.add("How many?", said.format(n=13))
