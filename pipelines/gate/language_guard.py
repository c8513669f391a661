"""The language guard in the gate: has the candidate left the script of its prompts, or real text, where its origin had not?

    pass          within the limit, or within what the origin does itself and a little more
    fail          beyond it, and surely more than the origin (paired bounds over the prompts)
    inconclusive  beyond it, but it may be chance

Every limit is relative to the origin, so that a model as good as its origin passes whatever its origin is like.
"""

from collections.abc import Callable
from typing import NamedTuple

from pipelines.errors import RecipeError, SuiteError
from pipelines.gate.finding import Finding, move
from pipelines.suites.scores import AnswerShape, LanguageScores

# How far beyond a limit that the origin misses itself a candidate may go.
TOLERANCE = 0.02
_THIRD_TOLERANCE = 0.01
_POINTS = "{low:+.1%} to {high:+.1%} of an answer on {n} prompts"
_SHARE = "{low:+.1%} to {high:+.1%} of answers on {n} prompts"


class _Limit(NamedTuple):
    """One rule: what of an answer counts, and how much of it is allowed where the origin has none."""

    name: str
    value: Callable[[AnswerShape], float]
    limit: float
    tolerance: float
    bounds: str


_LIMITS = (
    _Limit("letters that are not in the prompt's script", lambda one: one.foreign, 0.1, TOLERANCE, _POINTS),
    _Limit("letters in a third script", lambda one: one.third, 0.01, _THIRD_TOLERANCE, _POINTS),
    _Limit("gibberish answers", lambda one: float(one.gibberish), 0.02, TOLERANCE, _SHARE),
    _Limit("answers that are too short", lambda one: float(one.short), 0.05, TOLERANCE, _SHARE),
)


def language_findings(candidate: LanguageScores, origin: LanguageScores, alpha: float) -> list[Finding]:
    """All that the guard has to say; never empty.

    Raises:
        SuiteError: the two were measured on different prompts.
    """
    if [one.id for one in candidate.shapes] != [one.id for one in origin.shapes]:
        raise SuiteError("the language guard was measured on different prompts for candidate and origin")
    if not candidate.shapes:
        return [Finding("inconclusive", "no answer was measured prompt by prompt; run the round again", "origin", 0)]
    broken = [_judge(limit, candidate, origin, alpha) for limit in _LIMITS]
    kept = f"{candidate.answers} answers are in the language of their prompts, as the origin's are"
    return [finding for finding in broken if finding] or [Finding("pass", kept, "origin", candidate.answers)]


def check_language(origin: LanguageScores) -> None:
    """Raise RecipeError, before any training, if the origin's answers leave the guard nothing to watch."""
    for limit in _LIMITS:
        share = _mean(limit, origin)
        if share + limit.tolerance >= 1:
            raise RecipeError(
                f"the gate on suite 'language' could never fail: {share:.0%} {limit.name} are the origin's own, on "
                f"{origin.answers} prompts; take the gate out, or another base"
            )


def _judge(limit: _Limit, candidate: LanguageScores, origin: LanguageScores, alpha: float) -> Finding | None:
    share, before = _mean(limit, candidate), _mean(limit, origin)
    allowed = max(limit.limit, before + limit.tolerance)
    if share <= allowed:
        return None
    sentence = f"{share:.1%} {limit.name}, {before:.1%} under the origin, at most {allowed:.1%} are allowed"
    now, then = ([limit.value(shape) for shape in measure.shapes] for measure in (candidate, origin))
    return move(sentence, "origin", now, then, alpha, limit.bounds)


def _mean(limit: _Limit, measure: LanguageScores) -> float:
    return sum(map(limit.value, measure.shapes)) / max(1, len(measure.shapes))
