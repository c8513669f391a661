"""Makes table.json: how probable each letter is behind the one before, in Latin and in decomposed Hangul.

    python -m pipelines.curate.bigrams.train

Sources: en.txt and ko.txt beside this file (written for this project), Faker's word lists of ten Latin languages, its
Korean names and places. No randomness: the same sources give the same bytes. Values are -100 * ln p, rounded.
"""

import importlib
import json
import math
from collections import Counter
from pathlib import Path

from pipelines.curate.quality import ALPHABETS, letters

HERE = Path(__file__).parent
_LATIN_LOCALES = ("en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "cs_CZ", "da_DK", "vi_VN", "fil_PH")
_SMOOTHING = 0.2
_ENGLISH_WEIGHT = 8


def main() -> None:
    """Writes table.json beside this file."""
    (HERE / "table.json").write_text(table_json(), encoding="ascii")


def table_json() -> str:
    """The table as it ships; the same sources give the same text."""
    table = {"Latn": _rows(_latin_counts(), ALPHABETS["Latn"]), "Hang": _rows(_hangul_counts(), ALPHABETS["Hang"])}
    return json.dumps(table, separators=(",", ":"), ensure_ascii=True) + "\n"


def _latin_counts() -> Counter[str]:
    counts = _pairs((HERE / "en.txt").read_text(encoding="utf-8"), "Latn", _ENGLISH_WEIGHT)
    for locale in _LATIN_LOCALES:
        words = importlib.import_module(f"faker.providers.lorem.{locale}").Provider.word_list
        counts += _pairs(" ".join(words), "Latn", 2 if locale == "en_US" else 1)
    for locale in ("en_US", "de_DE", "fr_FR"):
        counts += _pairs(
            " ".join(importlib.import_module(f"faker.providers.person.{locale}").Provider.last_names), "Latn", 1
        )
    return counts


def _hangul_counts() -> Counter[str]:
    counts = _pairs((HERE / "ko.txt").read_text(encoding="utf-8"), "Hang", 4)
    person = importlib.import_module("faker.providers.person.ko_KR").Provider
    place = importlib.import_module("faker.providers.address.ko_KR").Provider
    return counts + _pairs(" ".join([*person.first_names, *place.boroughs, *place.cities]), "Hang", 1)


def _pairs(text: str, script: str, weight: int) -> Counter[str]:
    stream = letters(text, script)
    return Counter(
        {pair: weight * count for pair, count in Counter(map("".join, zip(stream, stream[1:], strict=False))).items()}
    )


def _rows(counts: Counter[str], alphabet: str) -> list[list[int]]:
    rows = []
    for first in alphabet:
        total = sum(counts[first + second] for second in alphabet) + _SMOOTHING * len(alphabet)
        rows.append([round(-100 * math.log((counts[first + second] + _SMOOTHING) / total)) for second in alphabet])
    return rows


if __name__ == "__main__":
    main()
