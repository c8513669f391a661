"""The client for programs that use asyncio."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, Unpack

from perennial.client import shapes
from perennial.client.client import DEFAULT_URL
from perennial.client.core import Core
from perennial.client.options import (
    ClientOptions,
    ComparisonFields,
    ConversationFields,
    FeedbackFields,
    Options,
    VoteFields,
)
from perennial.client.records import Item, Kind, Receipt, Status
from perennial.client.shapes import Thumb


class AsyncClient:
    """As Client, to await. Handing over takes some tens of microseconds and blocks no event loop; delivery has its own thread."""

    def __init__(self, url: str = DEFAULT_URL, **options: Unpack[ClientOptions]) -> None:
        """Options: see Options. Raises ValueError for an address or a key that can never work."""
        self._core = Core(url, Options(**options))

    async def conversation(
        self, messages: Sequence[object], *, user: str, **fields: Unpack[ConversationFields]
    ) -> Receipt:
        """As Client.conversation."""
        return await self._hand_over(
            "conversation", lambda: shapes.conversation_item(messages, user, self._core.fields(**fields))
        )

    async def vote(self, message: str, value: Thumb, *, user: str, **fields: Unpack[VoteFields]) -> Receipt:
        """As Client.vote."""
        return await self._hand_over(
            "vote", lambda: shapes.vote_item(message, value, self._core.fields(user=user, **fields))
        )

    async def correction(
        self, message: str, content: str | None, *, user: str, **fields: Unpack[FeedbackFields]
    ) -> Receipt:
        """As Client.correction."""
        return await self._hand_over(
            "correction", lambda: shapes.correction_item(message, content, self._core.fields(user=user, **fields))
        )

    async def comparison(
        self,
        chosen: object,
        rejected: object,
        *,
        user: str,
        prompt: Sequence[object] | None = None,
        take_back: bool = False,
        **fields: Unpack[ComparisonFields],
    ) -> Receipt:
        """As Client.comparison."""
        return await self._hand_over(
            "comparison",
            lambda: shapes.comparison_item(chosen, rejected, prompt, take_back, self._core.fields(user=user, **fields)),
        )

    async def flush(self, seconds: float | None = None) -> bool:
        """As Client.flush."""
        return await asyncio.to_thread(self._core.flush, seconds)

    def status(self) -> Status:
        """As Client.status."""
        return self._core.status()

    async def close(self, seconds: float | None = None) -> bool:
        """As Client.close."""
        return await asyncio.to_thread(self._core.close, seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _hand_over(self, kind: Kind, make: Callable[[], Item]) -> Receipt:
        """In a thread of asyncio's where the call waits for its answer."""
        if self._core.is_strict:
            return await asyncio.to_thread(self._core.hand_over, kind, make)
        return self._core.hand_over(kind, make)
