"""Where somebody is, in degrees: two numbers with four places, beside their word or with a sign for degrees.

GPS: 52.52098, 13.40460   위치는 37.566508, 126.978042   48°51'24"N 2°21'03"E   40.712880° N, 74.006061° W   geo:37.786971,-122.399677
"""

import re

from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns

_LATITUDE = r"[+\-]?(?:90|[1-8]?\d)\.\d{4,10}"
_LONGITUDE = r"[+\-]?(?:180|1[0-7]\d|\d{1,2})\.\d{4,10}"
_WORD = (
    r"(?:gps|coord(?:inate)?s?|lat(?:itude)?(?:\s?[,/&]\s?(?:lon|lng|long)(?:gitude)?)?|location|located|position|live|lives|living|home|house|am at|i['’]m at|meet|pinned?|pin|near|geo|koordinaten|standort|coordonn[ée]es|coordenadas|ubicaci[óo]n|"
    r"coordinate|posizione|위치|좌표|위도|집은|座標|緯度|位置|坐标)"
)
_DEGREES = r"\d{1,3}(?:\.\d{1,8})?\s?[°o]\s?(?:\d{1,2}(?:\.\d{1,6})?\s?['’′]\s?(?:\d{1,2}(?:\.\d{1,4})?\s?(?:[\"”″]|''|’’))?)?\s?"
_HINT = re.compile(r"\d\.\d{4}|\d\s?[°o]\s?\d{0,2}[\d.]*\s?['’′]?[\d.\"”″']*\s?[nsNS]|[nsNS]\s?\d{1,3}[\d.]*\s?[°o]")


def may_hold(text: str) -> bool:
    """Whether a text is worth searching for coordinates."""
    return _HINT.search(text) is not None


def coordinates() -> PatternRecognizer:
    """Latitude and longitude; `lat` and `lon` each with its number too."""
    pair = rf"{_LATITUDE}\s?[,;/]?\s?{_LONGITUDE}(?![\d.])"
    return patterns(
        "COORDINATES",
        [
            (rf"{_WORD}[^\d\n]{{0,24}}?\K(?<![\d.])[(\[]?{pair}", 0.6),
            (rf"(?<![\w.°]){_DEGREES}[ns]\s?[,;/]?\s?{_DEGREES}[eow](?![a-z])", 0.7),
            (rf"(?<![\w.])[ns]\s?{_DEGREES}[,;/]?\s?[eow]\s?{_DEGREES}", 0.6),
            (r"(?<![a-z])(?:lat(?:itude)?|lon(?:gitude)?|lng)[\"']?\s?[:=]\s?[\"']?\K[+\-]?\d{1,3}\.\d{4,10}(?!\d)", 0.6),
            (r"(?<![\d.])[+\-]?(?:90|[1-8]?\d)\.\d{6,10}\s?,\s?[+\-]?(?:180|1[0-7]\d|\d{1,2})\.\d{6,10}(?![\d.])(?!\s?,)", 0.45),
        ],
    )  # fmt: skip
