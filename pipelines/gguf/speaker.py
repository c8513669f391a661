"""One thread that owns one loaded model and answers several chats with it: a token of each in one go, prompts in chunks between."""

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from pipelines.errors import Busy, GGUFError, InputError, PerennialError, QueueFull
from pipelines.gguf.chats import Chat, Emit, Form, StopFilter
from pipelines.gguf.protocol import ChatRequest, End, Failure, Reason
from pipelines.gguf.sampling import Sampler
from pipelines.gguf.session import Row, Session

_MOST_WAITING = 64


class Speaker:
    """Answers chats with one session, which it closes when it is retired and its last chat has ended.

    Several chats run side by side in sequences of their own; each round gives every one of them a token, `together` of them
    in one forward, so a long answer does not hold up a short one. What a chat yields is what it would yield alone as long as
    no more run together than `Session.alike`, which is the default.
    """

    def __init__(self, session: Session, *, model: str, sha256: str, together: int | None = None) -> None:
        self._session, self.model, self.sha256 = session, model, sha256
        self._together = together or session.alike()
        self._free = deque(range(session.sequences))
        self._waiting: deque[Chat] = deque()
        self._active: list[Chat] = []
        self._changed = threading.Condition()
        self._retired = False
        self._thread = threading.Thread(target=self._run, name=f"speaker-{model}", daemon=True)
        self._thread.start()

    def submit(
        self, prompt: str, request: ChatRequest, emit: Emit, marks: Sequence[str] = (), form: Form | None = None
    ) -> Chat:
        """Queue a rendered prompt; `emit` is called from our thread with each event of the answer.

        Tokens whose text is one of `marks` are shown, though they be control tokens.

        Raises:
            InputError: the prompt does not fit the context, or llama.cpp cannot follow the form's grammar.
            QueueFull: too many chats wait.
            Busy: this speaker was retired meanwhile.
        """
        session = self._session
        generator = np.random.default_rng(None if request.seed is None else request.seed % (1 << 63))
        with self._changed:
            self._require_open()
            if sum(not chat.cancelled.is_set() for chat in self._waiting) >= _MOST_WAITING:
                raise QueueFull(f"{_MOST_WAITING} chats are waiting already; try again later")
            tokens, limit = self._fit(prompt, request.max_tokens)
            sampler = Sampler(request, tokens, generator, session.ends)
            chat = Chat(request, tokens, limit, emit, sampler, StopFilter(request.stop), session.marks(marks))
            if form is not None:
                chat.form, chat.form_after = session.grammar(form.grammar), form.after
                sampler.grammar = None if form.after else chat.form
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
                speaking = [chat for chat in list(self._active) if self._turn(chat)]
                for first in range(0, len(speaking), self._together):
                    self._go_on(speaking[first : first + self._together])
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

    def _turn(self, chat: Chat) -> bool:
        """One step of one chat, up to its next token; whether that is to be computed on. An error ends that chat only."""
        try:
            reason = "cancelled" if chat.cancelled.is_set() else self._step(chat)
            if reason:
                self._finish(chat, reason)
            return not reason and chat.token >= 0
        except PerennialError as error:
            self._fail(chat, error)
            return False

    def _step(self, chat: Chat) -> Reason | None:
        """Choose its next token, or read its prompt's next chunk."""
        session = self._session
        chat.token = -1
        if chat.row is None:
            self._read(chat)
            return None
        token = chat.sampler.choose(chat.row)
        if session.ends(token):
            return "stop"
        chat.written += 1
        chat.note(token, lambda one: chat.marks.get(one) or session.piece(one))
        chat.say(chat.marks.get(token) or session.piece(token))
        if chat.filter.stopped:
            return "stop"
        if chat.written >= chat.limit:
            return "length"
        chat.token = token
        return None

    def _go_on(self, chats: Sequence[Chat]) -> None:
        """Compute the logits after each one's token, all in one forward."""
        try:
            rows = self._session.feed_each({chat.sequence: chat.token for chat in chats})
        except PerennialError as error:
            for chat in chats:
                self._fail(chat, error)
            return
        for chat in chats:
            try:
                chat.row = self._checked(rows[chat.sequence])
            except PerennialError as error:
                self._fail(chat, error)

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
        if reason != "cancelled":
            chat.finish()
        self._leave(chat)
        chat.emit(End(reason=reason, completion_tokens=chat.written))

    def _fail(self, chat: Chat, error: PerennialError) -> None:
        self._leave(chat)
        chat.emit(Failure(error=type(error).__name__, message=str(error)))

    def _leave(self, chat: Chat) -> None:
        chat.close()
        with self._changed:
            self._active.remove(chat)
            self._free.append(chat.sequence)
