"""The language guard: are the answers in the script of their prompts, free of third scripts, and real text?

The file language.jsonl of a set of anchors holds {"id": "ko-001", "prompt": "안녕하세요?", "script": "Hang"}.
"""

import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import field_validator

from pipelines.artifacts import read_records
from pipelines.curate import quality
from pipelines.errors import DataError, SuiteError
from pipelines.languages import known
from pipelines.records import Record
from pipelines.suites.scores import LanguageMeasure

MIN_TARGET = 0.9
MAX_THIRD = 0.01
MAX_GIBBERISH = 0.02
MAX_SHORT = 0.05
# A limit that the origin misses too fails only a candidate that is worse than the origin by more than this.
TOLERANCE = 0.02
MIN_CHARACTERS = 2
MAX_LANGUAGE_TOKENS = 64
# Shorter texts do not compress, so their ratio says nothing.
_COMPRESSIBLE_CHARACTERS = 60
_REPETITIVE_ZLIB_RATIO = 0.3


class LanguagePrompt(Record):
    """A prompt and the script that its answer is expected in."""

    id: str
    prompt: str
    script: str

    @field_validator("script")
    @classmethod
    def _is_known(cls, script: str) -> str:
        scripts = sorted({language.script for language in known()})
        if script not in scripts:
            raise ValueError(f"the script '{script}' is none of {', '.join(scripts)}")
        return script


def load_prompts(path: Path) -> tuple[LanguagePrompt, ...]:
    """The prompts of the language suite.

    Raises:
        SuiteError: the file is missing or empty, or a line is malformed or repeats an id.
    """
    try:
        prompts = tuple(read_records(path, LanguagePrompt))
    except DataError as error:
        raise SuiteError(f"suite 'language': {error}") from error
    if not prompts:
        raise SuiteError(f"suite 'language' has no prompts: {path} is empty")
    repeated = [key for key, count in Counter(prompt.id for prompt in prompts).items() if count > 1]
    if repeated:
        raise SuiteError(f"suite 'language' repeats the id '{repeated[0]}' in {path}")
    return prompts


def measure_language(prompts: Sequence[LanguagePrompt], answers: Sequence[str]) -> LanguageMeasure:
    """What the answers look like, in the order of the prompts. An answer without letters counts for no script."""
    counts = [count_scripts(answer) for answer in answers]
    letters = sum(sum(count.values()) for count in counts)
    third = sum(count["other"] for count in counts)
    targets = [
        count[prompt.script] / sum(count.values())
        for prompt, count in zip(prompts, counts, strict=True)
        if sum(count.values())
    ]
    n = len(answers)
    return LanguageMeasure(
        answers=n,
        target=sum(targets) / len(targets) if targets else 0.0,
        third=third / letters if letters else 0.0,
        gibberish=sum(map(is_gibberish, answers)) / n,
        short=sum(len(answer.strip()) < MIN_CHARACTERS for answer in answers) / n,
    )


def language_problems(candidate: LanguageMeasure, origin: LanguageMeasure) -> tuple[str, ...]:
    """Why the guard trips, in words; empty if it does not.

    Third scripts are held to 1 % of letters whatever the origin does. The other limits give way to an origin that
    misses them itself, since the round did not cause that.
    """
    rows = (
        ("letters in the prompt's script", 1 - candidate.target, 1 - origin.target, 1 - MIN_TARGET, True),
        ("gibberish answers", candidate.gibberish, origin.gibberish, MAX_GIBBERISH, False),
        ("answers that are too short", candidate.short, origin.short, MAX_SHORT, False),
    )
    problems = [
        _problem(name, missed, origin_missed, limit, inverted)
        for name, missed, origin_missed, limit, inverted in rows
        if missed > limit and missed > origin_missed + TOLERANCE
    ]
    if candidate.third >= MAX_THIRD:
        problems.append(f"{candidate.third:.1%} of letters are in a third script, {MAX_THIRD:.0%} is the limit")
    return tuple(problems)


def is_gibberish(text: str) -> bool:
    """Whether an answer is keyboard mash, or one thing said over and over (zlib ratio <= .29; prose >= .55)."""
    data = text.encode()
    repeats = len(text) >= _COMPRESSIBLE_CHARACTERS and len(zlib.compress(data, 9)) / len(data) < _REPETITIVE_ZLIB_RATIO
    return repeats or quality.is_gibberish([text])


def count_scripts(text: str) -> Counter[str]:
    """Letters of a text by script, `other` for those of no known language. Marks, digits and punctuation have none."""
    return Counter(_script(letter) for letter in unicodedata.normalize("NFC", text) if letter.isalpha())


def _script(letter: str) -> str:
    if letter.isascii():
        return "Latn"
    name = unicodedata.name(letter, "")
    return next((language.script for language in known() if language.script_name in name), "other")


def _problem(name: str, missed: float, origin_missed: float, limit: float, inverted: bool) -> str:
    if inverted:
        return f"only {1 - missed:.1%} {name}, {1 - limit:.0%} is the limit and the origin has {1 - origin_missed:.1%}"
    return f"{missed:.1%} {name}, {limit:.0%} is the limit and the origin has {origin_missed:.1%}"
