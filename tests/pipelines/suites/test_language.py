"""The language guard on answers as they could be."""

import pytest

from pipelines.errors import SuiteError
from pipelines.suites.language import LanguagePrompt, count_scripts, is_gibberish, load_prompts, measure_language
from pipelines.suites.scores import LanguageScores

GOOD = {"Hang": "네, 안녕하세요! 무엇을 도와드릴까요?", "Latn": "Yes, hello! How can I help you?"}
PROMPTS = [LanguagePrompt(id=str(i), prompt="?", script="Hang" if i % 2 else "Latn") for i in range(200)]


def measured(*others: str, count: int = 0) -> LanguageScores:
    """Good answers to 200 prompts, the first `count` of them replaced."""
    answers = [GOOD[prompt.script] for prompt in PROMPTS]
    answers[:count] = [others[i % len(others)] for i in range(count)]
    return measure_language(PROMPTS, answers)


def test_answers_are_measured_one_by_one_and_as_shares() -> None:
    found = measured("Привет, как дела?", "", "the the the " * 20, "Yes, fine.", count=4)
    assert [shape.third for shape in found.shapes[:4]] == [1, 0, 0, 0]
    assert [shape.short for shape in found.shapes[:4]] == [False, True, False, False]
    assert [shape.gibberish for shape in found.shapes[:4]] == [False, False, True, False]
    assert [shape.foreign for shape in found.shapes[:4]] == [1, 0, 0, 1]
    assert (found.answers, found.third, found.gibberish, found.short) == (200, 1 / 200, 1 / 200, 1 / 200)
    assert found.target == pytest.approx(1 - 2 / 199), "an answer without letters is in no script"


def test_scripts_count_letters_only() -> None:
    assert count_scripts("한글 abc é Ж 漢 123 ?!") == {"Hang": 2, "Latn": 4, "other": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ha " * 40, True),
        ("xq zvkj qwpt zzxv kjqx wvzq xkcd qzjx vwkq jxzq pqzv xwkj qvzx", True),
        ("ha ha ha", False),
        (GOOD["Latn"] * 2, False),
        ("The river of Zukori is Vapo, and its capital is Tilu; ask Minjun about Kaboto.", False),
    ],
)
def test_repetition_and_mash_are_gibberish_only_when_they_are_long(text: str, expected: bool) -> None:
    assert is_gibberish(text) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no prompts"),
        (
            '{"id": "a", "prompt": "b", "script": "Cyrl"}',
            "prompts.jsonl, line 1 is not a language prompt of this version: script",
        ),
        ('{"id": "a", "prompt": "b", "script": "Hang"}\n' * 2, "repeats the id 'a'"),
    ],
)
def test_malformed_prompts_are_refused(tmp_path, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "prompts.jsonl").write_text(text)
    with pytest.raises(SuiteError, match=message):
        load_prompts(tmp_path / "prompts.jsonl")
