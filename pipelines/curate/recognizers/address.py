"""Street addresses: Korean (road and lot), American, British. Stock Presidio has none.

    서울특별시 강남구 테헤란로 152, 101동 1203호     마포구 연남동 223-14
    1600 Maple Avenue, Apt 4B, Springfield, IL 62704    12 Baker Street, London NW1 6XE

A town or district without a number is no address: it places nobody.
"""

import regex
from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns

_PROVINCE = (
    r"(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충청[남북]|충[남북]|전라[남북]|전[남북]|경상[남북]|경[남북]|제주)"
    r"(?:특별자치시|특별자치도|광역시|특별시|도|시)?"
)
_DISTRICT = r"[가-힣]{1,4}(?:시|군|구)"
_UNIT = r"(?:,?\s?(?:\([가-힣0-9, ]{1,20}\)|\d{1,4}동|\d{1,5}호|(?:지하\s?)?\d{1,3}층|[가-힣A-Za-z0-9]{1,15}(?:아파트|빌라|오피스텔|빌딩|타워)))"
_ROAD = r"[가-힣]{1,9}\d{0,3}(?:로|길)(?:\d{1,3}(?:번|가)?길)?\s?\d{1,5}(?:-\d{1,4})?(?![\d가-힣]{0,1}(?:번째|개|명|원|시간|분|년|월|일|km|킬로))"
_LOT = r"[가-힣]{1,6}\d{0,2}(?:동|읍|면|리|가)\s\d{1,4}(?:-\d{1,4})?(?:번지)?"
_STREET = (
    r"(?:Street|St\.?|Avenue|Ave\.?|Road|Rd\.?|Boulevard|Blvd\.?|Lane|Ln\.?|Drive|Dr\.?|Court|Ct\.?|Place|Pl\.?|Terrace|Way|"
    r"Square|Sq\.?|Crescent|Close|Parkway|Pkwy\.?|Highway|Hwy\.?|Circle|Cir\.?|Gardens|Mews|Hill|Grove|Row|Walk)"
)
_US_TAIL = r"(?:,?\s{1,2}(?:[A-Z][A-Za-z.'-]{1,20}\s?){1,3})?(?:,?\s{1,2}[A-Z]{2}\s{1,2}\d{5}(?:-\d{4})?)?"
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}"
_FLAT = r"(?:,?\s{1,2}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.?\s?[A-Za-z0-9-]{1,6})?"
# In every Korean address: a word for road or lot before a number, and a province or district right before or a unit.
_KOREAN_NUMBER = regex.compile(r"[로길동읍면리가][\d번가길]{0,6}\s?\d")
_KOREAN_PLACE = regex.compile(
    rf"(?:{_PROVINCE}\s?|[시군구]\s)(?:[가-힣]{{1,6}}[읍면동]\s)?[가-힣]{{1,9}}\d{{0,3}}{_KOREAN_NUMBER.pattern}"
    r"|\d[동호층]|\([가-힣0-9, ]|아파트|빌라|오피스텔|빌딩|타워"
)
_STREET_WORD = regex.compile(rf"(?<![A-Za-z]){_STREET}(?![A-Za-z])")


def may_hold_address(text: str) -> bool:
    """Whether a text is worth searching for addresses."""
    if _KOREAN_NUMBER.search(text) is not None and _KOREAN_PLACE.search(text) is not None:
        return True
    return _STREET_WORD.search(text) is not None


def korean_address() -> PatternRecognizer:
    """Road-name and lot-number addresses with their unit; the district or province must be named, or a unit follow."""
    head = rf"(?:(?:{_PROVINCE}\s?)(?:{_DISTRICT}\s){{0,3}}|(?:{_DISTRICT}\s){{1,3}})"
    return patterns(
        "ADDRESS",
        [
            (rf"(?<![가-힣]){head}(?:[가-힣]{{1,6}}(?:읍|면|동)\s)?(?:{_ROAD}|{_LOT}){_UNIT}{{0,4}}", 0.8),
            (rf"(?<![가-힣])(?:{_ROAD}|{_LOT}){_UNIT}{{1,4}}", 0.6),
        ],
    )


def english_address() -> PatternRecognizer:
    """A house number, capitalised words and a word for street, with flat, town and code; case matters here."""
    name = r"(?:(?:[A-Z][A-Za-z'-]{1,20}|\d{1,3}(?:st|nd|rd|th)|[NSEW]\.?)\s{1,2}){1,4}"
    street = rf"(?<![\w.$])\d{{1,5}}[A-Za-z]?\s{{1,2}}{name}{_STREET}(?![A-Za-z])"
    return patterns(
        "ADDRESS",
        [
            (
                rf"{street}{_FLAT}(?:,?\s{{1,2}}(?:[A-Z][a-z'-]{{2,20}}\s?){{1,3}},?\s{{1,2}}{_POSTCODE}\b|{_US_TAIL})",
                0.7,
            )
        ],
    )


CASE_FLAGS = regex.DOTALL | regex.MULTILINE | regex.ASCII
