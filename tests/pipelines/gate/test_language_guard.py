"""The language guard in the gate: what trips it, and that a model as its origin is passes whatever its origin is like."""

import numpy as np
import pytest

from pipelines.errors import RecipeError, SuiteError
from pipelines.gate.language_guard import check_language, language_findings
from pipelines.suites.language import LanguagePrompt, measure_language, sum_up
from pipelines.suites.scores import LanguageScores

GOOD = {"Hang": "네, 안녕하세요! 무엇을 도와드릴까요?", "Latn": "Yes, hello! How can I help you?"}
PROMPTS = [LanguagePrompt(id=str(i), prompt="?", script="Hang" if i % 2 else "Latn") for i in range(200)]
RUSSIAN, MASH = "Привет, как дела?", "the the the " * 20


def measured(*others: str, places: range = range(0)) -> LanguageScores:
    """Good answers to 200 prompts, those at these places replaced."""
    answers = [GOOD[prompt.script] for prompt in PROMPTS]
    for i in places:
        answers[i] = others[i % len(others)]
    return measure_language(PROMPTS, answers)


def outcome(candidate: LanguageScores, origin: LanguageScores) -> str:
    found = {finding.outcome for finding in language_findings(candidate, origin, 0.05)}
    return next(kind for kind in ("fail", "inconclusive", "pass") if kind in found)


CASES = [
    ("good answers", measured(), None, "pass"),
    ("a few short ones", measured("", places=range(10)), None, "pass"),
    ("one foreign answer", measured("Привет!", places=range(1)), None, "pass"),
    ("English words in Korean", measured("API 호출이 실패했어요, 다시 해 볼까요?", places=range(40)), None, "pass"),
    ("the other script", measured("네, 좋아요.", "Yes, fine.", places=range(80)), "in the prompt's script", "fail"),
    ("third scripts", measured(RUSSIAN, places=range(10)), "in a third script", "fail"),
    ("third scripts in three answers", measured(RUSSIAN, places=range(3)), "in a third script", "fail"),
    ("endless repetition", measured(MASH, places=range(10)), "gibberish", "fail"),
    ("silence", measured("", ".", places=range(30)), "too short", "fail"),
]


@pytest.mark.parametrize(("measure", "problem", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_the_guard_trips_with_a_reason(measure: LanguageScores, problem: str | None, expected: str) -> None:
    findings = language_findings(measure, measured(), 0.05)
    assert outcome(measure, measured()) == expected
    assert problem is None or any(problem in finding.sentence for finding in findings)
    assert all(finding.baseline == "origin" for finding in findings)


@pytest.mark.parametrize("others", [("",), (RUSSIAN,), (MASH,), ("네, 좋아요.", "Yes, fine.")], ids=str)
def test_a_candidate_is_not_blamed_for_what_its_origin_does_too(others: tuple[str, ...]) -> None:
    origin = measured(*others, places=range(60))
    assert outcome(origin, origin) == "pass"
    assert outcome(measured(*others, places=range(30)), origin) == "pass", "and may do less of it"
    assert outcome(measured(*others, places=range(120)), origin) == "fail"


def test_a_rise_that_may_be_chance_is_not_promoted_and_says_how_many_prompts_would_tell() -> None:
    origin, candidate = measured("", places=range(40)), measured("", places=range(16, 61))
    (finding,) = language_findings(candidate, origin, 0.05)
    assert finding.outcome == "inconclusive" and finding.needed and finding.needed > 200
    assert "22.5% answers that are too short, 20.0% under the origin, at most 22.0% are allowed" in finding.sentence


def test_an_unchanged_model_passes_whatever_its_origin_is_like() -> None:
    """100 pairs that are equally good, and answer one prompt in ten otherwise: seldom inconclusive, hardly ever failed."""
    random, outcomes = np.random.default_rng(0), []
    for _ in range(100):
        short = random.random(200) < random.choice([0.0, 0.04, 0.3])
        other = np.where(random.random(200) < 0.1, random.random(200) < short.mean(), short)
        shown = [measure_of(column) for column in (other, short)]
        outcomes.append(outcome(*shown))
    assert outcomes.count("fail") <= 0.05 * 100 and outcomes.count("pass") >= 0.8 * 100


def measure_of(short: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> LanguageScores:
    shape = SHAPE.model_copy(update={"short": True})
    shapes = tuple((shape if one else SHAPE).model_copy(update={"id": str(i)}) for i, one in enumerate(short))
    return sum_up(shapes)


SHAPE = measured().shapes[0]


def test_an_origin_that_leaves_nothing_to_watch_is_told_before_training() -> None:
    check_language(measured("", places=range(190)))
    with pytest.raises(RecipeError, match="'language' could never fail: 100% answers that are too short"):
        check_language(measured("", places=range(200)))


def test_models_asked_otherwise_are_never_compared() -> None:
    origin = measured()
    fewer = origin.model_copy(update={"shapes": origin.shapes[:100]})
    with pytest.raises(SuiteError, match="different prompts"):
        language_findings(fewer, origin, 0.05)
