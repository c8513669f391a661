"""Whether a word without blanks, as in an address or an account, is a person's name: `annagross`, `jan.kowalczyk`, `gross-anna`."""

import re
from functools import lru_cache

from pipelines.curate.gazetteer import gazetteer
from pipelines.curate.words import words

_PARTS = re.compile(r"[._\-]+|\d+")
_LEAST_GIVEN, _LEAST_REST = 4, 4  # letters, where nothing parts the two


@lru_cache(maxsize=4096)
def is_joined_name(word: str) -> bool:
    """Whether a given name and another name, or a given name and what no dictionary has, make this word (any case)."""
    parts = [part for part in _PARTS.split(word.lower()) if part]
    if not parts or word.lower() in _ordinary():
        return False
    if len(parts) > 1:
        names = [part for part in parts if len(part) >= 3 and part in gazetteer().given]
        return bool(names) and all(part in names or _is_name(part) or len(part) == 1 for part in parts)
    return any(_is_pair(word.lower(), place) for place in range(_LEAST_GIVEN, len(word) - _LEAST_REST + 1))


def _is_pair(word: str, place: int) -> bool:
    first, second = word[:place], word[place:]
    given = gazetteer().given
    return (first in given and _is_name(second)) or (second in given and first in gazetteer().latin_surnames)


def _is_name(word: str) -> bool:
    return word in gazetteer().latin_surnames or (len(word) >= _LEAST_REST and word not in _ordinary())


def _ordinary() -> frozenset[str]:
    return words("common_words")
