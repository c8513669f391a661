"""Web addresses, with a scheme and without. Stock Presidio also flags `foo.py` and takes 0.9 s per kB on `a.a.a.a`.

    https://ex.com/u/kim   www.gartenfreunde.de   linkedin.com/in/nadia-b   blog.studio.co.kr/about   nadia-brandt.com

Without a scheme a dot is also a method, a file or a forgotten blank: the ending must be one of the net's, and a name of two
labels must not be that of a firm that everybody writes (`amazon.com`), nor of a library (`socket.io`). Behind one word without
hyphen or digit an ending that is a word too (`in`, `me`, `it`) counts only if the word is a person's name: `annagross.me`.
"""

import re

from presidio_analyzer import Pattern, PatternRecognizer

from pipelines.curate.gazetteer import gazetteer
from pipelines.curate.joined_names import is_joined_name
from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE
from pipelines.curate.words import words

_INSIDE = r"[^\s<>\"'`)\]}\u3000-\u303f\u3040-\u30ff\u3131-\uffff]"
_REST = rf"{_INSIDE}{{0,2047}}(?:(?![.,;:!?]){_INSIDE})"
_START = r"(?<![\w.@/\\-])(?<![\u0080-\u024f])"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SURE = r"(?:com|net|org|info|biz|edu|gov|online|shop|blog|site|website)"
_GENERAL = frozenset(_SURE[3:-1].split("|"))
_COUNTRY = r"(?:kr|jp|cn|tw|de|fr|es|it|pt|nl|be|ch|at|uk|ie|eu|us|ca|au|nz|in|br|mx|ar|pl|cz|se|no|dk|fi|ru|ua|tr|sg|hk|vn|za|ee|lt|lv|hr|hu|ro|bg|gr|il|id|my|th|ph|cl|pe|rs|sk|si|is|lu)"
_NEW = r"(?:io|ai|app|dev|me|co|tv|gg|ly|xyz|page|studio|design|tech|link|cc|to|be|sh|so)"
# Endings that are no words of a language in which a blank may be forgotten.
_NO_WORD = frozenset(
    [
        "kr",
        "jp",
        "cn",
        "tw",
        "fr",
        "pl",
        "cz",
        "uk",
        "ie",
        "eu",
        "ca",
        "au",
        "nz",
        "br",
        "mx",
        "ar",
        "fi",
        "ru",
        "ua",
        "tr",
        "sg",
        "hk",
        "vn",
        "za",
        "pt",
        "nl",
        "de",
        "ch",
        "dk",
        "ai",
        "app",
        "dev",
        "page",
        "xyz",
        "studio",
    ]
)
_SECOND = r"(?:co|or|ac|go|ne|re|pe|com|org|net|gov|edu|ltd|me)"
_END = r"(?![a-z0-9@_-])(?!\.[a-z0-9])"


_HINT = re.compile(rf"://|www\.|t\.me/|\.(?:{_SURE}|{_COUNTRY}|{_NEW})(?![a-z0-9_-])|\.[a-z]{{2,12}}/", re.I | re.ASCII)


def may_hold_url(text: str) -> bool:
    """Whether a text is worth searching for web addresses."""
    return _HINT.search(text) is not None


class Url(PatternRecognizer):  # type: ignore[misc]
    """Addresses of up to 2,048 characters; closing punctuation stays outside."""

    def __init__(self) -> None:
        host = rf"(?:{_LABEL}\.){{1,5}}"
        super().__init__(
            supported_entity="URL",
            name="Url",
            supported_language=PSEUDO_LANGUAGE,
            patterns=[
                Pattern("scheme", rf"\b(?:https?|ftp|wss?)://{_REST}", 0.8),
                Pattern("www", rf"{_START}www\.{host}[a-z]{{2,12}}(?![a-z0-9-])(?:[/?#]{_REST}|/)?", 0.7),
                Pattern("path", rf"{_START}{host}(?:{_SURE}|{_COUNTRY}|{_NEW})(?::\d{{2,5}})?/{_REST}", 0.6),
                Pattern("short link", rf"{_START}t\.me/{_REST}", 0.6),
                Pattern("second level", rf"{_START}{host}{_SECOND}\.{_COUNTRY}{_END}", 0.5),
                Pattern("three labels", rf"{_START}(?:{_LABEL}\.){{2,5}}(?:{_SURE}|{_COUNTRY}){_END}", 0.5),
                Pattern("two labels", rf"{_START}{_LABEL}\.{_SURE}{_END}", 0.5),
                Pattern("one word", rf"{_START}[a-z]{{5,40}}\.(?:{_COUNTRY}|{_NEW}){_END}(?!\()", 0.5),
                Pattern("hyphen or digit", rf"{_START}(?=[a-z0-9]{{3,30}}[-0-9]){_LABEL}\.(?:{_COUNTRY}|{_NEW}){_END}", 0.5),
            ],
        )  # fmt: skip

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether this is a firm's or a library's name, a sentence without a blank (`done.Com`), or a sum of labels."""
        lower = pattern_text.lower()
        if "://" in lower or lower.startswith("www.") or "/" in lower:
            return False
        name, _, ending = pattern_text.rpartition(".")
        if name.isalpha() and f"{ending.lower()}" not in _GENERAL and not _is_own(name, ending.lower()):
            return True
        return lower in words("public_hosts") or not (ending.islower() or pattern_text.isupper())


def _is_own(name: str, ending: str) -> bool:
    """Whether one word and a country's or a new ending are an address: the word is a person's name, or none of a dictionary."""
    if is_joined_name(name) or (len(name) > 4 and name.lower() in gazetteer().given):
        return True
    return name.islower() and ending in _NO_WORD and name not in words("common_words") and name not in words("places")


def url() -> Url:
    """Finds web addresses, bare ones included."""
    return Url()
