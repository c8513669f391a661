"""Numbers that a word beside them makes somebody's: `passport no. C01X00T47`, `マイナンバーは 1234 5678 9012`, `B-MW 1234, my car`.

    cue (passport, Steuer-ID, 여권, ...) + links (number, is, :, lautet, は, ...) + value        `512345678 is my passport number`

Links are words of a short list, so that a cue and a number far from it never meet. A value ends with its kind's length.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE, BoundedRegex

_SCORE = 0.65
_FLAGS = regex.IGNORECASE | regex.ASCII
_NUMBER_WORD = r"number|numbers|no|nr|num|nbr|nummer|num[eé]ro|n[uú]mero|n[uú]m|nº|n°|no\.|id|code|card|#|번호|番号|号码|號碼|号|карта|номер"
_LINK_WORD = (
    rf"{_NUMBER_WORD}|is|was|are|as|which|that|the|with|on|to|under|reads?|ist|lautet|hat|die|der|das|est|le|la|el|es|era|è|é|il|o|de|du|del|della|"
    r"für|von|of|for|증|는|은|이|가|을|를|の|は|が|を|证|是|为|為"
)
_MARK = r"[\s:：=#|,\-–>→\"'`「『(\[*_]"
# `tax ID (Germany): `; and a link that ends in a letter ends there: DE in DE123456789 is none.
_LINKS = regex.compile(
    rf"(?:['’]s|\.)?(?:\s?\([\p{{L}} .\-]{{2,24}}\))?(?:{_MARK}{{0,3}}(?:(?:{_LINK_WORD})(?![a-z])(?!(?<=[a-z])\d)\.?)){{0,5}}{_MARK}{{0,4}}",
    _FLAGS,
)
# A group of a value holds a digit, or is the one or two capitals that some numbers have between or behind their digits.
_GROUP = r"(?:[A-Za-z]{0,6}\d[A-Za-z0-9]{0,20}|[A-Z]{1,2}(?![A-Za-z]))"
_VALUE = regex.compile(
    rf"(?<![A-Za-z0-9])(?:[A-Z]{{1,6}}[ \-./]?(?=\d))?[A-Za-z]{{0,6}}\d[A-Za-z0-9]{{0,24}}(?:[ \-./]{_GROUP}){{0,7}}(?![A-Za-z0-9])",
    regex.ASCII,
)
_SEPARATED = regex.compile(r"[ \-./]", regex.ASCII)
_BEHIND = regex.compile(
    r"(?P<value>[A-Z0-9][A-Za-z0-9 \-./]{4,30}[A-Za-z0-9])[)\"']?\s?,?\s?(?:is|was|\(|=|as|—|–|이|가|은|는|が|は|ist|est|es)\s?"
    r"(?:(?:my|his|her|our|their|your|the|a|mein[e]?|seine|ihre|mon|ma|mi|su|제|내|私の)\s?)?(?:[A-Za-z]{2,12}\s){0,2}$",
    regex.ASCII,
)


@dataclass(frozen=True)
class Family:
    """What stands behind one kind of cue: `least` to `most` letters and digits, at least `digits` of them digits, at most `letters` letters.

    `hints`, or `short` for what is in half of all words too: one of them is in every text, in lower case, that holds a cue;
    looked for first, for that is far faster.
    """

    entity: str
    cues: str
    least: int
    most: int
    digits: int
    letters: int = 16
    hints: tuple[str, ...] = ()
    short: re.Pattern[str] | None = None

    def may_stand_in(self, lower: str) -> bool:
        """Whether a text in lower case may hold one of the cues."""
        if not self.hints or any(hint in lower for hint in self.hints):
            return True
        return self.short is not None and self.short.search(lower) is not None


class Cued(LocalRecognizer):  # type: ignore[misc]
    """The values of all families beside their cues."""

    def __init__(self, name: str, families: Sequence[Family], timeout_seconds: float) -> None:
        # Normalising makes a hyphen of the long vowel mark in マイナンバー.
        self._families = [
            (family, BoundedRegex(family.cues.replace("ー", "[ー-]"), _FLAGS, timeout_seconds)) for family in families
        ]
        super().__init__(
            supported_entities=sorted({family.entity for family in families}),
            name=name,
            supported_language=PSEUDO_LANGUAGE,
        )

    def load(self) -> None:
        """Nothing to load."""
        return None

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The spans of values that stand right behind or right before a cue."""
        results, lower = [], text.lower()
        for family, cues in self._families:
            if family.entity in entities and family.may_stand_in(lower):
                for cue in cues.finditer(text):
                    results += [self._result(family, *span) for span in _beside(text, cue.start(), cue.end(), family)]
        return results

    def _result(self, family: Family, start: int, end: int) -> RecognizerResult:
        metadata = {
            RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return RecognizerResult(family.entity, start, end, _SCORE, recognition_metadata=metadata)


def _beside(text: str, cue_start: int, cue_end: int, family: Family) -> Iterator[tuple[int, int]]:
    links = _LINKS.match(text, cue_end, cue_end + 60)
    value = _VALUE.match(text, links.end() if links else cue_end, cue_end + 120)
    if value is not None:
        end = _fitting(text, value.start(), value.end(), family)
        if end is not None:
            yield value.start(), end
            return
    before = _BEHIND.search(text, max(0, cue_start - 60), cue_start)
    if before is not None:
        for start in _starts(text, *before.span("value")):
            if _fits(text[start : before.end("value")], family):
                yield start, before.end("value")
                return


def _fitting(text: str, start: int, end: int, family: Family) -> int | None:
    """Where the value ends that the family allows: the last groups are left out until it does."""
    while end > start:
        if _fits(text[start:end], family):
            return end
        end = max((mark.start() for mark in _SEPARATED.finditer(text, start, end)), default=start)
    return None


def _starts(text: str, start: int, end: int) -> Iterator[int]:
    """The beginnings of the groups of a value, the first one first."""
    yield start
    for mark in _SEPARATED.finditer(text, start, end):
        yield mark.end()


def _fits(value: str, family: Family) -> bool:
    length = sum(character.isalnum() for character in value)
    digits = sum(character.isdigit() for character in value)
    return family.least <= length <= family.most and digits >= family.digits and length - digits <= family.letters
