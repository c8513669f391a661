"""Finds evaluation items that were pasted into training texts, and leaves their template neighbours alone.

    item "What is 41 + 17?"  (under 13 words)   drops a text in which it stands as a sentence or line of its own
                                                keeps  "What is 41 + 18?": numbers and signs are compared
    longer item                                 drops a text that shares 13 words in a row with it (30 characters in
                                                Korean), unless more than 20 texts of the pool share them: a template

Not covered: paraphrase and translation. Suites hold out phrasings and operands by construction for that reason.
Method after GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipelines.languages import all_letters, compiled
from pipelines.suites.load import SPLITS, Item, Suite

NGRAM_WORDS = 13
NGRAM_CHARACTERS = 30
TEMPLATE_ROWS = 20

# Personal values that curation replaces in one place and not in another. Bare numbers stay: they are the problem.
_MASKED = re.compile(
    r"https?://\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[\[<][A-Z][A-Z_]{2,}(?:_?\d+)?[\]>]|(?:\+\d{1,3}[ -]?|\b0)\d{1,2}-\d{3,4}-\d{4}\b",
    re.ASCII,
)
_SEGMENT_END = re.compile(r"\n+|(?<=[.?!。？！])\s+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")
_IGNORED = frozenset(",\"'`“”‘’")
_CLOSING = frozenset(".?!。…:")
_MASK = "masked"


class EvaluationItem(NamedTuple):
    """An item's name for reports, such as "tiny_math/math-0017", and its prompt."""

    name: str
    prompt: str


class Contamination:
    """The items to keep out of training; build once per snapshot.

    >>> Contamination([EvaluationItem("math/1", "What is 41 + 17?")]).check_pool(["Hi! what is 41 + 17", "41 + 18?"])
    ['math/1', None]
    """

    def __init__(self, items: Iterable[EvaluationItem]) -> None:
        self._whole: dict[tuple[str, ...], str] = {}
        self._words: dict[tuple[int, ...], str] = {}
        self._characters: dict[str, str] = {}
        self._vocabulary: dict[str, int] = {}
        for item in items:
            self._add(item)
        self._spans = sorted({len(key) for key in self._whole})

    def check_pool(self, texts: Sequence[str]) -> list[str | None]:
        """For each text, the name of an item that stands in it, else None. Texts are examples, all turns by lines.

        Pass the whole pool at once: n-grams that more than 20 of these texts share are templates and are not counted.
        """
        whole: list[str | None] = []
        shared: list[dict[tuple[int, ...] | str, str]] = []
        for text in texts:
            masked = _masked(text)
            whole.append(self._pasted(masked))
            shared.append(self._ngrams_in(masked))
        rows = Counter(ngram for ngrams in shared for ngram in ngrams)
        return [
            pasted or next((name for ngram, name in ngrams.items() if rows[ngram] <= TEMPLATE_ROWS), None)
            for pasted, ngrams in zip(whole, shared, strict=True)
        ]

    def _add(self, item: EvaluationItem) -> None:
        masked = _masked(item.prompt)
        if key := _key(masked):
            self._whole.setdefault(key, item.name)
        words = _WORD.findall(masked)
        if len(words) < NGRAM_WORDS:
            return
        if _is_of_characters(masked):
            for part in _windows_of_characters(masked):
                self._characters.setdefault(part, item.name)
            return
        numbers = [self._vocabulary.setdefault(word, len(self._vocabulary)) for word in words]
        for start in range(len(numbers) - NGRAM_WORDS + 1):
            self._words.setdefault(tuple(numbers[start : start + NGRAM_WORDS]), item.name)

    def _pasted(self, masked: str) -> str | None:
        """The item that equals some run of whole sentences or lines of the text."""
        segments = _segments(masked)
        for span in self._spans:
            for start in range(len(segments) - span + 1):
                name = self._whole.get(tuple(segments[start : start + span]))
                if name is not None:
                    return name
        return None

    def _ngrams_in(self, masked: str) -> dict[tuple[int, ...] | str, str]:
        places: dict[tuple[int, ...] | str, str] = {}
        for ngram in self._windows_of_words(masked):
            if ngram in self._words:
                places[ngram] = self._words[ngram]
        if self._characters and _characters_in(masked):  # Korean may be pasted into a long English text
            places |= {
                part: self._characters[part] for part in _windows_of_characters(masked) if part in self._characters
            }
        return places

    def _windows_of_words(self, masked: str) -> Iterator[tuple[int, ...]]:
        """The windows of 13 words that items use too; a word that no item has breaks the run."""
        if not self._words:
            return
        run: list[int] = []
        for word in _WORD.findall(masked):
            number = self._vocabulary.get(word)
            if number is None:
                run.clear()
                continue
            run.append(number)
            if len(run) >= NGRAM_WORDS:
                yield tuple(run[-NGRAM_WORDS:])


def suite_items(suites: Iterable[Suite]) -> list[EvaluationItem]:
    """Every dev and gate item of these suites, named "suite/id"; of multiple choice the question without its options.

    The same options may stand under several questions about one thing. A pasted item brings its question along.
    """
    return [
        EvaluationItem(f"{suite.name}/{item.id}", _question(item))
        for suite in suites
        for split in SPLITS
        for item in suite.items[split]
    ]


def _question(item: Item) -> str:
    lines = item.prompt.split("\n")
    choices = [str(choice) for choice in item.fields.get("choices") or []]
    first = next((number for number, line in enumerate(lines) if choices and choices[0] in line and number), len(lines))
    return "\n".join(lines[:first])


def _masked(text: str) -> str:
    return unicodedata.normalize("NFKC", _MASKED.sub(f" {_MASK} ", text)).casefold()


def _key(masked: str) -> tuple[str, ...]:
    return tuple(_segments(masked))


def _segments(masked: str) -> list[str]:
    """The sentences and lines of a text without spacing, quotes, commas and closing marks."""
    parts = (_TOKEN.findall(part) for part in _SEGMENT_END.split(masked))
    return [" ".join(tokens) for part in parts if (tokens := _plain(part))]


def _plain(tokens: Sequence[str]) -> list[str]:
    words = [token for token in tokens if token not in _IGNORED]
    while words and words[-1] in _CLOSING:
        words.pop()
    return words


def _is_of_characters(text: str) -> bool:
    """Whether it is written mostly in a language whose units are characters, not words."""
    return _characters_in(text) * 2 > sum(letter.isalpha() for letter in text)


def _characters_in(text: str) -> int:
    apart = all_letters(lambda language: language.units == "characters")
    return len(compiled(f"[{apart}]").findall(text)) if apart else 0


def _windows_of_characters(masked: str) -> Iterator[str]:
    dense = "".join(masked.split())
    for start in range(len(dense) - NGRAM_CHARACTERS + 1):
        yield dense[start : start + NGRAM_CHARACTERS]
