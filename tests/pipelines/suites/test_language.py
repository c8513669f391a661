"""The language guard on answers as they could be."""

import pytest

from pipelines.errors import SuiteError
from pipelines.suites.language import (
    LanguagePrompt,
    count_scripts,
    is_gibberish,
    language_problems,
    load_prompts,
    measure_language,
)
from pipelines.suites.scores import LanguageMeasure

GOOD = {"Hang": "네, 안녕하세요! 무엇을 도와드릴까요?", "Latn": "Yes, hello! How can I help you?"}
PROMPTS = [LanguagePrompt(id=str(i), prompt="?", script="Hang" if i % 2 else "Latn") for i in range(200)]
ORIGIN = LanguageMeasure(answers=200, target=0.99, third=0.0, gibberish=0.0, short=0.0)


def measured(*others: str, count: int = 0) -> LanguageMeasure:
    """Good answers to 200 prompts, the first `count` of them replaced."""
    answers = [GOOD[prompt.script] for prompt in PROMPTS]
    answers[:count] = [others[i % len(others)] for i in range(count)]
    return measure_language(PROMPTS, answers)


@pytest.mark.parametrize(
    ("name", "measure", "problem"),
    [
        ("good answers", measured(), None),
        ("a few short ones", measured("", count=10), None),
        ("one foreign answer", measured("Привет!", count=1), None),
        ("English words in Korean", measured("API 호출이 실패했어요, 다시 해 볼까요?", count=40), None),
        ("answers in the other script", measured("네, 좋아요.", "Yes, fine.", count=80), "in the prompt's script"),
        ("third scripts", measured("Привет, как дела?", count=10), "in a third script"),
        ("endless repetition", measured("the the the " * 20, count=10), "gibberish"),
        ("silence", measured("", ".", count=30), "too short"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_the_guard_trips_with_a_reason(name: str, measure: LanguageMeasure, problem: str | None) -> None:
    problems = language_problems(measure, ORIGIN)
    assert (problem is None and not problems) or (problem is not None and any(problem in said for said in problems))


def test_a_candidate_is_not_blamed_for_what_its_origin_does_too() -> None:
    terse = ORIGIN.model_copy(update={"short": 0.3})
    assert language_problems(terse, terse) == ()
    assert language_problems(terse.model_copy(update={"short": 0.4}), terse)
    assert language_problems(ORIGIN.model_copy(update={"third": 0.01}), ORIGIN.model_copy(update={"third": 0.01}))


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
