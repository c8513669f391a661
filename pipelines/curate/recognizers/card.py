"""Payment cards: any usual separator and a right check digit, or four groups of four beside the word card."""

import re

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE

_SEPARATOR = r"(?:[ .\-_/]{1,3}|[,:|*~=\t\n]|, |[)\]][ ]?[(\[])"
_GROUPS = (
    (4, 4, 4, 4),
    (4, 4, 4, 4, 3),
    (4, 4, 4, 3),
    (8, 4, 4),
    (4, 8, 4),
    (4, 4, 8),
    (4, 6, 5),
    (4, 6, 4),
    (4, 4, 4, 1),
    (6, 13),
    (6, 10),
    (8, 8),
    (4, 12),
    (12, 4),
)
_DIGIT_BY_DIGIT = r"(?<!\d )\d(?: \d){14,15}(?! ?\d)"
_CONTEXT = ["card", "visa", "master", "amex", "credit", "debit", "카드", "신용", "체크", "결제", "비자", "마스터"]


# Issuer prefixes and lengths (ISO/IEC 7812): Visa, Mastercard, Amex, Diners, JCB, Discover/UnionPay/Maestro, Korean local.
_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[0-8]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|6\d{15,18}|9\d{15}"
)


class Card(CreditCardRecognizer):  # type: ignore[misc]
    """13 to 19 digits with a valid Luhn digit; grouped 4-4-4-4 without one needs a context word."""

    def __init__(self) -> None:
        shapes = [
            r"\d{13,19}",
            _DIGIT_BY_DIGIT,
            *(_SEPARATOR.join(rf"\d{{{size}}}" for size in sizes) for sizes in _GROUPS),
        ]
        super().__init__(
            supported_language=PSEUDO_LANGUAGE,
            replacement_pairs=[(mark, "") for mark in " .-_/,:|*~=()[]\t\n"],
            context=_CONTEXT,
            patterns=[Pattern(f"card {i}", rf"(?<!\d)(?=[2-69]){shape}(?!\d)", 0.2) for i, shape in enumerate(shapes)],
        )

    def validate_result(self, pattern_text: str) -> bool | None:
        """True for a card's checksum and issuer, None where words must decide, False for no card."""
        digits = [character for character in pattern_text if character.isdigit()]
        if not _ISSUED.fullmatch("".join(digits)) or len(set(digits)) == 1:
            return False
        if super().validate_result(pattern_text):
            return None if ", " in pattern_text else True  # a list of numbers, unless a word says card
        return None if len(digits) in (15, 16) else False
