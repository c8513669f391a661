"""Names that are nobody's secret: listed ones, and those that so many people wrote that they point at nobody.

A public name stays as it is, and so do parts of it in the same conversation (`Angela Merkel ... Merkel`). Never spared is
the name that a speaker of the conversation goes by. Only full names are counted: `Anna` is many people, and each of them
a private one. What is counted is a keyed hash; without the key nothing tells which names were written.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from pipelines.curate.detect import Span
from pipelines.curate.surrogate import split_hangul
from pipelines.curate.words import lines
from pipelines.text import fold

_WORD = re.compile(r"[^\W\d_]+")
_HANGUL = re.compile("[가-힣]+")


class PublicNames:
    """The listed names and, once `count` has been told, the counted ones; `listed` are one name each."""

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self._listed = frozenset(_folded(name) for name in (*lines("public_names"), *listed))
        self._hashes = frozenset[str]()

    def count(self, hashes: Iterable[str]) -> None:
        """Takes these keyed hashes (`hash_name`) for those of the names that are public by their number."""
        self._hashes = frozenset(hashes)

    def spare(self, found: Mapping[str, Sequence[Span]], own: frozenset[str], key: bytes) -> dict[str, list[Span]]:
        """The findings without persons who are public; `own` are the parts of the names of the speakers, case folded."""
        names = {span.value for spans in found.values() for span in spans if span.entity == "PERSON"}
        public = {name for name in names if not parts_of(name) & own and self._is_public(name, key)}
        if not public:
            return {text: list(spans) for text, spans in found.items()}
        known = frozenset[str]().union(*(parts_of(name) for name in public))
        private = frozenset[str]().union(*(parts_of(name) for name in names if not parts_of(name) <= known)) | own

        def spared(span: Span) -> bool:
            parts = parts_of(span.value)
            return span.value in public or bool(parts and parts <= known and not parts & private)

        return {
            text: [span for span in spans if span.entity != "PERSON" or not spared(span)]
            for text, spans in found.items()
        }

    def _is_public(self, name: str, key: bytes) -> bool:
        if _folded(name) in self._listed:
            return True
        return bool(self._hashes) and is_full(name) and hash_name(name, key) in self._hashes


def hash_name(name: str, key: bytes) -> str:
    """The keyed hash of a name, 16 bytes as hex; the same for every way of spacing and of case."""
    secret = hashlib.blake2b(b"names", key=key[:64], digest_size=32).digest()
    return hashlib.blake2b(_folded(name).encode(), key=secret, digest_size=16).hexdigest()


def is_full(name: str) -> bool:
    """Whether this is a full name: two words, or a Hangul name with its surname."""
    if _HANGUL.fullmatch(name):
        return len(name) >= 3 and all(split_hangul(name))
    return sum(len(word) > 1 for word in _WORD.findall(name)) >= 2


def parts_of(name: str) -> frozenset[str]:
    """The parts by which a name is known again, case folded: words and, of a Hangul name, the given name."""
    parts = {word.casefold() for word in _WORD.findall(name) if len(word) > 1}
    return frozenset(parts | {split_hangul(part)[1] for part in parts if _HANGUL.fullmatch(part)})


def _folded(name: str) -> str:
    return fold(name, "NFKC_casefold")
