"""The hot path: one request on to the upstream, and its answer back, piece by piece as it comes.

Nothing is read of either but their headers. Whoever reads slowly slows the upstream down (both connections have bounded
buffers), and a client that leaves ends the upstream's work. What is to be recorded is handed over after the last byte.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from uuid import uuid4

import aiohttp
from starlette.types import Receive, Scope, Send
from yarl import URL

from service.proxy.exchange import End, Exchange, Kind, Who
from service.proxy.recorder import Recorder
from service.proxy.upstream import Upstream, UpstreamGone, UpstreamSilent, for_client, for_upstream

CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 4.0  # less than any server keeps an idle connection (uvicorn: 5), so that none is used as it closes
_STALE_SECONDS = 0.5
_ANSWERS_UNDER_WAY = 8
_UNASKED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True)
class Recording:
    """What a request is recorded as."""

    kind: Kind
    who: Who


@dataclass
class Room:
    """Bytes that all answers under way may still hold in memory."""

    left: int


class ClientLeft(Exception):
    """The client closed its connection before it had the whole answer."""


class Passage:
    """The way to one upstream. `recorder` takes what is to be recorded.

    `most_bytes` has an answer that is recorded, and all together that are under way have a few times as much; what is longer
    only passes.
    """

    def __init__(self, upstream: Upstream, recorder: Recorder, silence_seconds: float, most_bytes: int) -> None:
        self._upstream, self._recorder = upstream, recorder
        self._silence_seconds, self._most_bytes = silence_seconds, most_bytes
        self._room = Room(_ANSWERS_UNDER_WAY * most_bytes)
        self._kept_open: aiohttp.ClientSession
        self._afresh: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._kept_open = self._session(aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS))
        self._afresh = self._session(aiohttp.TCPConnector(limit=0, force_close=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kept_open.close()
        await self._afresh.close()

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self._silence_seconds)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=timeout,
            skip_auto_headers=_UNASKED,
        )

    async def carry(
        self, scope: Scope, raw_path: bytes, receive: Receive, send: Send, recording: Recording | None
    ) -> None:
        """Answer one request with what the upstream says.

        Raises:
            UpstreamGone, UpstreamSilent: there is no answer, and nothing was sent to the client.
            DataError: the path is none of the upstream's.
        """
        url, at = self._upstream.url(raw_path, scope["query_string"]), time.time()
        headers = for_upstream(scope["headers"], recording is not None)
        body = await _read_body(receive)
        task = asyncio.current_task()
        assert task is not None
        watch = asyncio.create_task(_watch(receive, task))
        answer = _Answer(send, self._room, self._most_bytes if recording else 0)
        try:
            await self._exchange(scope["method"], url, headers, body, answer)
        except asyncio.CancelledError:
            if not watch.done():  # it is the server that ends, and not the client that left
                raise
            task.uncancel()
            answer.end = "left"
        finally:
            watch.cancel()
            if recording is not None and 200 <= answer.status < 300:
                self._record(_exchange(recording, at, scope, body, answer), answer.is_too_long)
            answer.let_go()
        if answer.end == "whole":
            await send({"type": "http.response.body", "body": b""})

    def _record(self, exchange: Exchange, is_too_long: bool) -> None:
        if is_too_long:
            self._recorder.miss("too_long")
        else:
            self._recorder.put(exchange)

    async def _exchange(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: bytes, answer: "_Answer"
    ) -> None:
        asked_at = time.monotonic()
        try:
            try:
                await self._ask(self._kept_open, method, url, headers, body, answer)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError) or not self._was_idle(answer, asked_at):
                    raise
                await self._ask(self._afresh, method, url, headers, body, answer)
            answer.end = "whole"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not answer.status:
                raise self._explained(error) from error

    def _was_idle(self, answer: "_Answer", asked_at: float) -> bool:
        """Whether a connection seems to have been closed before it was used again, so that nothing was asked yet."""
        return not answer.status and time.monotonic() - asked_at < _STALE_SECONDS

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: list[tuple[str, str]],
        body: bytes,
        answer: "_Answer",
    ) -> None:
        async with session.request(method, url, headers=headers, data=body or None, allow_redirects=False) as response:
            await answer.begin(response)
            async for piece in response.content.iter_any():
                await answer.add(piece)

    def _explained(self, error: Exception) -> UpstreamGone | UpstreamSilent:
        where = self._upstream.origin
        if isinstance(error, aiohttp.ServerTimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            return UpstreamSilent(
                f"the upstream {where} said nothing for {self._silence_seconds:g} seconds; it may be loading a model: "
                "send this again, or raise PERENNIAL_UPSTREAM_SILENCE_SECONDS"
            )
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return UpstreamGone(
                f"the upstream {where} cannot be reached ({_why(error)}); start it, or correct --upstream"
            )
        return UpstreamGone(f"the upstream {where} ended before it answered ({_why(error)}); send this again")


class _Answer:
    """An answer on its way to the client. `pieces` are what has passed of it, up to `most_bytes` and while there is room."""

    def __init__(self, send: Send, room: Room, most_bytes: int) -> None:
        self._send, self._room, self._most_bytes = send, room, most_bytes
        self._held = 0
        self.status = 0
        self.end: End = "broken"
        self.pieces: list[bytes] = []
        self.is_too_long = False
        self.kind = self.encoding = ""

    def let_go(self) -> None:
        self._room.left += self._held
        self._held = 0
        self.pieces.clear()

    async def begin(self, response: aiohttp.ClientResponse) -> None:
        headers = for_client(response.raw_headers)
        self.kind = response.headers.get("Content-Type", "")
        self.encoding = response.headers.get("Content-Encoding", "")
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        self.status = response.status

    async def add(self, piece: bytes) -> None:
        if self._most_bytes and not self.is_too_long:
            self._keep(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    def _keep(self, piece: bytes) -> None:
        size = len(piece)
        self._held += size
        self._room.left -= size
        self.pieces.append(piece)
        if self._held > self._most_bytes or self._room.left < 0:
            self.is_too_long = True
            self.let_go()


def _exchange(recording: Recording, at: float, scope: Scope, body: bytes, answer: _Answer) -> Exchange:
    encodings = [value for name, value in scope["headers"] if name == b"content-encoding"]
    return Exchange(
        id=uuid4().hex,
        kind=recording.kind,
        who=recording.who,
        at=at,
        request=body,
        request_encoding=encodings[0].decode("latin-1") if encodings else "",
        answer=b"".join(answer.pieces),
        answer_encoding=answer.encoding,
        is_stream=answer.kind.startswith("text/event-stream"),
        end=answer.end,
    )


async def _read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _watch(receive: Receive, task: "asyncio.Task[object]") -> None:
    """End the task once the client is gone."""
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        task.cancel()


def _why(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
