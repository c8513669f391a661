"""Greedy answers to many prompts, several side by side in forwards of one fixed size.

What one answer says depends on its prompt alone: a forward always has the session's number of conversations in it, idle
ones with a token that is forgotten, so the same matrix kernels run whoever else is answered.
"""

import codecs
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.gguf.session import Row, Session


class Prompt(NamedTuple):
    """A tokenized prompt; its answer ends at one of the `stop` texts, which is left out, or at `max_tokens`."""

    ids: Sequence[int]
    max_tokens: int
    stop: Sequence[str] = ()


class Written(NamedTuple):
    """An answer; `cut` if it ended for want of tokens, not by itself."""

    text: str
    cut: bool


def write_each(session: Session, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Written]]:
    """The place of a prompt and its answer, each as soon as it is written; a new prompt takes the place of a finished one.

    Only for a session that is large enough for the longest prompt with its answer.
    """
    waiting = deque(enumerate(prompts))
    free, seated = deque(range(session.sequences)), dict[int, _Answer]()
    while waiting or seated:
        while waiting and free:
            place, prompt = waiting.popleft()
            answer = _Answer(session, place, prompt)
            if prompt.max_tokens < 1 or answer.take(session.read(prompt.ids, free[0])):
                yield place, answer.written()
            else:
                seated[free.popleft()] = answer
        if not seated:
            continue
        rows = session.feed_each({sequence: answer.token for sequence, answer in seated.items()}, padded=True)
        for sequence, row in rows.items():
            if seated[sequence].take(row):
                answer = seated.pop(sequence)
                session.rewind(len(answer.prompt.ids), sequence)
                free.append(sequence)
                yield answer.place, answer.written()


class _Answer:
    """One answer in the making."""

    def __init__(self, session: Session, place: int, prompt: Prompt) -> None:
        self._session, self.place, self.prompt, self.token = session, place, prompt, -1
        self._decoder, self._text = codecs.getincrementaldecoder("utf-8")("replace"), ""
        self._tokens, self._ended = 0, False

    def take(self, row: Row) -> bool:
        """Go on with the likeliest token; whether the answer is complete."""
        self.token = int(row.argmax())
        if self._session.ends(self.token):
            self._ended = True
            return True
        self._text += self._decoder.decode(self._session.piece(self.token))
        self._tokens += 1
        self._ended = first_stop(self._text, self.prompt.stop) is not None
        return self._ended or self._tokens == self.prompt.max_tokens

    def written(self) -> Written:
        text = self._text + self._decoder.decode(b"", final=True)
        return Written(text[: first_stop(text, self.prompt.stop)], cut=not self._ended)


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first of the stop texts begins."""
    return min((text.index(mark) for mark in stop if mark and mark in text), default=None)
