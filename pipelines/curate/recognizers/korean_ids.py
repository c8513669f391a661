"""Korean identifiers: resident and foreigner registration, business, passport, driving licence.

Stock Presidio leaves all of them off, wants RRNs without spaces and masks, and takes any 12 digits that begin with 11
to 28 (a time stamp, say) for a licence.
"""

from presidio_analyzer import PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    KrBrnRecognizer,
    KrDriverLicenseRecognizer,
    KrPassportRecognizer,
)

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE, patterns

_BIRTH = r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_TAIL = r"(?:\d{6}|\d{0,2}[*xX●○]{4,6})"


def rrn() -> PatternRecognizer:
    """Resident (7th digit 1 to 4, 9, 0) and foreigner (5 to 8) numbers, spaced or half masked ones too."""
    dashed = rf"(?<![\d.]){_BIRTH}\s?[-~_]\s?\d{_TAIL}(?![\d])"
    return patterns("KR_RRN", [(dashed, 0.7), (rf"(?<![\d.]){_BIRTH}\s?[0-9]{_TAIL}(?![\d.])", 0.5)])


class BusinessNumber(KrBrnRecognizer):  # type: ignore[misc]
    """123-45-67890 with a valid check digit, or without one beside a word that names it."""

    def __init__(self) -> None:
        super().__init__(supported_language=PSEUDO_LANGUAGE)

    def validate_result(self, pattern_text: str) -> bool | None:
        return True if "-" in pattern_text and super().validate_result(pattern_text) else None


class DriverLicence(KrDriverLicenseRecognizer):  # type: ignore[misc]
    """12-34-567890-12; without hyphens only beside a word that names it."""

    def __init__(self) -> None:
        super().__init__(supported_language=PSEUDO_LANGUAGE, context=["면허", "licence", "license"])

    def validate_result(self, pattern_text: str) -> bool | None:
        if not super().validate_result(pattern_text):
            return False
        return True if pattern_text.count("-") == 3 else None


def passport() -> KrPassportRecognizer:
    """M12345678 and M123A4567 beside the word passport."""
    return KrPassportRecognizer(supported_language=PSEUDO_LANGUAGE)
