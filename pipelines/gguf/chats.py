"""One answer in the making: its tokens, and which text of theirs may be shown."""

import codecs
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.gguf.grammar import Grammar
from pipelines.gguf.protocol import Chance, ChatRequest, Event, Text
from pipelines.gguf.sampling import Sampler, likeliest_of, log_shares
from pipelines.gguf.session import Row

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Form:
    """What an answer has to keep to, and the mark behind which that begins: that of a thought's end."""

    grammar: str
    after: str = ""


class StopFilter:
    """Passes text on but for what may be the beginning of a stop text, until that is decided."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [mark for mark in stop if mark]
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that is safe to show; nothing more once a stop text was met."""
        if self.stopped:
            return ""
        whole = self._held + text
        ends = [whole.index(mark) for mark in self._stop if mark in whole]
        if ends:
            self.stopped, self._held = True, ""
            return whole[: min(ends)]
        held = max((_overlap(whole, mark) for mark in self._stop), default=0)
        self._held = whole[len(whole) - held :]
        return whole[: len(whole) - held]

    def rest(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


@dataclass
class Chat:
    """One answer in the making."""

    request: ChatRequest
    tokens: list[int]
    limit: int
    emit: Emit
    sampler: Sampler
    filter: StopFilter
    marks: Mapping[int, bytes]
    form: Grammar | None = None
    form_after: str = ""
    sequence: int = -1
    begun: bool = False
    row: Row | None = None
    token: int = -1
    written: int = 0
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    cancelled: threading.Event = field(default_factory=threading.Event)
    _tail: str = ""
    _untold: deque[Chance] = field(default_factory=deque)
    _ahead: int = 0

    def cancel(self) -> None:
        """Stop it at its next turn; callable from any thread, also after its end."""
        self.cancelled.set()

    def say(self, piece: bytes) -> None:
        """Show what a token's bytes add to the text, as far as they may be shown."""
        text = self.decoder.decode(piece)
        if self.form is not None:
            self._begin_form(text)
        self._show(self.filter.push(text))

    def finish(self) -> None:
        """Show what was held back."""
        if not self.filter.stopped:
            self._show(self.filter.push(self.decoder.decode(b"", final=True)) + self.filter.rest(), last=True)

    def note(self, token: int, piece: Callable[[int], bytes]) -> None:
        """Keep how likely a chosen token was, where that is asked for; it is told with the first of its text."""
        if self.request.logprobs is None or self.row is None:
            return
        shares = log_shares(self.row)
        others = ((tuple(piece(one)), float(shares[one])) for one in likeliest_of(shares, self.request.logprobs))
        self._untold.append(Chance(piece=tuple(piece(token)), logprob=float(shares[token]), others=tuple(others)))

    def close(self) -> None:
        """Free what llama.cpp holds for it."""
        if self.form is not None:
            self.form.close()

    def _begin_form(self, text: str) -> None:
        """Hold the answer to its form from here on, if the mark before it has come."""
        self._tail = (self._tail + text)[-len(self.form_after) - len(text) :]
        if self.form_after in self._tail:
            self.sampler.grammar = self.form

    def _show(self, text: str, *, last: bool = False) -> None:
        text = text.replace("\0", "")  # which is refused in what comes in, so the chat could not be continued
        told = self._told(len(text.encode()), last)
        if text or told:
            self.emit(Text(text=text, tokens=told))

    def _told(self, shown: int, last: bool) -> tuple[Chance, ...]:
        """The tokens of which so many further bytes are the first ones."""
        told: list[Chance] = []
        self._ahead -= shown
        while self._untold and (self._ahead < 0 or last):
            told.append(self._untold.popleft())
            self._ahead += len(told[-1].piece)
        return tuple(told)


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that begins `mark`."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
