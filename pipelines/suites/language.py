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
from pipelines.suites.scores import AnswerShape, LanguageScores

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


def measure_language(prompts: Sequence[LanguagePrompt], answers: Sequence[str]) -> LanguageScores:
    """What the answers look like, in the order of the prompts."""
    return sum_up([_shape(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)])


def sum_up(shapes: Sequence[AnswerShape]) -> LanguageScores:
    """The shares over these answers. One without letters counts for no script."""
    lettered = [shape for shape in shapes if shape.lettered]
    n = len(shapes)
    return LanguageScores(
        answers=n,
        target=1 - sum(shape.foreign for shape in lettered) / len(lettered) if lettered else 0.0,
        third=sum(shape.third for shape in shapes) / n,
        gibberish=sum(shape.gibberish for shape in shapes) / n,
        short=sum(shape.short for shape in shapes) / n,
        shapes=tuple(shapes),
    )


def is_gibberish(text: str) -> bool:
    """Whether an answer is keyboard mash, or one thing said over and over (zlib ratio <= .29; prose >= .55)."""
    data = text.encode()
    repeats = len(text) >= _COMPRESSIBLE_CHARACTERS and len(zlib.compress(data, 9)) / len(data) < _REPETITIVE_ZLIB_RATIO
    return repeats or quality.is_gibberish([text])


def count_scripts(text: str) -> Counter[str]:
    """Letters of a text by script, `other` for those of no known language. Marks, digits and punctuation have none."""
    return Counter(_script(letter) for letter in unicodedata.normalize("NFC", text) if letter.isalpha())


def _shape(prompt: LanguagePrompt, answer: str) -> AnswerShape:
    scripts = count_scripts(answer)
    letters = max(1, scripts.total())
    return AnswerShape(
        id=prompt.id,
        foreign=1 - scripts[prompt.script] / letters if scripts else 0.0,
        third=scripts["other"] / letters,
        gibberish=is_gibberish(answer),
        short=len(answer.strip()) < MIN_CHARACTERS,
        lettered=bool(scripts),
    )


def _script(letter: str) -> str:
    if letter.isascii():
        return "Latn"
    name = unicodedata.name(letter, "")
    return next((language.script for language in known() if language.script_name in name), "other")
