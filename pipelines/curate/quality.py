"""Repetition and gibberish, measured; conservative, because short and formulaic answers and made-up names are normal.

zlib_ratio("ha " * 200)              -> 0.03      prose is above .5
bigram_score("The capital of ...")   -> -2.4      natural log per letter; slang reaches -3.8, mashing the keyboard -4.6
"""

import json
import re
import unicodedata
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pipelines.curate.language import prose

ALPHABETS = {
    "Latn": " abcdefghijklmnopqrstuvwxyz",
    "Hang": " " + "".join(map(chr, [*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3)])),
}
MIN_LETTERS = 40
GIBBERISH_BELOW = -4.3
MIN_REPETITION_BYTES = 300
REPETITION_BELOW = 0.12
_WINDOW_BYTES = 2_000
# Acronyms, identifiers, digests and base64 are no words; a text made of them has no score.
_TERMS = re.compile(r"\b(?:[A-Z]{2,8}s?|\w*(?:\d|_|[a-z][A-Z]|[A-Z]{2}[a-z])\w*)\b")
_OTHERS = {"Latn": re.compile("[^a-z]+"), "Hang": re.compile("[^\u1100-\u1112\u1161-\u1175\u11a8-\u11c2]+")}


def zlib_ratio(text: str) -> float | None:
    """Compressed over plain size of the prose, mean over windows of 2,000 bytes; None below 100 bytes."""
    data = prose(text).encode("utf-8", "replace")
    if len(data) < 100:
        return None
    windows = [data[i : i + _WINDOW_BYTES] for i in range(0, len(data), _WINDOW_BYTES)]
    full = [window for window in windows if len(window) == _WINDOW_BYTES] or windows
    return sum(len(zlib.compress(window, 6)) / len(window) for window in full) / len(full)


def bigram_score(text: str) -> float | None:
    """Mean ln p of the letters of the prose, each behind its predecessor; None below 40 Latin and Hangul letters,

    or where other scripts make up more than a third of the letters.
    """
    plain = _TERMS.sub(" ", prose(text))
    total, count = 0, 0
    for script in ("Latn", "Hang"):
        stream = letters(plain, script)
        cost, scored = _cost(stream, script)
        total += cost
        count += scored
    every = sum(character.isalpha() for character in unicodedata.normalize("NFD", plain))
    return None if count < MIN_LETTERS or count < every * 2 / 3 else -total / 100 / count


def is_gibberish(texts: Iterable[str]) -> bool:
    """Whether texts together have at least 40 letters, most of them in texts that score as no language."""
    scored = [(bigram_score(text), len(text)) for text in texts]
    long = [(score, length) for score, length in scored if score is not None]
    bad = sum(length for score, length in long if score < GIBBERISH_BELOW)
    return bad > sum(length for _, length in scored) / 2


def is_repetition(texts: Iterable[str]) -> bool:
    """Whether most of the texts, by length, is one thing said over and over; code does not count."""
    plain = [prose(text) for text in texts]
    ratios = [(zlib_ratio(text), len(text.encode("utf-8", "replace"))) for text in plain]
    bad = sum(
        size
        for ratio, size in ratios
        if ratio is not None and size >= MIN_REPETITION_BYTES and ratio < REPETITION_BELOW
    )
    return bad > sum(size for _, size in ratios) / 2


def letters(text: str, script: str) -> str:
    """The letters of one script (Latin without accents, Hangul as jamo), everything else as one space between."""
    plain = unicodedata.normalize("NFD", text.lower())
    if script == "Latn":
        plain = re.sub("[\u0300-\u036f]", "", plain)
    return _OTHERS[script].sub(" ", f" {plain}")


def _cost(stream: str, script: str) -> tuple[int, int]:
    table = _table()[script]
    cost = scored = 0
    for pair in zip(stream, stream[1:], strict=False):
        if pair[1] != " ":
            cost += table[pair]
            scored += 1
    return cost, scored


@cache
def _table() -> dict[str, dict[tuple[str, str], int]]:
    rows = json.loads((Path(__file__).parent / "bigrams" / "table.json").read_text(encoding="ascii"))
    return {
        script: {(a, b): rows[script][i][j] for i, a in enumerate(alphabet) for j, b in enumerate(alphabet)}
        for script, alphabet in ALPHABETS.items()
    }
