"""What became of everything in an import, counted by kind, result and reason; and the file of what was refused."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.ingest.importers.items import Note, Place, Refusal
from service.ingest.importers.post import Ready
from service.ingest.importers.ready import ReadyConversation, hide_addresses
from service.ingest.prepare import NewCorrection, NewVote, Result

SHOWN_PROBLEMS = 20
_STANDS = ("created", "appended", "unchanged")


@dataclass
class Counts:
    """Results by kind; refusals and what was left out by reason; the first refusals with their places.

    `cannot_train` are the stored conversations from which no round can learn as the file gives them, by selection's
    reason.
    """

    results: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    cannot_train: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def of(self, kind: str, result: str) -> int:
        """How many of a kind (conversations, votes, corrections, comparisons) had this result."""
        return self.results.get(kind, {}).get(result, 0)

    @property
    def stands(self) -> int:
        """Everything that is stored now, whether it was before or not."""
        return sum(self.of(kind, result) for kind in self.results for result in _STANDS)

    def add(self, place: Place, ready: Ready, result: Result, detail: str | None) -> Refusal | None:
        """Counts what became of a thing; its refusal, if that is what became of it."""
        kind = kind_of(ready)
        if result == "conflict" and isinstance(ready, ReadyConversation) and ready.is_copy:
            self.note(Note("older_copy"))
            return None
        if result not in _STANDS:
            return self.refuse(place, Refusal(_reason(ready, result), detail or result))
        results = self.results.setdefault(kind, {})
        results[result] = results.get(result, 0) + 1
        if isinstance(ready, ReadyConversation) and ready.lack is not None:
            self.cannot_train[ready.lack] = self.cannot_train.get(ready.lack, 0) + 1
        return None

    def refuse(self, place: Place, refusal: Refusal) -> Refusal:
        """Counts a refusal, and remembers it while there are few; the refusal as it may be written down."""
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        shown = Refusal(refusal.reason, hide_addresses(refusal.sentence))
        if len(self.problems) < SHOWN_PROBLEMS:
            self.problems.append((str(place), shown.sentence))
        return shown

    def note(self, note: Note) -> None:
        """Counts what was left out."""
        self.left_out[note.reason] = self.left_out.get(note.reason, 0) + note.count

    def as_numbers(self) -> dict[str, Any]:
        """All but the sentences, which quote what people sent."""
        return {name: value for name, value in asdict(self).items() if name != "problems"}


def kind_of(ready: Ready) -> str:
    """The kind of thing, in the plural."""
    if isinstance(ready, ReadyConversation):
        return "conversations"
    if isinstance(ready, NewVote):
        return "votes"
    return "corrections" if isinstance(ready, NewCorrection) else "comparisons"


def _reason(ready: Ready, result: Result) -> str:
    if isinstance(ready, NewVote) and result == "not_found":
        return "no_message"
    return "conflict" if result == "conflict" else "not_storable"


class RejectFile:
    """Lines of JSON, one for each refusal: file, entry, line, reason, sentence. Made when the first one comes."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        if path.exists():
            with path.open("rb+") as file:  # what was written after the last acknowledged batch comes again
                file.truncate(size)

    def add(self, refusals: Iterable[tuple[Place, Refusal]]) -> None:
        """Writes refusals."""
        lines = "".join(_line(place, refusal) for place, refusal in refusals).encode()
        if lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(lines)
            self.size += len(lines)


def _line(place: Place, refusal: Refusal) -> str:
    row = {"file": hide_addresses(place.file), "entry": place.entry, "line": place.line}
    return json.dumps(row | {"reason": refusal.reason, "sentence": refusal.sentence}, ensure_ascii=True) + "\n"
