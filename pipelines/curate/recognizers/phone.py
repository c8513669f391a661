"""Telephone numbers: fixed Korean and American shapes, and libphonenumber for the rest under a deadline.

Stock Presidio leaves Korea out, knows no time-out, and takes plain integers for German numbers.
"""

import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import phonenumbers
import regex
from presidio_analyzer import LocalRecognizer, PatternRecognizer, RecognizerResult

from pipelines.curate.recognizers.bounded import FLAGS, PSEUDO_LANGUAGE, BoundedRegex, DetectionTimedOut, patterns
from pipelines.curate.recognizers.context import AFTER_CHARACTERS, BEFORE_CHARACTERS

_GAP = r"(?:[ .\-_/]{0,3}|[~,:*|=)\]]|[ \-]?\n[ \-]?)"
_FREE = r"(?<!\d)(?<!\d\.)"  # not within a number or its decimals; `Tel.010-…` is free
_PLUS = r"(?<![\d)][ ])(?<!\b[a-z][ ])(?<![\w)])\+"  # a sign behind a number or a variable adds
_SUBSCRIBER = rf"{_GAP}\d{{3,4}}{_GAP}\d{{4}}(?!\d)"
# Regular expressions and scores; all of them count without a context word.
_SHAPES = (
    (rf"{_FREE}(?:(?:\+|00)?82{_GAP}\(?0?\)?|\(?0)1[016789][)\]]?{_SUBSCRIBER}", 0.8),
    (
        rf"{_FREE}(?:(?:\+|00)?82{_GAP}|\(?0)(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[2-8])"
        rf"(?:\)[ .\-_/]{{0,3}}|[ .\-_/]{{1,3}})\d{{3,4}}[ .\-_/]{{1,3}}\d{{4}}(?!\d)",
        0.7,
    ),
    (rf"{_FREE}(?:(?:\+|00)44[ \-]?(?:\(0\)[ \-]?)?|0)7\d{{3}}[ \-]?\d{{3}}[ \-]?\d{{3}}(?!\d)", 0.7),
    (rf"{_PLUS}[1-9]\d{{0,2}}[ .\-](?:\(?\d{{1,5}}\)?[ .\-]?){{2,5}}\d{{2,4}}(?!\d)", 0.6),
    (rf"{_PLUS}[1-9]\d{{9,14}}(?!\d)", 0.6),
    (rf"{_FREE}(?:\+?1[ .\-]?)?(?:\(\d{{3}}\)\s?|\d{{3}}[.\-/])\d{{3}}[ .\-]\d{{4}}(?!\d)", 0.6),
    (rf"{_FREE}1 [2-9]\d{{2}} [2-9]\d{{2}} \d{{4}}(?! ?\d)", 0.6),
)
_CANDIDATE = regex.compile(r"(?<!\w)(?<!\d\.)(?!0\.\d|(?:\d ){4})[+(]?\d[\d ().\-/]{5,24}\d(?!\d)", regex.ASCII)
_CONTEXT = [
    "phone",
    "tel",
    "cell",
    "mobile",
    "call",
    "text me",
    "whatsapp",
    "fax",
    "reach",
    "contact",
    "dial",
    " ring ",
    "sms",
    "my number",
    "전화",
    "휴대폰",
    "핸드폰",
    "연락",
    "문자",
    "팩스",
    " 번호",  # of a person: 제 번호, not 주문번호 or 송장번호
    "폰",
]
# The longest part of each: what a window of context joins may be apart here.
_CONTEXT_PARTS = tuple(max(word.split(), key=len) for word in _CONTEXT)
_MARKS = "+(0"
_MARKED_START = regex.compile(r"[+(]|(?<!\d)0", regex.ASCII)


_SEVEN_DIGITS = regex.compile(r"(?:\d[ ().\-/_~,:*|=\]\n]{0,5}){7}", regex.ASCII)
# The odd marks stand only between the digits of long numbers: 1,234,567 is none.
_UNBROKEN = regex.compile(r"(?:\d[ ().\-/]{0,5}){6}|(?:\d[ ().\-/_~,:*|=\]\n]{0,5}){9}", regex.ASCII)


def may_hold_number(text: str) -> bool:
    """Whether a text is worth searching for telephone numbers."""
    return _SEVEN_DIGITS.search(text) is not None and _UNBROKEN.search(text) is not None


def phone_shapes() -> PatternRecognizer:
    """Korean and American numbers by shape, assigned or not."""
    return patterns("PHONE_NUMBER", _SHAPES)


class WorldPhone(LocalRecognizer):  # type: ignore[misc]
    """Numbers that libphonenumber holds for valid in one of the regions, or in international form."""

    def __init__(self, regions: Sequence[str], timeout_seconds: float) -> None:
        self._regions = tuple(regions)
        self._timeout_seconds = timeout_seconds
        self._shapes = [BoundedRegex(shape, FLAGS, timeout_seconds) for shape, _ in _SHAPES]
        super().__init__(
            supported_entities=["PHONE_NUMBER"], name="WorldPhone", supported_language=PSEUDO_LANGUAGE, context=_CONTEXT
        )

    def load(self) -> None:
        """Nothing to load: libphonenumber has its tables."""
        return None

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The spans that are phone numbers somewhere in the world."""
        candidates = [match for match in _CANDIDATE.finditer(text) if _can_count(text, match)]
        if not candidates:
            return []
        deadline = time.monotonic() + self._timeout_seconds
        shaped = _Cover(match.span() for shape in self._shapes for match in shape.finditer(text))
        results = []
        for candidate in candidates:
            if time.monotonic() > deadline:
                raise DetectionTimedOut(f"telephone numbers took longer than {self._timeout_seconds} s")
            # libphonenumber is slow, and adds nothing within a number that the shapes find
            if not shaped.holds(*candidate.span()):
                results += self._numbers(candidate[0], candidate.start())
        return results

    def _numbers(self, chunk: str, offset: int) -> list[RecognizerResult]:
        for region in self._regions[:1] if chunk.startswith("+") else self._regions:
            matches = list(phonenumbers.PhoneNumberMatcher(chunk, region, leniency=phonenumbers.Leniency.VALID))
            if matches:
                return [self._result(offset + m.start, offset + m.end, m.raw_string) for m in matches]
        return []

    def _result(self, start: int, end: int, raw: str) -> RecognizerResult:
        marked = raw[0] in _MARKS and not raw.startswith("00")
        metadata = {
            RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return RecognizerResult("PHONE_NUMBER", start, end, 0.6 if marked else 0.2, recognition_metadata=metadata)


class _Cover:
    """Spans, asked whether one of them holds another: one look, however many there are."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(spans)
        self._starts = [start for start, _ in ordered]
        self._reach = list(accumulate((end for _, end in ordered), max))

    def holds(self, start: int, end: int) -> bool:
        """Whether one span begins no later and ends no earlier."""
        before = bisect_right(self._starts, start)
        return before > 0 and self._reach[before - 1] >= end


def _can_count(text: str, candidate: regex.Match[str]) -> bool:
    """Whether a number within the candidate could reach the threshold: libphonenumber is slow, and finds nothing of use in
    a candidate where no number can begin with +, ( or 0 and that has no context word nearby, nor half of one."""
    if _MARKED_START.search(candidate[0]) is not None:
        return True
    start, end = candidate.span()
    near = text[max(0, start - BEFORE_CHARACTERS) : end + AFTER_CHARACTERS].lower()
    return any(part in near for part in _CONTEXT_PARTS)
