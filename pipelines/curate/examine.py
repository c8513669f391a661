"""What curation would replace in one text, by what, and who found it; and how much of labelled text it hides.

A labelled row of `perennial privacy score`, in one of three ways:

    {"text": "My name is Anna.", "spans": [{"start": 11, "end": 15, "label": "PERSON"}]}
    {"text": "My name is Anna.", "spans": [[11, 15, "PERSON"]]}
    {"text": "My name is [[PERSON|Anna]]."}
"""

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.curate.normalise import tidy
from pipelines.errors import DataError

_MARKED = re.compile(r"\[\[([A-Za-z_ ]{1,40})\|([^\]]+)\]\]")
_SPAN_KEYS = ("spans", "entities", "privacy_mask", "labels")


@dataclass(frozen=True)
class Finding:
    """text[start:end] is an `entity`, `source` says, and `replacement` would stand there."""

    start: int
    end: int
    entity: str
    source: str
    replacement: str


@dataclass(frozen=True)
class Labelled:
    """A text in which somebody marked what is personal: (start, end, label)."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Recall:
    """Of one label: how many were marked, hidden whole, and hidden in part."""

    label: str
    marked: int
    hidden: int
    partly: int

    @property
    def recall(self) -> float:
        """The share that is hidden whole."""
        return self.hidden / self.marked


class Examiner:
    """A curator that shows its findings; heavy to build. `public` are keyed hashes of names to spare. Raises as Curator does."""

    def __init__(self, config: CurationConfig, key: bytes = b"", public: Iterable[str] = ()) -> None:
        self._curator, self._key = Curator(config), key
        self._curator.spare(public)

    def examine(self, text: str) -> list[Finding]:
        """What would be replaced in this text alone, in text order. Raises DetectionTimedOut."""
        found = self._curator.examine(text, secrets.token_bytes(32), self._key)
        return [Finding(span.start, span.end, span.entity, source, word) for span, source, word in found]

    def score(self, rows: Iterable[Labelled]) -> tuple[list[Recall], int]:
        """Recall by label and, last, of all of them; and how many findings are beside everything that was marked."""
        marked, hidden, partly, beside = Counter[str](), Counter[str](), Counter[str](), 0
        for row in rows:
            found = self.examine(row.text)
            row = _tidied(row)
            for start, end, label in row.spans:
                covered = _covered(row.text, start, end, found)
                for name in (label, "all"):
                    marked[name] += 1
                    hidden[name] += covered == 1.0
                    partly[name] += 0 < covered < 1
            beside += sum(not any(one.start < end and start < one.end for start, end, _ in row.spans) for one in found)
        labels = [*sorted(set(marked) - {"all"}), *(["all"] if marked else [])]
        return [Recall(name, marked[name], hidden[name], partly[name]) for name in labels], beside


def parse_labelled(row: Any, number: int) -> Labelled:
    """A labelled row. Raises DataError with the line's number for what is none."""
    text = row.get("text", row.get("source_text")) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise DataError(f'line {number} has no `text`: write {{"text": ..., "spans": [[start, end, label], ...]}}')
    listed = next((row[key] for key in _SPAN_KEYS if isinstance(row.get(key), list)), None)
    if listed is None:
        return _unmarked(text)
    return Labelled(text, tuple(_span(one, text, number) for one in listed))


def _span(one: Any, text: str, number: int) -> tuple[int, int, str]:
    if isinstance(one, dict):
        one = [one.get("start"), one.get("end"), one.get("label", one.get("entity"))]
    match one:
        case [int(start), int(end), str(label)] if 0 <= start < end <= len(text):
            return start, end, label
    raise DataError(
        f"line {number} has a span that is none: {str(one)[:60]}; write [start, end, label] in characters, the end after the "
        f"start and within the {len(text)} characters of the text"
    )


def _unmarked(text: str) -> Labelled:
    plain, spans, done = "", [], 0
    for match in _MARKED.finditer(text):
        plain += text[done : match.start()]
        spans.append((len(plain), len(plain) + len(match[2]), match[1]))
        plain, done = plain + match[2], match.end()
    return Labelled(plain + text[done:], tuple(spans))


def _tidied(row: Labelled) -> Labelled:
    """The row as findings count it: in NFC, without invisible characters."""
    text = tidy(row.text)
    if text == row.text:
        return row
    spans = ((len(tidy(row.text[:start])), len(tidy(row.text[:end])), label) for start, end, label in row.spans)
    return Labelled(text, tuple(spans))


def _covered(text: str, start: int, end: int, found: Sequence[Finding]) -> float:
    """The share of the letters and digits of a span that findings cover."""
    places = [place for place in range(start, end) if text[place].isalnum()] or [start]
    return sum(any(one.start <= place < one.end for one in found) for place in places) / len(places)
