"""Which words are given names and surnames, of all of Faker's countries, and a few of our own.

Names that are common words or places ("Will", "Rose", "Austin") are kept apart: they count only with a cue or a surname.
"""

import importlib
import pkgutil
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from faker.providers import person

from pipelines.curate.fakes import person_lists
from pipelines.curate.words import words

_LOCALES = ("en_US", "en_GB", "en_IE", "en_IN", "en_NG", "en_KE", "en_PK", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR")
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_UNMARKED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th"}
)
_SURNAME_PARTICLES = frozenset(
    [
        "de",
        "da",
        "di",
        "del",
        "della",
        "van",
        "von",
        "der",
        "den",
        "la",
        "le",
        "el",
        "al",
        "bin",
        "ben",
        "mac",
        "mc",
        "san",
        "los",
        "las",
        "dos",
        "das",
        "du",
        "do",
    ]
)
_RARER_FIRST = "강근금길남단덕두라로리무문백범봉새솔순슬신온용웅월의장제찬창천초충태필학한해향호홍효휘흥"
_RARER_LAST = "강건걸겸관교국권규근금길남노덕돈락란람량련룡률름리림만명목묵문배범복봉빈산삼새석섭솔송순슬신실심애온완왕용욱운웅월율음의일임자찬창천철춘출탁태택필학한해향헌형호홍화환효훈흠흥"
TWO_SYLLABLE_SURNAMES = ("남궁", "황보", "선우", "사공", "제갈", "독고", "서문")
_OTHER_SURNAMES = "원천방공함변염여추도소석선설마길연위표명기반왕금옥육인맹제모탁국어은편용예봉경사부가복태목형피두감호"


@dataclass(frozen=True)
class Gazetteer:
    """Lower-case given names by trust, and Hangul surnames, given names and the syllables they are made of."""

    given: frozenset[str]
    given_also_words: frozenset[str]
    latin_surnames: frozenset[str]
    asian_surnames: frozenset[str]
    surnames: tuple[str, ...]
    rare_surnames: frozenset[str]
    hangul_given: frozenset[str]
    hangul_given_also_words: frozenset[str]
    hangul_syllables: frozenset[str]
    hangul_usual_first: frozenset[str]
    hangul_usual_last: frozenset[str]
    hangul_first: frozenset[str]
    hangul_last: frozenset[str]

    def is_usual_hangul(self, given: str) -> bool:
        """Whether each syllable of a two-syllable given name stands at its place in at least two listed names."""
        return len(given) == 2 and given[0] in self.hangul_usual_first and given[1] in self.hangul_usual_last


@lru_cache(maxsize=16_384)
def plain(word: str) -> str:
    """A word in lower case without the marks over its letters: `zoë` is `zoe`, `łukasz` is `lukasz`."""
    if word.isascii():
        return word
    parted = unicodedata.normalize("NFD", word.translate(_UNMARKED))
    return "".join(letter for letter in parted if not unicodedata.combining(letter))


@cache
def gazetteer() -> Gazetteer:
    """The lists, read from Faker's data once per process."""
    ordinary = words("common_words") | words("places") | words("latin_given_also_words") | _countries()
    trusted = {name for locale in _LOCALES for name in _names(locale, "first_name") if len(name) > 2} | words(
        "latin_given"
    )
    others = {name for locale in _locales() for name in _names(locale, "first_name") if len(name) > 3} - trusted
    common = words("latin_given_also_words") | words("places") | _countries() | _lorem()
    surnames = {name for locale in _locales() for name in _names(locale, "last_name") if len(name) > 2}
    nouns = words("hangul_given_also_words")
    korean = person_lists("ko_KR")
    hangul = set(korean.first_names) | words("hangul_given")
    return Gazetteer(
        given=frozenset((trusted - common) | (others - ordinary)),
        given_also_words=frozenset((trusted & common) | (others & ordinary)),
        latin_surnames=frozenset(surnames - _SURNAME_PARTICLES),
        asian_surnames=words("asian_surnames"),
        surnames=(*TWO_SYLLABLE_SURNAMES, *korean.last_names, *_OTHER_SURNAMES),
        rare_surnames=frozenset(_OTHER_SURNAMES),
        hangul_given=frozenset(hangul - nouns),
        hangul_given_also_words=nouns,
        hangul_syllables=frozenset("".join(hangul | nouns)),
        hangul_usual_first=_at_least_twice(name[0] for name in hangul),
        hangul_usual_last=_at_least_twice(name[-1] for name in hangul),
        hangul_first=frozenset(name[0] for name in hangul | nouns) | frozenset(_RARER_FIRST),
        hangul_last=frozenset(name[-1] for name in hangul | nouns) | frozenset(_RARER_LAST),
    )


def _at_least_twice(syllables: Iterable[str]) -> frozenset[str]:
    return frozenset(syllable for syllable, count in Counter(syllables).items() if count > 1)


def _locales() -> list[str]:
    """Every locale of which Faker has names of persons, but for those in Hangul or Han letters."""
    return [module.name for module in pkgutil.iter_modules(person.__path__) if "_" in module.name]


def _names(locale: str, kind: str) -> set[str]:
    """The single words, in lower case, of a locale's `first_name` or `last_name` lists, romanised ones among them."""
    provider = person_lists(locale)
    found: set[str] = set()
    for attribute in dir(provider):
        of_kind = attribute.startswith(kind) or (attribute.startswith(kind.split("_")[0]) and "romanized" in attribute)
        entries = getattr(provider, attribute) if of_kind else None
        if isinstance(entries, Collection):
            found.update(_words_of(entries))
    return found


def _words_of(entries: Iterable[Any]) -> Iterator[str]:
    """Names of letters with a lower case; of a tuple (Han, kana, Latin) the last."""
    for entry in entries:
        name = entry if isinstance(entry, str) else entry[-1]
        yield from (part.lower() for part in _WORD.findall(name) if part.lower() != part.upper())


def _countries() -> frozenset[str]:
    provider = importlib.import_module("faker.providers.address").Provider
    return frozenset(country.lower() for country in provider.countries)


def _lorem() -> frozenset[str]:
    return frozenset(importlib.import_module("faker.providers.lorem.en_US").Provider.word_list)
