"""Which of the answers that a model wrote become anchors: a reason for each that does not, the first that holds.

screen("math-en", draw, ["... 41", "41.", "= 40"])   ->  "disagreement"
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pipelines.anchors.frames import FAMILIES, Draw, Family
from pipelines.curate.cluster import same_cluster, signature
from pipelines.curate.thinking import has_stray_marks
from pipelines.errors import MissingDependency
from pipelines.records import Signature
from pipelines.suites.language import count_scripts, is_gibberish
from pipelines.suites.probes import is_refusal
from pipelines.suites.sandbox import find_sandbox, run_python

REASONS: Mapping[str, str] = {
    "empty": "nothing was written",
    "unfinished": "the answer was cut off before its end",
    "control": "tokens stand in it that only a template writes",
    "broken": "half characters stand in it",
    "too_long": "the prompt leaves no room for an answer",
    "too_short": "a prompt or an answer of a few characters",
    "language": "it is not in the language of its prompt, or in scripts that we cannot tell",
    "repetition": "it says one thing over and over, or is keyboard mash",
    "refused": "an ordinary request was declined",
    "complied": "a harmful request was answered",
    "no_choice": "it names none of the letters",
    "wrong": "it is not what the frame knows to be right",
    "disagreement": "three samples do not come to the same number",
    "json": "it is no JSON object with the keys that were asked for",
    "code": "it holds no Python that compiles",
    "tests": "its Python does not do what was asked, run in the sandbox",
    "near_duplicate": "another one says the same",
    "spare": "it is good, and there are as many of its family as were asked for",
}
_MIN_PROMPT, _MIN_ANSWER = 8, 12  # characters
_TARGET, _OF_ANSWERS, _THIRD = 0.9, 0.8, 0.01  # of letters; an answer may quote more than a prompt
_SCRIPTS = {"en": "Latn", "ko": "Hang"}
_REPEATED_WORDS, _MOST_REPEATS = 8, 3
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_LETTER = re.compile(r"^\W*([A-D])(?![A-Za-z])|(?:answer|정답|답)\w*\W+(?:is\W+|은\W+|는\W+)?([A-D])(?![A-Za-z])")
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_KEY = b"anchors"


def can_run_code() -> bool:
    """Whether code is run here, in the sandbox; else it is only compiled."""
    try:
        return bool(find_sandbox())
    except MissingDependency:
        return False


def screen(family: str, draw: Draw, answers: Sequence[str], *, run_code: bool) -> str | None:
    """Why these answers to one prompt give no anchor, None if the first does; of a family of several samples, all."""
    form = FAMILIES[family]
    for answer in answers:
        if reason := _wording(form, draw.prompt, answer):
            return reason
    return _verified(form, draw, answers, run_code)


def screen_prompt(prompt: str) -> str | None:
    """Why a user turn that a model made up is none worth answering."""
    if len(prompt) < _MIN_PROMPT:
        return "too_short" if prompt else "empty"
    if tongue_of(prompt) is None:
        return "language"
    return "repetition" if _repeats(prompt) else None


def tongue_of(text: str) -> str | None:
    """The script of nearly all letters of a text, of those whose languages we know; None if there is none."""
    counts = count_scripts(text)
    total = sum(counts.values())
    return next((script for script in _SCRIPTS.values() if total and counts[script] >= _TARGET * total), None)


class Distinct:
    """What was kept so far, to tell whether another says the same."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._by_band: dict[int, list[Signature]] = {}

    def add(self, prompt: str, answer: str) -> bool:
        """Keep this one; False, and nothing is kept, if one before says the same."""
        one = signature(f"{prompt}\n{answer}", _KEY)
        near = [other for band in one.bands for other in self._by_band.get(band, ())]
        if one.exact in self._exact or any(same_cluster(one, other) for other in near):
            return False
        self._exact.add(one.exact)
        for band in one.bands:
            self._by_band.setdefault(band, []).append(one)
        return True


def _wording(form: Family, prompt: str, answer: str) -> str | None:
    if not answer:
        return "empty"
    if "\ufffd" in answer:
        return "broken"
    if has_stray_marks(answer):
        return "control"
    if form.check == "none" and len(answer) < _MIN_ANSWER:
        return "too_short"
    if _repeats(answer):
        return "repetition"
    if form.check in ("none", "number", "refusal") and not _in_language(form, prompt, answer):
        return "language"
    if form.check != "refusal" and is_refusal(answer):
        return "refused"
    return None


def _in_language(form: Family, prompt: str, answer: str) -> bool:
    script = _SCRIPTS[form.tongue] if form.tongue else tongue_of(prompt)
    counts = count_scripts(answer)
    total = sum(counts.values())
    if total == 0:
        return form.check == "number"
    third = sum(count for name, count in counts.items() if name not in _SCRIPTS.values())
    return script is not None and counts[script] >= _OF_ANSWERS * total and third <= _THIRD * total


def _repeats(text: str) -> bool:
    words = text.split()
    runs = Counter(tuple(words[place : place + _REPEATED_WORDS]) for place in range(len(words) - _REPEATED_WORDS + 1))
    return is_gibberish(text) or max(runs.values(), default=0) > _MOST_REPEATS


def _verified(form: Family, draw: Draw, answers: Sequence[str], run_code: bool) -> str | None:
    if form.check == "code":
        return _code(draw, answers[0], run_code)
    verify = _VERIFIERS.get(form.check)
    return verify(draw, answers) if verify else None


def _choice(draw: Draw, answers: Sequence[str]) -> str | None:
    found = _LETTER.search(answers[0])
    if found is None:
        return "no_choice"
    return None if (found[1] or found[2]) == draw.truth else "wrong"


def _number(draw: Draw, answers: Sequence[str]) -> str | None:
    ends = [
        numbers[-1].replace(",", "").removesuffix(".0") if (numbers := _NUMBER.findall(answer)) else ""
        for answer in answers
    ]
    if len(set(ends)) > 1 or not ends[0]:
        return "disagreement"
    return None if ends[0] == draw.truth else "wrong"


def _refusal(_: Draw, answers: Sequence[str]) -> str | None:
    return None if is_refusal(answers[0]) else "complied"


def _json(draw: Draw, answers: Sequence[str]) -> str | None:
    fenced = _FENCE.search(answers[0])
    try:
        found = json.loads(fenced[1] if fenced else answers[0])
    except (ValueError, RecursionError):
        return "json"
    return None if isinstance(found, dict) and sorted(found) == json.loads(draw.truth or "[]") else "json"


def _code(draw: Draw, answer: str, run_code: bool) -> str | None:
    fenced = _FENCE.search(answer)
    source = fenced[1] if fenced else answer
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "code"
    if not any(isinstance(node, ast.FunctionDef) and node.name == draw.truth for node in tree.body):
        return "code"
    return "tests" if run_code and run_python(f"{source}\n{draw.tests}") != "passed" else None


_VERIFIERS: Mapping[str, Callable[[Draw, Sequence[str]], str | None]] = {
    "choice": _choice,
    "number": _number,
    "refusal": _refusal,
    "json": _json,
}
