"""The words of the pages in the reader's language: English stands in the templates, another language in service/web/words.

    {{ _("Rounds") }}   ->  라운드, for a reader whose browser asks for Korean

A group of pages has a catalogue of its own, words/ko/GROUP.po, in gettext's format.
"""

import gettext
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.core import negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from fastapi import Request


def N_(text: str) -> str:
    """The text itself; marks it as one that a template gives to `_`, so that the catalogues must have it."""
    return text


LANGUAGES = {"en": "English", "ko": "한국어"}
LANGUAGE_COOKIE = "language"
# How rounds, models and the engine stand: what the macro `pill` shows.
STATES = (
    *(N_("passed"), N_("failed"), N_("inconclusive"), N_("skipped"), N_("cancelled"), N_("error"), N_("running")),
    *(N_("requested"), N_("pass"), N_("fail"), N_("champion"), N_("tainted"), N_("waiting"), N_("current")),
    *(N_("serving"), N_("loading"), N_("empty"), N_("down")),
)
_WORDS = Path(__file__).parents[1] / "words"
_DEFAULT = "en"


def language_of(request: Request) -> str:
    """One of LANGUAGES: as the address asks (?lang=ko), as chosen before, as the browser asks, else English."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return negotiate_locale(_asked(request), LANGUAGES, sep="-") or _DEFAULT


def _asked(request: Request) -> list[str]:
    """The browser's languages, best first."""
    ranked = []
    for part in request.headers.get("accept-language", "").split(",")[:20]:
        name, _, quality = part.partition(";q=")
        try:
            ranked.append((-float(quality or 1), name.strip()))
        except ValueError:
            continue
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0]) if name]


def catalogues(language: str) -> Iterator[Catalog]:
    """The catalogues of a language, in the order of their names; none for English."""
    for path in sorted((_WORDS / language).glob("*.po")):
        with path.open("rb") as file:
            yield read_po(file, locale=language)


@cache
def translations(language: str) -> gettext.NullTranslations:
    """What `_` in a template stands for; a text without a translation stays English."""
    texts = gettext.NullTranslations()
    for catalogue in catalogues(language):
        compiled = BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        part = gettext.GNUTranslations(compiled)
        part.add_fallback(texts)
        texts = part
    return texts
