"""US social security numbers, Korean account numbers behind the name of their bank, and IBANs."""

import re

from presidio_analyzer import Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import UsSsnRecognizer

from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE, patterns

_BANK = "국민|신한|우리|하나|농협|기업|카카오|토스|새마을|우체국|수협|부산|대구|광주|전북|경남|제일|씨티|케이"
# Length of an IBAN by country (ISO 13616 registry); others are tried in every length.
_LENGTHS = {
    **{"AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "BR": 29, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20},
    **{"ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "LI": 21},
    **{"LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "RS": 22, "SA": 24},
    **{"SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29},
}  # fmt: skip


class Ssn(UsSsnRecognizer):  # type: ignore[misc]
    """US social security numbers. Sample numbers count too: a person may type one that looks like a sample."""

    def __init__(self) -> None:
        super().__init__(supported_language=PSEUDO_LANGUAGE)

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether the separators are mixed."""
        separators = {character for character in pattern_text if not character.isdigit()}
        return len(separators) > 1


_ACCOUNT = re.compile(r"[가-힣][^\d\n]{0,12}\d{2,6}-\d{2,6}-\d{2}|\d\d-\d\d-\d\d[^\d\n]{1,12}\d{7}")


def may_hold_account(text: str) -> bool:
    """Whether a text is worth searching for account numbers."""
    return _ACCOUNT.search(text) is not None


def bank_account() -> PatternRecognizer:
    """Account numbers behind the name of a Korean bank, or behind a British sort code."""
    bank = rf"(?:(?:{_BANK})(?:은행|뱅크|금고)?\s?)(?:계좌\s?)?(?:번호\s?)?:?\s?"
    british = (
        r"(?<!\d)\d{2}-\d{2}-\d{2}\s?(?:[/,;]|\sa/?c\.?|\sacct\.?|\saccount)\s?(?:no\.?|number)?:?\s?\d{7,8}(?!\d)"
    )
    return patterns(
        "NATIONAL_ID", [(british, 0.6), (rf"{bank}\K\d{{2,6}}-\d{{2,6}}-\d{{2,8}}(?:-\d{{1,4}})?(?!\d)", 0.6)]
    )


class Iban(PatternRecognizer):  # type: ignore[misc]
    """IBANs with right check digits (ISO 13616, modulus 97). Stock Presidio's logs the text that it cannot parse."""

    def __init__(self) -> None:
        groups = r"(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?"
        super().__init__(
            supported_entity="IBAN_CODE",
            name="Iban",
            supported_language=PSEUDO_LANGUAGE,
            patterns=[
                Pattern("iban", rf"(?<![a-z0-9])[A-Z]{{2}}\d{{2}}{groups}(?![a-z0-9])", 0.5),
                *(Pattern(country, _exactly(country, length), 0.5) for country, length in _LENGTHS.items()),
            ],
        )

    def validate_result(self, pattern_text: str) -> bool | None:
        """Whether length and checksum are an IBAN's (ISO 13616, mod 97)."""
        plain = re.sub(r"[ .\-]", "", pattern_text).upper()
        if not (15 <= len(plain) <= 34 and plain.isascii() and plain.isalnum()):
            return False
        moved = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
        return int(moved) % 97 == 1


def _exactly(country: str, length: int) -> str:
    """An IBAN of that country and no letter more, in either case: `... 1332 BIC CAIXESBB` ends before its BIC."""
    return rf"(?i:(?<![a-z0-9]){country}\d\d(?:[ \-.]?[A-Z0-9]){{{length - 4}}}(?![a-z0-9]))"
