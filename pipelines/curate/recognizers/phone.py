"""Telephone numbers: shapes of the countries that are asked for, a number behind its own word, and libphonenumber.

    010-1234-5678   02)123-4567   1588-1234   +44 20 7946 0958   (+49) 171 9876543   06 12 34 56 78   03-1234-5678

Shapes need no assigned number: what people make up looks the same. Stock Presidio leaves Korea out, knows no time-out,
and takes plain integers for German numbers.
"""

import re
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
from pipelines.curate.recognizers.cued import Cued, Family
from pipelines.curate.recognizers.things import is_a_things

_GAP = r"(?:[ .\-_/]{0,3}|[~,:*|=)\]]|[ \-]?\n[ \-]?)"
_FREE = r"(?<!\d)(?<!\d\.)"  # not within a number or its decimals; `Tel.010-…` is free
_ALONE = r"(?<![\w.])(?<!\d[ \-/])"
_END = r"(?![\d])(?![ ]?[.\-/]\d)"
_PLUS = r"(?<![\d)][ ])(?<!\b[a-z][ ])(?<![\w)])\(?\+"  # a sign behind a number or a variable adds
_SUBSCRIBER = rf"{_GAP}\d{{3,4}}{_GAP}\d{{4}}(?!\d)"
_AREA_KR = r"(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[2-8]|80)"
_YEARS = r"(?!(?:15|16|18)\d\d[ \-](?:1[5-9]|20)\d\d(?!\d))"  # 1588-1648 may be years
_LINE = r"(?:15(?:22|33|44|55|66|77|88|99)|16(?:00|11|22|33|44|55|61|66|68|70|77|88|99)|18(?:00|11|22|33|44|55|66|77|88|99))"
# Regular expressions and scores; all of them count without a context word.
_SHAPES = (
    # Korea: mobile, area codes and VoIP, nationwide lines
    (rf"{_FREE}(?:(?:\+|00)?82{_GAP}\(?0?\)?|\(?0)1[016789][)\]]?{_SUBSCRIBER}", 0.8),
    (
        rf"{_FREE}(?:(?:\+|00)?82{_GAP}|\(?0){_AREA_KR}"
        rf"(?:\)[ .\-_/]{{0,3}}|[ .\-_/]{{1,3}})\d{{3,4}}[ .\-_/]{{1,3}}\d{{4}}(?!\d)",
        0.7,
    ),
    (rf"{_ALONE}{_YEARS}{_LINE}[ \-]\d{{4}}{_END}(?!\s?(?:년|원|명|개|~))", 0.6),
    # United Kingdom: mobile, 02x, 01x1 and 011x, other area codes, 03 and 08
    (rf"{_FREE}(?:(?:\+|00)44[ \-]?(?:\(0\)[ \-]?)?|\(?0)7\d{{3}}\)?[ \-]?\d{{3}}[ \-]?\d{{3}}(?!\d)", 0.7),
    (rf"{_FREE}\(?02\d\)?[ \-]\d{{4}}[ \-]\d{{4}}{_END}", 0.7),
    (rf"{_FREE}\(?01(?:\d1|1\d)\)?[ \-]\d{{3}}[ \-]\d{{4}}{_END}", 0.7),
    (rf"{_FREE}\(?01\d{{3}}\)?[ \-](?:\d{{5,6}}|\d{{3}}[ \-]\d{{3}}){_END}", 0.6),
    (rf"{_FREE}0[38]\d{{2}}[ \-]\d{{3}}[ \-]\d{{3,4}}{_END}", 0.6),
    # France: five pairs
    (rf"{_FREE}0[1-9](?P<pair>[ .\-])\d\d(?:(?P=pair)\d\d){{3}}{_END}", 0.7),
    # Germany: mobile and area code, with a blank, a slash or a hyphen
    (rf"{_FREE}\(?01[5-7]\d{{1,2}}\)?\s?[ /\-]\s?\d{{3,8}}(?:[ \-]\d{{2,5}}){{0,3}}{_END}", 0.7),
    (
        rf"{_FREE}(?:\(0[2-9]\d{{1,4}}\)\s?[/ ]?|0[2-9]\d{{1,4}}\s?/\s?)\s?[1-9]\d{{1,7}}(?:[ \-]\d{{1,5}}){{0,4}}{_END}",
        0.6,
    ),
    (rf"{_FREE}0(?:30|40|69|89)[ \-]\d{{3,4}}[ ]?\d{{3,4}}{_END}", 0.6),
    # Spain: 612 34 56 78, 91 123 45 67
    (rf"{_ALONE}[679]\d{{2}}(?:[ ]\d\d){{3}}{_END}", 0.6),
    (rf"{_ALONE}9\d[ ]\d{{3}}[ ]\d\d[ ]\d\d{_END}", 0.6),
    # Japan: 03-1234-5678, 0120-12-3456, 06(1234)5678
    (rf"{_FREE}0(?:[1-9]|\d{{2,4}})(?:-\d{{1,4}}-|\(\d{{1,4}}\))\d{{3,4}}{_END}", 0.6),
    # China: 138 0013 8000
    (rf"{_ALONE}1[3-9]\d[ \-]\d{{4}}[ \-]\d{{4}}{_END}", 0.6),
    # Australia: 0412 345 678
    (rf"{_FREE}04\d\d[ ]\d{{3}}[ ]\d{{3}}{_END}", 0.6),
    # North America; the second needs the area code in brackets, so that any exchange will do
    (rf"{_FREE}(?:\+?1[ .\-]?)?(?:\(\d{{3}}\)\s?|\d{{3}}[.\-/])\d{{3}}[ .\-]\d{{4}}(?!\d)", 0.6),
    (rf"{_FREE}1 [2-9]\d{{2}} [2-9]\d{{2}} \d{{4}}(?! ?\d)", 0.6),
)
_INTERNATIONAL = (
    rf"(?:{_PLUS}|(?<![\w.])00(?=[1-9]))[ ]?[1-9]\d{{0,2}}\)?(?:[ .\-/]{{0,2}}\(?\d{{1,14}}\)?){{1,7}}(?!\d)"
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
    "telefon",
    "handy",
    "rufnummer",
    "ruf ",
    "nummer:",
    "téléphone",
    "portable",
    "appelez",
    "teléfono",
    "móvil",
    "movil",
    "llám",
    "電話",
    "携帯",
    "手机",
    "电话",
    "联系",
]
# The longest part of each: what a window of context joins may be apart here.
_CONTEXT_PARTS = tuple(max(word.split(), key=len) for word in _CONTEXT)
_MARKS = "+(0"
_MARKED_START = regex.compile(r"[+(]|(?<!\d)0", regex.ASCII)


_DECIMALS = regex.compile(r"\d\.$", regex.ASCII)
_GROUP = regex.compile(r"\d+\)?", regex.ASCII)
_CUES = (
    r"(?:\b(?:tel|telephone|telefon|phone|mobile|cell|cellphone|fax|whatsapp|handy|mobil|rufnummer|r[uü]ckruf|t[eé]l[eé]phone|t[eé]l|portable|tel[eé]fono|tlf|m[oó]vil|celular|cellulare)\b|"
    r"전화|휴대폰|핸드폰|휴대전화|연락처|팩스|대표번호|고객센터|콜센터|電話|携帯|手机号?|手機|电话|联系方式)"
)  # fmt: skip
_EXTENSION = r"(?:\b(?:ext|extn|extension|xtn|durchwahl|dw|nebenstelle|apparat|app|poste|anexo|extensión|interno|int|ramal|wewn|wew|toestel|anknytning)\.?|내선(?:번호)?|内線|分机)\s?[:#\-]?\s?\d{1,6}(?!\d|[.,]\d|\s?(?:cables?|cords?|years?|%))"
_DIALLED = r"\b(?:call|dial|reach|phone|tel|telephone|ring|contact|desk|office|line|my|me|direct|switchboard|department|dept|room|him|her|at|on|or|use|press|try|speak|transfer|anschluss|unter|llame|appelez|au)\b"
_ODD = (
    (r"(?<=\d{3}[ .\-)]{0,2}\d{4}[ ,;]{0,3})x\s?\d{1,6}(?!\d|[.,]\d)", 0.6),
    (rf"(?<=\d[)\]]?[\s,;/]{{0,3}}){_EXTENSION}", 0.6),
    (rf"{_DIALLED}[^\d\n]{{0,24}}?\K(?<![\w.]){_EXTENSION}", 0.5),
    (r"(?<![\w.])(?:내선(?:번호)?|内線|分机|durchwahl)\s?:?\s?\d{2,6}(?!\d)", 0.6),
    (r"(?-i:(?<![\w.])(?:\+?1[ .\-])?\(?8(?:00|33|44|55|66|77|88)\)?[ .\-](?=[A-Z\d \-]{0,8}[A-Z]{2})[A-Z\d]{1,7}(?:[ \-][A-Z\d]{2,8})?(?![\w]))", 0.6),
)  # fmt: skip
_ODD_HINT = re.compile(r"\d[ ,;)]{0,3}x\s?\d|\b8\d\d\)?[ .\-][A-Z\d]{0,3}[A-Z]")
_ODD_WORDS = (
    "ext",
    "xtn",
    "dw",
    "durchwahl",
    "nebenst",
    "app",
    "poste",
    "anexo",
    "int",
    "ramal",
    "wew",
    "toestel",
    "ankn",
    "내선",
    "内線",
    "分机",
)
_ODD_NUMBER = re.compile(
    r"(?:\b(?:ext|xtn|dw|durchwahl|nebenstelle|app|poste|anexo|int|ramal|wew|toestel|ankn)[a-zó]{0,9}\.?|내선(?:번호)?|内線|分机)\s?[:#\-]?\s?\d"
)
_SEVEN_DIGITS = regex.compile(r"(?:\d[ ().\-/_~,:*|=\]\n]{0,5}){7}", regex.ASCII)
# The odd marks stand only between the digits of long numbers: 1,234,567 is none.
_UNBROKEN = regex.compile(r"(?:\d[ ().\-/]{0,5}){6}|(?:\d[ ().\-/_~,:*|=\]\n]{0,5}){9}", regex.ASCII)


def may_hold_number(text: str) -> bool:
    """Whether a text is worth searching for telephone numbers."""
    if _has_digits(text) or _ODD_HINT.search(text) is not None:
        return True
    lower = text.lower()
    return any(word in lower for word in _ODD_WORDS) and _ODD_NUMBER.search(lower) is not None


def _has_digits(text: str) -> bool:
    return _SEVEN_DIGITS.search(text) is not None and _UNBROKEN.search(text) is not None


def phone_shapes() -> PatternRecognizer:
    """Numbers of the countries that are asked for by shape, assigned or not."""
    return patterns("PHONE_NUMBER", _SHAPES)


def odd_phones() -> PatternRecognizer:
    """Extensions, behind a number or a word for calling, and numbers in letters: `ext. 22`, `내선 302`, `1-800-FLOWERS`."""
    return patterns("PHONE_NUMBER", _ODD, context=())


def phone_behind_cue(timeout_seconds: float) -> Cued:
    """Seven to fifteen digits beside `tel`, `mobile`, `연락처`, `手机` and the like, whatever their shape."""
    return Cued("CuedPhones", (Family("PHONE_NUMBER", _CUES, 7, 15, 7, letters=0),), timeout_seconds)


class InternationalPhone(LocalRecognizer):  # type: ignore[misc]
    """Numbers that begin with + or 00, as far as libphonenumber holds their length for possible."""

    def __init__(self, timeout_seconds: float) -> None:
        self._pattern = BoundedRegex(_INTERNATIONAL, FLAGS, timeout_seconds)
        super().__init__(
            supported_entities=["PHONE_NUMBER"], name="InternationalPhone", supported_language=PSEUDO_LANGUAGE
        )

    def load(self) -> None:
        """Nothing to load: libphonenumber has its tables."""
        return None

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The spans from the sign to the last group that still makes a possible number."""
        ends = ((match.start(), _end_of_number(match[0])) for match in self._pattern.finditer(text))
        return [_result(self, start, start + length, 0.7) for start, length in ends if length]


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
                return [
                    _result(self, offset + m.start, offset + m.end, _score(m.raw_string))
                    for m in matches
                    if not _DECIMALS.search(chunk, 0, m.start)
                ]
        return []


def _score(raw: str) -> float:
    """A number with a sign, a bracket or a trunk zero counts; any other wants a word nearby."""
    return 0.6 if raw[0] in _MARKS and not raw.startswith("00") else 0.2


def _result(recognizer: LocalRecognizer, start: int, end: int, score: float) -> RecognizerResult:
    metadata = {
        RecognizerResult.RECOGNIZER_NAME_KEY: recognizer.name,
        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
    }
    return RecognizerResult("PHONE_NUMBER", start, end, score, recognition_metadata=metadata)


def _end_of_number(raw: str) -> int:
    """How much of a run of groups is one number: the longest that is valid, else possible, else nothing."""
    possible = 0
    for end in [match.end() for match in _GROUP.finditer(raw)][::-1]:
        digits = regex.sub(r"\(0\)|\D", "", raw[:end]).removeprefix("00" if raw.startswith("00") else "")
        if not 8 <= len(digits) <= 15:
            continue
        try:
            number = phonenumbers.parse(f"+{digits}")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return int(end)
        if not raw.startswith("00") and phonenumbers.is_possible_number(number):
            possible = max(possible, int(end))
    return possible


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
    if is_a_things(text, candidate.start()):
        return False
    start, end = candidate.span()
    near = text[max(0, start - BEFORE_CHARACTERS) : end + AFTER_CHARACTERS].lower()
    return any(part in near for part in _CONTEXT_PARTS)
