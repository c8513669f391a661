"""A conversation on its way through curation: its texts by name, what was found in them, and what was done."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.curate import strings
from pipelines.curate.detect import Span
from pipelines.curate.normalise import tidy
from pipelines.records import Conversation, Record

TOOLS = "tools/"  # what the texts of the tools' definitions are called by; no message has such an id


class Step(Record):
    """One thing that curation did, without a character of the text: for `perennial curate --explain`."""

    rule: str
    message: str | None = None
    role: str | None = None
    outcome: str = ""
    entities: Mapping[str, int] = {}
    lengths: Mapping[str, tuple[int, ...]] = {}
    measures: Mapping[str, int | str] = {}


@dataclass
class Work:
    """The conversation on its way through: its texts, what was found in them, and the trace.

    A message's text is called by its id; what else it says (reasoning, texts in JSON) has names of its own, in `parts` by
    message, in the order of strings.map_texts. `until` is the processor time at which its budget is spent.
    """

    conversation: Conversation
    texts: dict[str, str]
    until: float
    kinds: dict[str, strings.Text] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    found: dict[str, list[Span]] = field(default_factory=dict)
    own: dict[str, list[Span]] = field(default_factory=dict)
    clean: dict[str, str] = field(default_factory=dict)
    surrogates: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)

    def each_text(self) -> Iterator[tuple[str, str]]:
        """Every message's id and text. Raises OverBudget once the budget is spent."""
        for name, text in self.texts.items():
            if time.process_time() > self.until:
                raise OverBudget
            yield name, text

    def take(self, owner: str, texts: Sequence[strings.Text]) -> None:
        """Takes the texts of a message, or of the tools, under names of their own."""
        self.texts.setdefault(owner, "")
        self.parts[owner] = []
        for number, text in enumerate(texts):
            name = owner if number == 0 and not text.label else f"{owner}/{number}"
            self.parts[owner].append(name)
            self.kinds[name], self.texts[name] = text, text.prefix + tidy(text.value)

    def change(self, owner: str) -> strings.Change:
        """What puts the clean texts of a message, or of the tools, back into their places."""
        names = iter(self.parts[owner])

        def clean(text: strings.Text) -> str:
            return self.clean[next(names)].removeprefix(text.prefix)

        return clean

    def found_in(self, owner: str) -> list[Span]:
        """All findings in a message, wherever in it."""
        return [span for name in self.parts[owner] for span in self.found[name]]

    def masked(self, owner: str) -> tuple[str, ...]:
        """The words that stand for others in all of a message but its text."""
        others = [name for name in self.parts[owner] if name != owner]
        return tuple(
            dict.fromkeys(self.clean[name][slice(*place)] for name in others for place in self.surrogates[name])
        )

    def spoken(self, texts: Mapping[str, str], *roles: str) -> list[str]:
        """Of these texts, those of the messages of these roles."""
        return [texts[message.id] for message in self.conversation.messages if message.role in roles]


class OverBudget(Exception):
    """A conversation that took more processor time than it may."""


def believed(kind: strings.Text | None, spans: Sequence[Span]) -> list[Span]:
    """Those findings that may be what they look like, where a text of JSON has a field that says what it is."""
    if kind is None or not kind.label:
        return list(spans)
    return [span for span in spans if span.start >= len(kind.prefix) and kind.may_be(span.entity)]


def behind_labels(kinds: Mapping[str, strings.Text], found: Mapping[str, Sequence[Span]]) -> dict[str, list[Span]]:
    """The findings but those in the name of a field, which is only shown for what it says of the text behind it."""
    starts = {name: len(kinds[name].prefix) if name in kinds else 0 for name in found}
    return {name: [span for span in spans if span.start >= starts[name]] for name, spans in found.items()}
