"""What is sealed beside a conversation: its client id, what the app said of it, its tools, ids of other servers' answers."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pipelines.errors import ArtifactError
from service.ingest.nesting import refuse_deep
from service.ingest.wire import ToolIn


def describe(
    client_id: str,
    hints: Any = None,
    model: str | None = None,
    metadata: Any = None,
    tools: Sequence[ToolIn] = (),
    answers: Sequence[str] = (),
) -> bytes:
    """The JSON that is sealed beside a conversation; read back with `read_meta`."""
    meta = {"id": client_id, "hints": hints, "model": model, "metadata": metadata}
    more = {"tools": tools, "answers": answers}
    return msgspec.json.encode(meta | {name: value for name, value in more.items() if value})


class Meta(msgspec.Struct, frozen=True):
    """What was sealed beside a conversation; `answers` are the ids of those that another server gave (proxy/)."""

    id: str
    hints: dict[str, str | None] | None = None
    model: str | None = None
    metadata: dict[str, Any] | None = None
    tools: tuple[ToolIn, ...] = ()
    answers: tuple[str, ...] = ()


def read_meta(plain: bytes) -> Meta:
    """A conversation's unsealed metadata.

    Raises:
        ArtifactError: it is none, or nested deeper than can be read (metadata had no limit once).
    """
    try:
        return msgspec.json.decode(plain, type=Meta)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"the metadata of a conversation cannot be read ({type(error).__name__})") from None


def with_stored(meta: bytes, stored: bytes) -> bytes:
    """What is sealed beside a conversation that grows: what comes says, and what was stored where it says nothing.

    Whoever appends a turn need not repeat the definitions of tools; ids of answers add up.

    Raises:
        ArtifactError: one of both is no metadata. DataError: what was stored is nested deeper than is taken today.
    """
    refuse_deep(stored)
    new, old = read_meta(meta), read_meta(stored)
    kept = Meta(
        id=new.id,
        hints=new.hints or old.hints,
        model=new.model or old.model,
        metadata=new.metadata or old.metadata,
        tools=new.tools or old.tools,
        answers=tuple(dict.fromkeys((*old.answers, *new.answers))),
    )
    return msgspec.json.encode(kept)
