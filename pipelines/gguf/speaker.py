"""One thread that owns one loaded model and lets several chats take turns on it, a token (or a prompt chunk) each."""

import codecs
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.errors import Busy, GGUFError, InputError, PerennialError
from pipelines.gguf.protocol import ChatRequest, End, Event, Failure, Reason, Text
from pipelines.gguf.sampling import sample
from pipelines.gguf.session import Row, Session

Emit = Callable[[Event], None]
_MOST_WAITING = 64


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
    generator: np.random.Generator
    filter: StopFilter
    marks: Mapping[int, bytes]
    sequence: int = -1
    begun: bool = False
    row: Row | None = None
    written: int = 0
    decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop it at its next turn; callable from any thread, also after its end."""
        self.cancelled.set()


class Speaker:
    """Answers chats with one session, which it closes when it is retired and its last chat has ended.

    Several chats run side by side in sequences of their own; each turn goes round all of them, so a long answer
    does not hold up a short one. What a chat yields is what it would yield alone.
    """

    def __init__(self, session: Session, *, model: str, sha256: str) -> None:
        self._session, self.model, self.sha256 = session, model, sha256
        self._free = deque(range(session.sequences))
        self._waiting: deque[Chat] = deque()
        self._active: list[Chat] = []
        self._changed = threading.Condition()
        self._retired = False
        self._thread = threading.Thread(target=self._run, name=f"speaker-{model}", daemon=True)
        self._thread.start()

    def submit(self, prompt: str, request: ChatRequest, emit: Emit, marks: Sequence[str] = ()) -> Chat:
        """Queue a rendered prompt; `emit` is called from our thread with each event of the answer.

        Tokens whose text is one of `marks` are shown, though they be control tokens.

        Raises:
            InputError: the prompt does not fit the context.
            Busy: too many chats wait, or this speaker was retired meanwhile.
        """
        generator = np.random.default_rng(None if request.seed is None else request.seed % (1 << 63))
        with self._changed:
            self._require_open()
            if sum(not chat.cancelled.is_set() for chat in self._waiting) >= _MOST_WAITING:
                raise Busy(f"{_MOST_WAITING} chats are waiting already; try again later")
            tokens, limit = self._fit(prompt, request.max_tokens)
            chat = Chat(request, tokens, limit, emit, generator, StopFilter(request.stop), self._session.marks(marks))
            self._waiting.append(chat)
            self._changed.notify()
        return chat

    def count_tokens(self, text: str) -> int:
        """Tokens in a message's text, markers in it taken as text. Raises Busy after retirement."""
        with self._changed:
            self._require_open()
            return len(self._session.tokenize(self._session.escape(text)))

    def load(self) -> tuple[int, int]:
        """How many chats are being answered, and how many wait."""
        with self._changed:
            return len(self._active), len(self._waiting)

    @property
    def context(self) -> int:
        """Tokens that one chat may take, answer included."""
        return self._session.context

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def retire(self) -> None:
        """Take no new chats; finish those at hand, then free the model."""
        with self._changed:
            self._retired = True
            self._changed.notify()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the thread to end, at most so long."""
        self._thread.join(timeout_seconds)

    def _require_open(self) -> None:
        """The session may be closed once we are retired, and llama.cpp crashes on a closed one."""
        if self._retired:
            raise Busy(f"the model {self.model} was just replaced; send the chat again")

    def _fit(self, prompt: str, max_tokens: int | None) -> tuple[list[int], int]:
        """The prompt's tokens, and how many the answer may have."""
        tokens, context = self._session.tokenize(prompt), self._session.context
        if not tokens:
            raise InputError("the chat is empty once its template has rendered it")
        if len(tokens) >= context:
            raise InputError(
                f"the chat takes {len(tokens)} tokens, but this engine reads at most {context}, answer included; "
                "shorten it"
            )
        return tokens, min(context - len(tokens), max_tokens or context)

    def _run(self) -> None:
        try:
            while self._admit():
                for chat in list(self._active):
                    self._turn(chat)
        finally:
            self._abandon()
            self._session.close()

    def _abandon(self) -> None:
        """Tell every chat that is left; none is, unless this thread failed."""
        with self._changed:
            self._retired = True
            left = [*self._active, *self._waiting]
            self._active, self._waiting = [], deque()
        for chat in left:
            chat.emit(Failure(error="GGUFError", message=f"the engine failed while answering with {self.model}"))

    def _admit(self) -> bool:
        """Seat waiting chats, first come first served; False when retired with nothing left to say."""
        with self._changed:
            while not self._active and not self._waiting:
                if self._retired:
                    return False
                self._changed.wait()
            while self._waiting and self._free:
                chat = self._waiting.popleft()
                chat.sequence = self._free.popleft()
                self._active.append(chat)
        return True

    def _turn(self, chat: Chat) -> None:
        """One step of one chat; an error ends that chat only."""
        try:
            reason = "cancelled" if chat.cancelled.is_set() else self._step(chat)
            if reason:
                self._finish(chat, reason)
        except PerennialError as error:
            self._leave(chat)
            chat.emit(Failure(error=type(error).__name__, message=str(error)))

    def _step(self, chat: Chat) -> Reason | None:
        session = self._session
        if chat.row is None:
            self._read(chat)
            return None
        token = sample(chat.row, chat.request.temperature, chat.request.top_p, chat.generator)
        if session.ends(token):
            return "stop"
        chat.written += 1
        self._show(chat, chat.filter.push(chat.decoder.decode(chat.marks.get(token) or session.piece(token))))
        if chat.filter.stopped:
            return "stop"
        if chat.written >= chat.limit:
            return "length"
        chat.row = self._checked(session.feed([token], chat.sequence)[0])
        return None

    def _read(self, chat: Chat) -> None:
        """The prompt's next chunk; whole chunks kept from the chat before on this sequence are not computed again."""
        session = self._session
        if not chat.begun:
            session.resume(chat.tokens, chat.sequence)
            chat.begun = True
        row = session.read_chunk(chat.tokens, chat.sequence)
        if session.length(chat.sequence) == len(chat.tokens):
            chat.row = self._checked(row)

    def _checked(self, row: Row) -> Row:
        if not bool(np.isfinite(row).all()):
            raise GGUFError(f"model {self.model} computed logits that are not finite; its weights are bad")
        return row

    def _finish(self, chat: Chat, reason: Reason) -> None:
        if reason != "cancelled" and not chat.filter.stopped:
            tail = chat.filter.push(chat.decoder.decode(b"", final=True))
            self._show(chat, tail + chat.filter.rest())
        self._leave(chat)
        chat.emit(End(reason=reason, completion_tokens=chat.written))

    def _leave(self, chat: Chat) -> None:
        with self._changed:
            self._active.remove(chat)
            self._free.append(chat.sequence)

    @staticmethod
    def _show(chat: Chat, text: str) -> None:
        text = text.replace("\0", "")  # which is refused in what comes in, so the chat could not be continued
        if text:
            chat.emit(Text(text=text))


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that begins `mark`."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
