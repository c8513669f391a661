"""What may be said to a client, and of what is handed over."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

import httpx

from perennial.client.rejects import OnReject


@dataclass(frozen=True)
class Options:
    """How a client behaves.

    Args:
        key: an API key with the scope `ingest`.
        app: for keys of every app; else the key's own app, or the default.
        spool: a folder of this machine for what waits; without it that is in memory, and ends with the process.
        raise_errors: every call waits for its answer and raises what goes wrong; nothing waits in between.
        on_reject: called with each Rejection, on the client's thread.
        timeout_seconds: of one request; with `raise_errors` of a call, retries included.
        exit_seconds: how long the end of the process, or close(), may wait for what is left.
        queue_items, queue_bytes: what may wait in memory. Beyond it, and beyond
        spool_bytes, of the spool folder: what waits already is kept, what is new is dropped and counted.
        verify, proxy, transport: as httpx has them. Proxies of the environment are not used.
    """

    key: str | None = None
    app: str | None = None
    spool: str | Path | None = None
    raise_errors: bool = False
    on_reject: OnReject | None = None
    timeout_seconds: float = 30.0
    exit_seconds: float = 5.0
    queue_items: int = 10_000
    queue_bytes: int = 64 << 20
    spool_bytes: int = 256 << 20
    verify: ssl.SSLContext | bool = True
    proxy: str | None = None
    transport: httpx.BaseTransport | None = None


class ClientOptions(TypedDict, total=False):
    """The fields of Options, for signatures."""

    key: str | None
    app: str | None
    spool: str | Path | None
    raise_errors: bool
    on_reject: OnReject | None
    timeout_seconds: float
    exit_seconds: float
    queue_items: int
    queue_bytes: int
    spool_bytes: int
    verify: ssl.SSLContext | bool
    proxy: str | None
    transport: httpx.BaseTransport | None


class ConversationFields(TypedDict, total=False):
    """What a conversation may have beside its messages and its user. Nobody learns from one without `consent`."""

    id: str
    consent: bool | None
    satisfaction: int | None
    votes: Sequence[Mapping[str, Any]]
    corrections: Sequence[Mapping[str, Any]]
    comparisons: Sequence[Mapping[str, Any]]
    tools: Sequence[object]
    hints: Mapping[str, str] | None
    model: str | None
    time: datetime | str | None
    metadata: Mapping[str, Any] | None
    app: str | None


class FeedbackFields(TypedDict, total=False):
    """What a vote, a correction or a comparison may have beside what it says and who says it."""

    time: datetime | str | None
    source: Literal["person", "judge", "implicit"] | None
    app: str | None


class VoteFields(FeedbackFields, total=False):
    """What a vote may have too: a tag of up to 64 characters, and what the person wrote."""

    reason: str | None
    comment: str | None


class ComparisonFields(FeedbackFields, total=False):
    """What a comparison with its own prompt may have too: it is stored as a conversation."""

    id: str
    consent: bool | None
    hints: Mapping[str, str] | None
    model: str | None
    metadata: Mapping[str, Any] | None
