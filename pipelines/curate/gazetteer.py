"""Which words are given names and surnames, in English and Korean: Faker's lists and a few of our own.

Names that are common words or places ("Will", "Rose", "Austin") are kept apart: they count only with a cue or a surname.
"""

import importlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from pipelines.curate.fakes import person_lists
from pipelines.curate.words import words

_LOCALES = ("en_US", "en_GB", "en_IE", "en_IN", "en_NG", "en_KE", "en_PK", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR")
# Short names of these languages look like English words (Dag, Job, Sem): only longer ones are taken.
_OTHER_LOCALES = ("nl_NL", "sv_SE", "da_DK", "no_NO", "fi_FI", "pl_PL", "cs_CZ", "hr_HR", "ro_RO", "hu_HU", "tr_TR")
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


@cache
def gazetteer() -> Gazetteer:
    """The lists, read from Faker's data once per process."""
    names = {name.lower() for locale in _LOCALES for name in _given_names(locale) if len(name) > 2 and name.isalpha()}
    names |= {
        name.lower() for locale in _OTHER_LOCALES for name in _given_names(locale) if len(name) > 4 and name.isalpha()
    }
    names |= words("latin_given")
    countries = {country.lower() for country in importlib.import_module("faker.providers.address").Provider.countries}
    common = (
        words("latin_given_also_words")
        | countries
        | set(importlib.import_module("faker.providers.lorem.en_US").Provider.word_list)
    )
    nouns = words("hangul_given_also_words")
    korean = person_lists("ko_KR")
    hangul = set(korean.first_names) | words("hangul_given")
    return Gazetteer(
        given=frozenset(names - common),
        given_also_words=frozenset(names & common),
        latin_surnames=frozenset(
            name.lower() for locale in ("en_US", "en_GB", "en_IN") for name in person_lists(locale).last_names
        ),
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


def _given_names(locale: str) -> set[str]:
    lists = (
        getattr(person_lists(locale), name, ()) for name in ("first_names", "first_names_male", "first_names_female")
    )
    return {name for names in lists for name in names}
