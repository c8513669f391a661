"""What was heard on the way to an answer: kept up while a conversation's tree is walked, so that no turn is read twice.

system   You are Kim's assistant.      names: kim
user     I am Anna. Ask Bob Stone.     names: kim, anna    people: kim, anna, bob, stone
answer   Dear Anna, ...                is judged by what stands above it
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.curate.detect import Span
from pipelines.curate.public_names import parts_of
from pipelines.curate.surrogate import canonical

_NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HeardTurn:
    """A message with its text, what is replaced in it, and the parts of the names by which speakers go that it gives."""

    role: str
    text: str
    spans: Sequence[Span]
    names: frozenset[str] = _NO_NAMES

    def line_of(self, span: Span) -> tuple[str, str]:
        """What stands before and behind a span in its line."""
        before = self.text[: span.start].rpartition("\n")[2]
        return before, self.text[span.end :].partition("\n")[0]


class Heard:
    """The turns on the path to where the walk is, by what an answer is asked of them."""

    def __init__(self) -> None:
        self._turns: list[tuple[HeardTurn, bool]] = []
        self._questions: list[HeardTurn] = []
        self._names: Counter[str] = Counter()
        self._people: Counter[str] = Counter()
        self._values: Counter[str] = Counter()
        self._named: Counter[frozenset[str]] = Counter()
        self._replaced = 0

    @property
    def question(self) -> HeardTurn:
        """The last turn of the user; an empty one where there is none."""
        return self._questions[-1] if self._questions else HeardTurn("user", "", ())

    @property
    def has_replaced(self) -> bool:
        """Whether an answer on the path is replaced."""
        return self._replaced > 0

    def is_speaker(self, span: Span) -> bool:
        """Whether a name is one by which somebody speaks here."""
        return any(part in self._names for part in parts_of(span.value))

    def of_others(self, spans: Iterable[Span]) -> list[Span]:
        """These findings without the names of those who speak."""
        return [span for span in spans if span.entity != "PERSON" or not self.is_speaker(span)]

    def speaks_of_others(self) -> bool:
        """Whether a user named a person who is none of those who speak."""
        return any(not any(part in self._names for part in parts) for parts in self._named)

    def unheard(self, spans: Iterable[Span]) -> list[Span]:
        """Those that no user, system or tool spoke of."""
        return [span for span in spans if not self._has_heard(span)]

    def enter(self, turn: HeardTurn, replaced: bool) -> None:
        """The walk goes on below this turn; `replaced` if it is an answer that is."""
        self._turns.append((turn, replaced))
        self._replaced += replaced
        if turn.role == "user":
            self._questions.append(turn)
        for counts, keys in self._counted(turn):
            counts.update(keys)

    def leave(self) -> None:
        """The walk comes back from below the last turn."""
        turn, replaced = self._turns.pop()
        self._replaced -= replaced
        if turn.role == "user":
            self._questions.pop()
        for counts, keys in self._counted(turn):
            for key in keys:
                counts[key] -= 1
                if not counts[key]:
                    del counts[key]

    def _has_heard(self, span: Span) -> bool:
        if span.entity == "PERSON":
            return any(part in self._people for part in parts_of(span.value))
        return canonical(span.entity, span.value) in self._values

    def _counted(self, turn: HeardTurn) -> Iterator[tuple[Counter[Any], Iterable[Hashable]]]:
        """The counts that a turn adds to, with what it adds."""
        people = [parts_of(span.value) for span in turn.spans if span.entity == "PERSON"]
        yield self._names, turn.names
        if turn.role == "user":
            yield self._named, people
        if turn.role != "assistant":
            yield self._people, (part for parts in people for part in parts)
            yield self._values, (canonical(span.entity, span.value) for span in turn.spans)
