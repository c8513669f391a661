"""Street addresses, whole: from the flat or the postcode before the street to the floor or the country behind it.

    서울특별시 강남구 테헤란로 152, 4층 (역삼동)    Flat 3, 12 High St, Oxford    Hauptstraße 5, 10115 Berlin    東京都千代田区丸の内1-9-2

A form finds the heart of an address, a street with a number, and grows from there while parts follow that can only be more of
it. A town or district without a number is no address: it places nobody. Stock Presidio has no street addresses.
"""

from collections.abc import Sequence
from typing import Any

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult

from pipelines.curate.recognizers import address_asia, address_english, address_europe, address_north
from pipelines.curate.recognizers.address_form import AddressForm
from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE, BoundedRegex

_SCORE = 0.7
_MOST_PARTS = 9
_REACH = 90  # characters of one part
_FORMS: tuple[AddressForm, ...] = (
    *address_asia.FORMS,
    *address_english.FORMS,
    *address_europe.FORMS,
    *address_north.FORMS,
)
_NUMBERED = regex.compile(
    r"\d\s?(?:[A-Za-z\p{Lo}]|\d)|\p{L}[\s,.]{0,3}\d|\b(?:One|Two|Three|Four|Five|Six|Seven|Eight|Nine|Ten|Eleven|Twelve)\s\p{Lu}"
)


def may_hold_address(text: str) -> bool:
    """Whether a text is worth searching for addresses: it holds a number beside a word."""
    return _NUMBERED.search(text) is not None


class Address(LocalRecognizer):  # type: ignore[misc]
    """Addresses of all forms."""

    def __init__(self, timeout_seconds: float) -> None:
        self._forms = [
            (
                regex.compile(form.hint),
                BoundedRegex(form.core, regex.MULTILINE, timeout_seconds),
                [regex.compile(rf"(?:{part})$") for part in form.before],
                [regex.compile(part) for part in form.behind],
            )
            for form in _FORMS
        ]
        self._latin = self._forms[len(address_asia.FORMS) :]
        super().__init__(supported_entities=["ADDRESS"], name="Address", supported_language=PSEUDO_LANGUAGE)

    def load(self) -> None:
        """Nothing to load."""
        return None

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The spans of addresses, each with all its parts."""
        results = []
        for hint, core, before, behind in self._latin if text.isascii() else self._forms:
            if hint.search(text) is None:
                continue
            done = -1
            for match in core.finditer(text):
                if match.start() < done:
                    continue
                done = _last(text, match.end(), behind)
                results.append(self._result(_first(text, match.start(), before), done))
        return results

    def _result(self, start: int, end: int) -> RecognizerResult:
        metadata = {
            RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return RecognizerResult("ADDRESS", start, end, _SCORE, recognition_metadata=metadata)


def _first(text: str, start: int, parts: Sequence[regex.Pattern[str]]) -> int:
    for part in parts:
        match = part.search(text, max(0, start - _REACH), start)
        if match is not None:
            start = match.start()
    return start


def _last(text: str, end: int, parts: Sequence[regex.Pattern[str]]) -> int:
    for _ in range(_MOST_PARTS):
        reached = next((m.end() for m in (part.match(text, end, end + _REACH) for part in parts) if m and m[0]), None)
        if reached is None:
            return end
        end = reached
    return end
