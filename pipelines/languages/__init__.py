"""The languages that the pipelines know. A third one is one file beside en.py and ko.py, and its name in LANGUAGES.

Algorithms ask all of them at once, when they run: `any_matches(text, lambda one: one.claims)`.
"""

import re
from collections.abc import Callable
from functools import cache

from pipelines.languages.en import ENGLISH
from pipelines.languages.ko import KOREAN
from pipelines.languages.language import Language, Patterns

LANGUAGES: dict[str, Language] = {language.code: language for language in (ENGLISH, KOREAN)}


def known() -> tuple[Language, ...]:
    """All languages, in a fixed order."""
    return tuple(LANGUAGES.values())


def any_matches(text: str, part: Callable[[Language], Patterns]) -> bool:
    """Whether a pattern of this part of any language is found in the text."""
    return any(pattern.search(text) for language in LANGUAGES.values() for pattern in part(language))


def all_words(part: Callable[[Language], frozenset[str]]) -> frozenset[str]:
    """The words of this part of all languages."""
    return _union(tuple(part(language) for language in LANGUAGES.values()))


def all_letters(which: Callable[[Language], bool] = lambda language: True) -> str:
    """The letters of these languages, as the inside of a character class."""
    return "".join(language.letters for language in LANGUAGES.values() if which(language))


def joined(frame: str, part: Callable[[Language], str], *more: str) -> re.Pattern[str]:
    """One pattern: `frame` with `%s` replaced by the fragments of all languages, and `more` of none; case does not matter."""
    fragments = [fragment for fragment in (*map(part, LANGUAGES.values()), *more) if fragment]
    return compiled(frame.replace("%s", "|".join(fragments) or "(?!)"))


@cache
def compiled(source: str) -> re.Pattern[str]:
    """The pattern without regard to case; compiled once."""
    return re.compile(source, re.IGNORECASE)


@cache
def _union(sets: tuple[frozenset[str], ...]) -> frozenset[str]:
    return frozenset().union(*sets)
