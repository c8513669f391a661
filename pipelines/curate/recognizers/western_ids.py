"""US and UK identifiers, IBANs, and whatever stands behind a word such as `passport no` or `계좌번호`."""

import re

from presidio_analyzer import Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import UkNinoRecognizer, UsSsnRecognizer

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE, patterns

_BANK = "국민|신한|우리|하나|농협|기업|카카오|토스|새마을|우체국|수협|부산|대구|광주|전북|경남|제일|씨티|케이"
_CUES = (
    *("passport", "license", "licence", "national id", "tax id", "account", "routing", "sort code", "member id", "patient id"),
    *("medical record", "mrn", "여권", "면허", "계좌", "통장", "외국인", "사업자", "주민", "사번", "학번"),
)  # fmt: skip
_SHORT_CUES = ("tin", *_BANK.split("|"))
_SHORT_CUE = re.compile(rf"\btin\b|(?:{_BANK})[은뱅금계번:\s\d]", re.ASCII)
_SIX_DIGITS = re.compile(r"(?:\d[^\d\n]{0,6}){5}\d", re.ASCII)


def may_hold_id(lower: str) -> bool:
    """Whether a text in lower case is worth searching for numbers behind a cue."""
    if _SIX_DIGITS.search(lower) is None:
        return False
    if any(cue in lower for cue in _CUES):
        return True
    return any(cue in lower for cue in _SHORT_CUES) and _SHORT_CUE.search(lower) is not None


class Ssn(UsSsnRecognizer):  # type: ignore[misc]
    """US social security numbers. Sample numbers count too: a person may type one that looks like a sample."""

    def __init__(self) -> None:
        super().__init__(supported_language=PSEUDO_LANGUAGE)

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether the separators are mixed."""
        separators = {character for character in pattern_text if not character.isdigit()}
        return len(separators) > 1


def nino() -> UkNinoRecognizer:
    """UK national insurance numbers."""
    return UkNinoRecognizer(supported_language=PSEUDO_LANGUAGE)


def id_behind_cue() -> PatternRecognizer:
    """Passport, licence, account and tax numbers of any country, when a cue stands right before them."""
    value = r"(?=[a-z0-9 \-]{0,30}\d[a-z0-9 \-]{0,6}\d)(?:[a-z]{0,3}[\-]?\d[a-z0-9]{0,20}(?:[ \-][a-z0-9]*\d[a-z0-9]*){0,5})"
    cue = (
        r"(?:passport|driver'?s?'? licen[cs]e|driving licen[cs]e|national id|tax id|tin|bank account|account|routing|"
        r"sort code|member id|patient id|medical record|mrn|여권|운전면허|면허|계좌|통장|외국인등록|사업자등록|주민등록|주민|사번|학번)"
    )
    link = r"\s?(?:number|no\.?|num\.?|#|id|번호)?\s?(?:is|was|:|=|는|은|가|이|to)?\s{0,2}#?"
    bank = rf"(?:(?:{_BANK})(?:은행|뱅크|금고)?\s?)(?:계좌\s?)?(?:번호\s?)?:?\s?"
    return patterns(
        "NATIONAL_ID",
        [
            (rf"\b{cue}{link}\K(?=(?:[^\d\n]{{0,6}}\d){{6}}){value}", 0.6),
            (rf"{cue}{link}\K(?=(?:[^\d\n]{{0,6}}\d){{6}}){value}", 0.5),
            (rf"{bank}\K\d{{2,6}}-\d{{2,6}}-\d{{2,8}}(?:-\d{{1,4}})?(?!\d)", 0.6),
        ],
    )


class Iban(PatternRecognizer):  # type: ignore[misc]
    """IBANs with right check digits (ISO 13616, modulus 97). Stock Presidio's logs the text that it cannot parse."""

    def __init__(self) -> None:
        groups = r"(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?"
        super().__init__(
            supported_entity="IBAN_CODE",
            name="Iban",
            supported_language=PSEUDO_LANGUAGE,
            patterns=[Pattern("iban", rf"(?<![a-z0-9])[A-Z]{{2}}\d{{2}}{groups}(?![a-z0-9])", 0.5)],
        )

    def validate_result(self, pattern_text: str) -> bool | None:
        """Whether length and checksum are an IBAN's (ISO 13616, mod 97)."""
        plain = pattern_text.replace(" ", "").replace("-", "").upper()
        if not (15 <= len(plain) <= 34 and plain.isascii() and plain.isalnum()):
            return False
        moved = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
        return int(moved) % 97 == 1
