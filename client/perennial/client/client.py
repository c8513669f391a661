"""The client for programs that do not use asyncio."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self, Unpack

from perennial.client import shapes
from perennial.client.core import Core
from perennial.client.options import (
    ClientOptions,
    ComparisonFields,
    ConversationFields,
    FeedbackFields,
    Options,
    VoteFields,
)
from perennial.client.records import Receipt, Status
from perennial.client.shapes import Thumb

DEFAULT_URL = "http://127.0.0.1:8600"


class Client:
    """Hands over to a Perennial service. Calls return at once, from any thread, and raise nothing.

    One thread delivers: conversations in batches, again after a pause where the service is away, each item once however
    often it is sent. What the service will not store goes to `on_reject` and to `rejected.ndjson` in the spool.
    """

    def __init__(self, url: str = DEFAULT_URL, **options: Unpack[ClientOptions]) -> None:
        """Options: see Options. Raises ValueError for an address or a key that can never work."""
        self._core = Core(url, Options(**options))

    def conversation(self, messages: Sequence[object], *, user: str, **fields: Unpack[ConversationFields]) -> Receipt:
        """Hands a conversation over: its messages as OpenAI's API has them, as dicts or as objects of the openai package.

        Without an `id` it gets one. The same id again, with further messages, appends them.
        """
        return self._core.hand_over(
            "conversation", lambda: shapes.conversation_item(messages, user, self._core.fields(**fields))
        )

    def vote(self, message: str, value: Thumb, *, user: str, **fields: Unpack[VoteFields]) -> Receipt:
        """Hands a thumb on a message over, also before its conversation; None takes this user's vote back."""
        return self._core.hand_over(
            "vote", lambda: shapes.vote_item(message, value, self._core.fields(user=user, **fields))
        )

    def correction(self, message: str, content: str | None, *, user: str, **fields: Unpack[FeedbackFields]) -> Receipt:
        """Hands a better answer in place of a message over; None takes this user's correction back."""
        return self._core.hand_over(
            "correction", lambda: shapes.correction_item(message, content, self._core.fields(user=user, **fields))
        )

    def comparison(
        self,
        chosen: object,
        rejected: object,
        *,
        user: str,
        prompt: Sequence[object] | None = None,
        take_back: bool = False,
        **fields: Unpack[ComparisonFields],
    ) -> Receipt:
        """Hands over that one answer is preferred to another: ids of messages, or answers (texts or messages) with their
        `prompt`. `take_back` with the same words takes it back."""
        return self._core.hand_over(
            "comparison",
            lambda: shapes.comparison_item(chosen, rejected, prompt, take_back, self._core.fields(user=user, **fields)),
        )

    def flush(self, seconds: float | None = None) -> bool:
        """Waits until what was handed over before is stored or rejected; false if time ran out first."""
        return self._core.flush(seconds)

    def status(self) -> Status:
        """How many wait, and what became of the others."""
        return self._core.status()

    def close(self, seconds: float | None = None) -> bool:
        """Flushes, for `exit_seconds` at most unless told otherwise, and ends the thread; whether nothing is left."""
        return self._core.close(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
