"""Korean identifiers: resident and foreigner registration, business, passport, driving licence.

Stock Presidio leaves all of them off, wants RRNs without spaces and masks, and takes any 12 digits that begin with 11
to 28 (a time stamp, say) for a licence.
"""

from presidio_analyzer import PatternRecognizer
from presidio_analyzer.predefined_recognizers import KrBrnRecognizer, KrDriverLicenseRecognizer, KrPassportRecognizer

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE, patterns

_BIRTH = r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_FREE = r"(?<!\d)(?<!\d\.)"  # not within a number or its decimals; `주민.880314-…` is free
_TAIL = r"(?:\d{6}|\d{0,2}[*xX●○]{4,6})"


def rrn() -> PatternRecognizer:
    """Resident (7th digit 1 to 4, 9, 0) and foreigner (5 to 8) numbers, spaced, split or half masked ones too."""
    dashed = rf"{_FREE}{_BIRTH}\s{{0,3}}[-~_]\s{{0,3}}\d(?:\s?{_TAIL}|(?:\s\d){{6}})(?!\d)"
    odd = rf"{_FREE}{_BIRTH}\s?[/.,:*|=(]\s?[1-8]\d{{6}}(?!\d|\.\d)"
    second_half = r"(?:뒷|뒤)\s?(?:7\s?)?(?:자리|번호)?[^\d\n]{0,6}\K(?<!\d)[1-8]\d{6}(?!\d)"
    dated = rf"{_FREE}\d{{2}}(?P<mark>[-./ ])(?:0[1-9]|1[0-2])(?P=mark)(?:0[1-9]|[12]\d|3[01])\s?[-./ ]\s?[1-8]\d{{6}}(?!\d|\.\d)"
    plain = rf"{_FREE}{_BIRTH}\s{{0,3}}[0-9]{_TAIL}(?!\d|\.\d)"
    return patterns("KR_RRN", [(dashed, 0.7), (odd, 0.6), (dated, 0.6), (second_half, 0.6), (plain, 0.5)])


class BusinessNumber(KrBrnRecognizer):  # type: ignore[misc]
    """123-45-67890 with a valid check digit, or without one beside a word that names it."""

    def __init__(self) -> None:
        super().__init__(supported_language=PSEUDO_LANGUAGE)

    def validate_result(self, pattern_text: str) -> bool | None:
        """True for a right checksum with hyphens; else words must decide."""
        return True if "-" in pattern_text and super().validate_result(pattern_text) else None


class DriverLicence(KrDriverLicenseRecognizer):  # type: ignore[misc]
    """12-34-567890-12; without hyphens only beside a word that names it."""

    def __init__(self) -> None:
        super().__init__(supported_language=PSEUDO_LANGUAGE, context=["면허", "licence", "license"])

    def validate_result(self, pattern_text: str) -> bool | None:
        """True with all its hyphens, None where words must decide, False for another number."""
        if not super().validate_result(pattern_text):
            return False
        return True if pattern_text.count("-") == 3 else None


def passport() -> KrPassportRecognizer:
    """M12345678 and M123A4567 beside the word passport."""
    return KrPassportRecognizer(supported_language=PSEUDO_LANGUAGE)
