"""Text as people see it, beside text as they wrote it, with the way back.

Detection reads a normalised copy (full-width digits, odd dashes, invisible characters folded away) and the offsets lead
each finding back into the original:

    normalise("０１０－１２３４").text  -> "010-1234"      normalise(...).span(0, 3) -> (0, 3)
    tidy("kim\\u200b@naver.com")       -> "kim@naver.com"
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

# Invisible characters that carry no meaning in chat and hide values: zero-width space and joiners at word edges,
# bidirectional controls, fillers, tag characters. ZWJ and ZWNJ stay: emoji and Persian need them.
_INVISIBLE = regex.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_FOLDED = {
    **dict.fromkeys(
        "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d\u30fc\u2043\u2022\u2219\u22c5\u2796", "-"
    ),
    **dict.fromkeys(
        "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    ),
    **dict.fromkeys("\u200c\u200d\ufe0e\ufe0f\u3164\u1160", ""),
    "\u3002": ".",
    "\uff61": ".",
    "\u2024": ".",
    "\ufe52": ".",
    "\u2044": "/",
    "\u2215": "/",
    "\u00b7": "-",
    "\u30fb": "-",
}
# Strokes, rings and keycaps put over a letter or digit (1\ufe0f\u20e3); what has a composed form (\u00e9) is composed before.
_MARKS = "\u0300-\u036f\u20d0-\u20f0\ufe00-\ufe0d\U000e0100-\U000e01ef"
_MARK = regex.compile(f"[{_MARKS}]")
_WORTH_FOLDING = regex.compile(
    "[" + "".join(map(regex.escape, _FOLDED)) + _MARKS + "]|(?![0-9])\\d|" + _INVISIBLE.pattern
)


@dataclass(frozen=True)
class Normalised:
    """A normalised text; character i came from original[starts[i]:ends[i]]."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original span behind normalised text[start:end]; the span must not be empty."""
        return self.starts[start], self.ends[end - 1]


def tidy(text: str) -> str:
    """The text in NFC with Unix line ends and without invisible characters: what is kept and trained on."""
    return str(_INVISIBLE.sub("", unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")))


def normalise(text: str) -> Normalised:
    """NFKC, dashes, spaces, dots and digits of any script folded to ASCII, one character at a time."""
    if text.isascii() or (unicodedata.is_normalized("NFKC", text) and not _WORTH_FOLDING.search(text)):
        return Normalised(text, range(len(text)), range(1, len(text) + 1))
    characters: list[str] = []
    starts: list[int] = []
    for index, character in enumerate(text):
        for folded in _fold(character):
            characters.append(folded)
            starts.append(index)
    return Normalised("".join(characters), starts, [start + 1 for start in starts])


def rewrite(
    source: Normalised,
    pattern: regex.Pattern[str],
    replacement: Callable[[regex.Match[str]], str],
    timeout_seconds: float,
) -> Normalised:
    """The text with each match replaced; every character of a replacement stands for the whole match.

    Raises TimeoutError when the search takes longer than `timeout_seconds`.
    """
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for match in pattern.finditer(source.text, timeout=timeout_seconds):
        new = replacement(match)
        if not match[0] or new == match[0]:
            continue
        characters.append(source.text[done : match.start()])
        starts += source.starts[done : match.start()]
        ends += source.ends[done : match.start()]
        start, end = source.span(match.start(), match.end())
        characters.append(new)
        starts += [start] * len(new)
        ends += [end] * len(new)
        done = match.end()
    if not done:
        return source
    characters.append(source.text[done:])
    return Normalised("".join(characters), starts + list(source.starts[done:]), ends + list(source.ends[done:]))


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    if character in _FOLDED:
        return _FOLDED[character]
    if _INVISIBLE.match(character) or _MARK.match(character):
        return ""
    compatible = unicodedata.normalize("NFKC", character)
    return "".join(_FOLDED.get(c, _digit(c)) for c in compatible)


def _digit(character: str) -> str:
    value = unicodedata.digit(character, None)
    return character if value is None or character.isascii() else str(value)
