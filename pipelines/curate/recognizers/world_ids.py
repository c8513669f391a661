"""Identity numbers of persons that their shape and their checks identify without a word beside them, of thirty countries.

    640823-3234 (Sweden)   131052-308T (Finland)   85.07.30-033 28 (Belgium)   756.9217.0769.85 (Switzerland)   BOXW310820HNERXN09 (Mexico)
    12.345.678-5 (Chile)   20-26756539-3 (Argentina)   S1234567D (Singapore)   G123456(A) (Hong Kong)

python-stdnum does the arithmetic where it knows the number. What has one check digit of ten alone counts beside its word only
(`national_ids.FAMILIES`): here a date, two checks, or a rare shape must speak for it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from presidio_analyzer import LocalRecognizer, RecognizerResult
from stdnum.ar import cuit
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ch import ssn
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.es import dni, nie
from stdnum.exceptions import ValidationError
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.ie import pps
from stdnum.it import codicefiscale
from stdnum.mx import curp, rfc
from stdnum.my import nric
from stdnum.no import fodselsnummer
from stdnum.se import personnummer

from pipelines.curate.recognizers.bounded import CASE_FLAGS, PSEUDO_LANGUAGE, BoundedRegex

_SCORE = 0.6
_FREE, _END = r"(?<![A-Za-z0-9])(?<!\d[.\-])", r"(?![A-Za-z0-9])(?![.\-]\d)"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"


def _is_singapores(number: str) -> bool:
    """The letter behind seven weighted digits; T and G add four, M three."""
    weights, offset = (2, 7, 6, 5, 4, 3, 2), {"T": 4, "G": 4, "M": 3}.get(number[0], 0)
    total = offset + sum(int(digit) * weight for digit, weight in zip(number[1:8], weights, strict=True))
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}
    return letters[number[0]][total % 11] == number[8]


def _is_taiwans(number: str) -> bool:
    """A letter that stands for two digits, nine digits, weights 1 and 9 to 1."""
    value = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0]) + 10
    digits = [value // 10, value % 10, *map(int, number[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 10 == 0


def _is_chinas(number: str) -> bool:
    """The last place is right, whether or not the list of counties has the first six."""
    return str(ric.calc_check_digit(number.upper())) == number[-1].upper()


_NIR_MONTH = r"(?:0[1-9]|1[0-2]|[2-9]\d)"
# The shape, and what its digits must do. Case counts.
_NUMBERS: tuple[tuple[str, Callable[[str], object] | None], ...] = (
    (r"[A-Z]{6} ?\d{2}[A-EHLMPRST]\d{2} ?[A-Z]\d{3}[A-Z]", codicefiscale.validate),
    (r"[XYZ][- ]?\d{7}[- ]?[A-Z]", nie.validate),
    (r"\d{2}\.?\d{3}\.?\d{3}[- ]?[A-HJ-NP-TV-Z]", dni.validate),
    (rf"[12][ .]?\d{{2}}[ .]?{_NIR_MONTH}[ .]?\d[\dAB][ .]?\d{{3}}[ .]?\d{{3}}[ .]?\d{{2}}", nir.validate),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}", cpf.validate),
    (rf"(?:19|20)?\d{{2}}{_MONTH}{_DAY}[-+]\d{{4}}", personnummer.validate),
    (rf"{_DAY}{_MONTH}\d{{2}}[-+A-FU-Y]\d{{3}}[0-9A-FHJ-NPR-Y]", hetu.validate),
    (rf"\d{{2}}\.{_MONTH}\.{_DAY}-\d{{3}}[. ]\d{{2}}", nn.validate),
    (r"756\.\d{4}\.\d{4}\.\d{2}", ssn.validate),
    (r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]", rut.validate),
    (r"(?:20|2[347]|30|3[34])-\d{8}-\d", cuit.validate),
    (r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", curp.validate),
    (rf"[A-ZÑ&]{{4}}\d{{2}}{_MONTH}{_DAY}[A-Z0-9]{{3}}", rfc.validate),
    (r"\d{6}/\d{3,4}", rc.validate),
    (rf"{_DAY}{_MONTH}\d{{2}} ?\d{{5}}", fodselsnummer.validate),
    (rf"\d{{2}}{_MONTH}{_DAY}-\d{{2}}-\d{{4}}", nric.validate),
    (r"\d{7}[A-W][A-IW]?", pps.validate),
    (r"[STFGM]\d{7}[A-Z]", _is_singapores),
    (r"[A-Z][12]\d{8}", _is_taiwans),
    (r"[1-8]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])[0-3]\d{4}[\dXx]", _is_chinas),
    (r"[A-Z9]{5}[ -]?\d[0156]\d[0-3]\d\d[ -]?[A-Z9]{2}[A-Z0-9][A-Z]{2}(?: ?\d{2})?", None),  # driver number, DVLA
    (r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-TW-Z][A-CEGHJ-NP-TW-Z](?:[ -]?\d{2}){3}[ -]?[A-D]", None),  # National Insurance
    (r"[A-Z]{3}P[A-Z]\d{4}[A-Z]", None),  # PAN, India
    (r"\d{2} \d{6} [A-Z] \d{3}", None),  # pension insurance, Germany
    (
        r"(?:서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)(?:남부|북부)?\s?\d{2}[- ]\d{6}[- ]\d{2}",
        None,
    ),  # driving licence, Korea
    (r"9\d{2}-(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])-\d{4}", None),  # individual taxpayer, US
    (r"[A-Z]{1,2}\d{6}\([\dA]\)", None),  # Hong Kong
    (r"[1-7]\d{4}-\d{7}-\d", None),  # Pakistan
    (r"[1-8]-\d{4}-\d{5}-\d{2}-\d", None),  # Thailand
    (r"(?:\*{3}|[Xx]{3}|●{3})-(?:\*{2}|[Xx]{2}|●{2})-\d{4}", None),  # a masked SSN
)

# In every one of them: seven places with digits that blanks, dots or hyphens may part, or one of the rare shapes.
_HINT = re.compile(r"\d(?:[ .\-/+]?[A-Z\d]){6}|[A-Z]{2}[ -]?\d\d[ -]?\d\d|[A-Z]\d{6}|\d \d{6}")
_FEW_DIGITS = re.compile(r"[A-Z]{5}\d{4}[A-Z]|[*Xx●]-\d{4}")


def may_hold_checked_id(text: str, digits: int) -> bool:
    """Whether a text with so many digits is worth searching for numbers that need no word beside them."""
    return (digits >= 6 and _HINT.search(text) is not None) or _FEW_DIGITS.search(text) is not None


class WorldIds(LocalRecognizer):  # type: ignore[misc]
    """Identity numbers of all these shapes whose checks are right."""

    def __init__(self, timeout_seconds: float) -> None:
        self._numbers = [
            (BoundedRegex(f"{_FREE}{shape}{_END}", CASE_FLAGS, timeout_seconds), check) for shape, check in _NUMBERS
        ]
        super().__init__(supported_entities=["NATIONAL_ID"], name="WorldIds", supported_language=PSEUDO_LANGUAGE)

    def load(self) -> None:
        """Nothing to load: python-stdnum has its tables."""
        return None

    def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The spans of numbers whose checks are right."""
        if not may_hold_checked_id(text, len(text)):
            return []
        return [
            self._result(*match.span())
            for pattern, check in self._numbers
            for match in pattern.finditer(text)
            if check is None or _passes(check, match[0])
        ]

    def _result(self, start: int, end: int) -> RecognizerResult:
        metadata = {
            RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return RecognizerResult("NATIONAL_ID", start, end, _SCORE, recognition_metadata=metadata)


def _passes(check: Callable[[str], object], number: str) -> bool:
    try:
        return bool(check(number))
    except (ValidationError, ValueError, KeyError):
        return False
