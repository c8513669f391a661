"""Connections that wait for nobody for ever: uvicorn has no time-out for half a request, and none for a slow reader.

    the head of a request     whole after head_seconds, and not larger than any browser's
    its body                  at least body_bytes every body_seconds, while we read it
    the answer                some of it read within write_seconds
    one connection too many   the one that has waited longest without a request goes; if all have one, the new one

What is cut is answered with a problem where that is still possible: 408, 431, 503, and 400 for what is no HTTP.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog

from service.web.problems import problem

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol
except ImportError:  # there is none for Windows
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol  # type: ignore[assignment]

_MAX_HEAD_BYTES = 64 << 10
_MAX_HEADERS = 200
_HEAD = "head"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long a client may take for what it owes, and how many connections there may be."""

    head_seconds: float = 10.0
    body_seconds: float = 30.0
    body_bytes: int = 3_000
    write_seconds: float = 60.0
    max_connections: int = 500


def protocol_with(limits: Limits) -> Callable[..., "LimitedProtocol"]:
    """What uvicorn.Config takes as `http`."""

    def make_protocol(*arguments: Any, **options: Any) -> LimitedProtocol:
        protocol = LimitedProtocol(*arguments, **options)
        protocol.limits = limits
        return protocol

    return make_protocol


class LimitedProtocol(_Protocol):
    """uvicorn's protocol, with a clock for what the client owes: the rest of a head or body, or to read its answer."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there, and owes the head of a request."""
        super().connection_made(transport)
        self._owed: object = None  # _HEAD, or the cycle whose body is not whole, or nothing
        self._since, self._received = self.loop.time(), 0
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._expect(_HEAD)
        if len(self.connections) > self.limits.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client, or we, ended it: nothing is owed any more."""
        super().connection_lost(exc)
        self._expect(None)
        self._stop_write_timer()

    def data_received(self, data: bytes) -> None:
        """Passes bytes on, and sees what is owed after them."""
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._is_answering and not (self.cycle and self.cycle.more_body):
            self._expect(_HEAD)
        else:
            self._expect(self.cycle if self.cycle.more_body else None)
        is_long = self._owed == _HEAD and self._received > _MAX_HEAD_BYTES
        if is_long or len(self.headers or ()) > _MAX_HEADERS:
            self._cut(431, f"the head of a request has at most {_MAX_HEAD_BYTES} bytes and {_MAX_HEADERS} headers")

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: the clock for that starts."""
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(self.limits.write_seconds, self._give_up_writing)

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        self._stop_write_timer()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP as every other mistake is answered."""
        self._cut(400, "this is no HTTP request that can be read")

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_waited_for(self) -> bool:
        """Whether an answer written now would be taken for one to the request at hand."""
        return (
            self.cycle is None
            or not self.cycle.response_started
            or (self._owed in (None, _HEAD) and not self._is_answering)
        )

    def _expect(self, owed: object) -> None:
        """Start the clock for what is owed now, unless it runs for the same already."""
        if owed is self._owed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owed = owed
        if owed is not None:
            self._start_clock()

    def _start_clock(self) -> None:
        self._since, self._received = self.loop.time(), 0
        seconds = self.limits.head_seconds if self._owed == _HEAD else self.limits.body_seconds
        self._timer = self.loop.call_later(seconds, self._look_at_clock)

    def _look_at_clock(self) -> None:
        is_body = self._owed != _HEAD
        if is_body and (self.flow.read_paused or self._received >= self.limits.body_bytes):
            self._start_clock()  # it goes on well enough, or it is we who do not read
            return
        seconds = self.limits.body_seconds if is_body else self.limits.head_seconds
        self._cut(408, f"the {'body' if is_body else 'head'} of this request was not here after {seconds:g} s")

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, LimitedProtocol) and one is not self]
        idle = [one for one in others if not one._is_answering]
        if idle:
            min(idle, key=lambda one: one._since).transport.close()
        else:
            self._cut(503, f"{self.limits.max_connections} connections are open already; try again in a moment")

    def _cut(self, status: int, sentence: str) -> None:
        """End the connection, with an answer where the client waits for one."""
        _log.info("connection_cut", status=status, owed=_HEAD if self._owed == _HEAD else "body")
        is_silent = self._owed == _HEAD and not self._received and status == 408  # a browser's spare connection
        if self._is_waited_for and not is_silent:
            answer = problem(status, sentence, {"Connection": "close"})
            head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
            head += [name + b": " + value for name, value in answer.raw_headers]
            self.transport.write(b"\r\n".join([*head, b"", bytes(answer.body)]))
        self.transport.close()

    def _give_up_writing(self) -> None:
        _log.info("connection_cut", status=0, owed="reading")
        self.transport.abort()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
