"""The rows that training reads of a chat: each a chat as it was served, up to an answer of the model.

system, A?, a, B?, b   one row where the template only appends
system, A?, a          two where it writes `a` otherwise once there is a `b` (Qwen3 takes its reasoning away)
system, A?, a, B?, b
system, B?, b          and where all of it is too long: old turns go, the system prompt and the answer stay
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.messages import from_start, starts_of
from pipelines.records import Turn


class Encoded(NamedTuple):
    """A row as ids: `mask` says which get loss, `answer` which belong to a trained answer, masked words included."""

    ids: list[int]
    mask: list[bool]
    answer: list[bool]

    @property
    def prompt(self) -> int:
        """How many ids stand before the last answer."""
        return max((place + 1 for place, on in enumerate(self.answer) if not on), default=0)


class Rows(NamedTuple):
    """`shortened`: an old turn was dropped, or an answer that does not fit even so."""

    rows: list[Encoded]
    shortened: bool


Encode = Callable[[Sequence[Turn]], Encoded]


def rows_of(turns: Sequence[Turn], encode: Encode, max_tokens: int | None) -> Rows:
    """The trained answers of a chat, each in a row with the others that read the same ids up to it.

    What is longer than `max_tokens` loses its oldest turns, but for the system prompt, until its last answer fits; the
    answers that went with them get a row of their own.

    Args:
        encode: a chat up to the end of its last turn, an answer, those before it being the prompt.
    """
    pending = [place for place, turn in enumerate(turns) if turn.trained]
    rows: list[Encoded] = []
    shortened = False
    while pending:
        last = pending[-1]
        start = first_start(turns[: last + 1], encode, max_tokens)
        shortened |= start is None or start > starts_of(turns)[0]
        if start is None:
            pending.pop()
            continue
        inside = [place for place in pending if place >= start]
        rows = _joined([encode(from_start(turns[: place + 1], start)) for place in inside]) + rows
        pending = pending[: len(pending) - len(inside)]
    return Rows(rows, shortened)


def first_start(turns: Sequence[Turn], encode: Encode, max_tokens: int | None) -> int | None:
    """The earliest turn from which on the answer that ends these fits; None where it is too long by itself."""

    def fits(start: int) -> bool:
        return max_tokens is None or len(encode(from_start(turns, start)).ids) <= max_tokens

    starts = starts_of(turns[:-1])
    if fits(starts[0]):
        return starts[0]
    place = bisect_left(starts, True, lo=1, key=fits)
    return starts[place] if place < len(starts) else None


def _joined(chats: Sequence[Encoded]) -> list[Encoded]:
    """Answers to growing chats, in one row as long as each reads the ids of those before it."""
    rows: list[Encoded] = []
    for one in chats:
        known = rows[-1] if rows else Encoded([], [], [])
        length = len(known.ids)
        if length <= one.prompt and one.ids[:length] == known.ids:
            rows[-1:] = [Encoded(one.ids, known.mask + one.mask[length:], known.answer + one.answer[length:])]
        else:
            rows.append(one)
    return rows
