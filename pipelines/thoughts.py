"""What a model thinks before it answers, parted from the answer while both are written.

"<think>\\nplan\\n</think>\\n\\nDone."    ->  thought "plan", text "Done."
"plan\\n</think>\\n\\nDone."             ->  the same where the template has opened the thought in the prompt
"Done."                               ->  text "Done."
"""

from collections.abc import Iterator
from typing import NamedTuple


class ThoughtFormat(NamedTuple):
    """The marks around a thought; `is_open` where the prompt ends with the first."""

    begin: str
    end: str
    is_open: bool = False


_FORMATS = (
    ThoughtFormat("<think>", "</think>"),
    ThoughtFormat("<thinking>", "</thinking>"),
    ThoughtFormat("[THINK]", "[/THINK]"),
    ThoughtFormat("<seed:think>", "</seed:think>"),
    ThoughtFormat("<|channel>thought", "<channel|>"),
    ThoughtFormat("<|START_THINKING|>", "<|END_THINKING|>"),
)


def thought_format(template: str, prompt: str) -> ThoughtFormat | None:
    """How a model under this template thinks; None where the template knows no thoughts, or has closed it in the prompt."""
    form = next((form for form in _FORMATS if form.end in template), None)
    if form is None or prompt.rstrip().endswith(form.end):
        return None
    return form._replace(is_open=prompt.rstrip().endswith(form.begin))


class ThoughtReader:
    """Parts a stream of text; white space around either part is left out, and nothing else gets lost."""

    def __init__(self, form: ThoughtFormat) -> None:
        self._form = form
        self._state = "thought" if form.is_open else "undecided"
        self._held = ""
        self._begins = True

    @property
    def is_thinking(self) -> bool:
        """Whether what comes next is thought, or may be."""
        return self._state != "text"

    def push(self, text: str) -> Iterator[tuple[bool, str]]:
        """Each piece that is sure, and whether it is thought."""
        self._held += text
        if self._state == "undecided":
            self._decide()
        if self._state == "thought":
            yield from self._think()
        if self._state == "text" and (said := self._take(len(self._held))):
            yield False, said

    def end(self) -> Iterator[tuple[bool, str]]:
        """What was held back, when no more text comes."""
        if self._held:
            yield self._state == "thought", self._held
        self._held = ""

    def _decide(self) -> None:
        start = self._held.lstrip()
        if start.startswith(self._form.begin):
            self._state, self._held = "thought", start[len(self._form.begin) :]
        elif start and not self._form.begin.startswith(start):
            self._state, self._begins = "text", False  # an answer without a thought stays as it is

    def _think(self) -> Iterator[tuple[bool, str]]:
        place = self._held.find(self._form.end)
        if place < 0:
            if thought := self._take(len(self._held) - self._undecided()):
                yield True, thought
            return
        thought = self._take(place).rstrip()
        self._held = self._held[len(self._form.end) :]
        self._state, self._begins = "text", True
        if thought:
            yield True, thought

    def _take(self, size: int) -> str:
        """So much of what is held; without the white space in front where a part begins."""
        taken, self._held = self._held[:size], self._held[size:]
        if self._begins:
            taken = taken.lstrip()
            self._begins = not taken
        return taken

    def _undecided(self) -> int:
        """How many characters at the end may be white space before the mark, or its beginning."""
        end = self._form.end
        sizes = range(min(len(end) - 1, len(self._held)), 0, -1)
        mark = next((size for size in sizes if self._held.endswith(end[:size])), 0)
        before = self._held[: len(self._held) - mark]
        return mark + len(before) - len(before.rstrip())
