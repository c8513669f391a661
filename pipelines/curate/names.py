"""Person names by rules and a gazetteer: cues, titles, greetings, signatures, speech, and known given names.

Best effort: `make bench` measures it on names and sentences that the rules have not seen. A configured model adds to it.
"""

import re

import regex

from pipelines.curate.gazetteer import gazetteer
from pipelines.curate.han_names import HanNames
from pipelines.curate.hangul_names import HangulNames
from pipelines.curate.latin_names import LatinNames
from pipelines.curate.name_search import NameSearch
from pipelines.curate.recognizers.bounded import DetectionTimedOut

_CAPITAL = regex.compile(r"\p{Lu}|\b(?:call|my|name)", regex.IGNORECASE)
_HANGUL = regex.compile("[가-힣]")
_HAN = regex.compile("[\u4e00-\u9fff]|フリガナ|ふりがな|[\u30a1-\u30fa]-[\u30a1-\u30fa]")
_WORD = r"(?:\p{Lu}[\p{Ll}\p{M}'’-]{1,20})(?![\p{L}\p{N}_])"
_PLACE = r"(?:capital|river|city|town|country|village|island|mountain|lake|province|region|population|currency|language|food|animal|king|queen)"
_PLACE_WORD = re.compile(rf"{_PLACE}\s(?:of|in)\s|'s\s{_PLACE}")
_LATIN_PLACE = regex.compile(
    rf"(?i:\b{_PLACE}\s(?:of|in)\s)({_WORD})(?:(?i:\s(?:is|was|are|now|called|named)){{1,2}}\s({_WORD}))?|({_WORD})(?='s\s(?i:{_PLACE})\b)|(?i:\b{_PLACE}\sof\s[\w ]{{1,30}}?\s(?:is|was)\s)({_WORD})",
    regex.MULTILINE,
)
_HANGUL_PLACE_NAME = "(?:수도|강|도시|나라|섬|산|호수|음식|동물|마을|역|시장|왕|여왕|언어|화폐|인구)"
_HANGUL_PLACE = regex.compile(
    rf"(?<![가-힣])([가-힣]{{2,8}}?)(?:의|이?라는)?\s(?:나라의\s)?{_HANGUL_PLACE_NAME}(?![가-힣]{{3}})"
)
_HANGUL_PLACE_WORD = re.compile(rf"[가-힣]\s{_HANGUL_PLACE_NAME}(?![가-힣]{{3}})")


class NameRules:
    """Finds (start, end) of person names by rules; built once per process."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = 1.5 * timeout_seconds  # of all rules together, over one text
        self._latin = LatinNames(gazetteer())
        self._hangul = HangulNames(gazetteer())
        self._han = HanNames()

    def find(self, text: str, places: frozenset[str] = frozenset()) -> list[tuple[int, int]]:
        """Spans of names in a normalised text, overlapping ones united; DetectionTimedOut if all rules take too long.

        `places` are words that are no names here, from `places` of all texts of the conversation.
        """
        search = NameSearch(text, self._timeout_seconds)
        try:
            spans = list(self._latin.find(search, places)) if _CAPITAL.search(text) else []
            spans += self._hangul.find(search, places) if _HANGUL.search(text) else []
            spans += self._han.find(search) if not text.isascii() and _HAN.search(text) else []
        except TimeoutError:
            raise DetectionTimedOut(f"name rules took longer than {self._timeout_seconds} s") from None
        return _united(spans)

    def places(self, text: str) -> frozenset[str]:
        """Words that the text itself makes places or things: `the capital of Banoko is Lina`, `바노코의 수도는`."""
        search = NameSearch(text, self._timeout_seconds)
        try:
            found = list(search.each(_LATIN_PLACE)) if _PLACE_WORD.search(text.lower()) else []
            if _HANGUL_PLACE_WORD.search(text):
                found += search.each(_HANGUL_PLACE)
        except TimeoutError:
            raise DetectionTimedOut(f"name rules took longer than {self._timeout_seconds} s") from None
        return frozenset(word for match in found for word in match.groups() if word)


def _united(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    united: list[tuple[int, int]] = []
    for start, end in sorted(set(spans)):
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united
