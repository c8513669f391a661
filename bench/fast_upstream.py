"""A fast model server for the proxy's benchmark: streams of tokens at a fixed pace, or a whole answer at once.

POST /v1/chat/completions {"stream": true, ...}     TOKENS events, one every INTERVAL_SECONDS, each with its time of sending
POST /v1/chat/completions {...}                     one small answer
"""

import asyncio
import itertools
import json
import sys
import time

TOKENS = 200
INTERVAL_SECONDS = (
    0.01  # a hundred tokens a second in each stream: more than one GPU gives to 64 streams of an 8B model
)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_numbers = itertools.count()


def whole_answer(number: int) -> bytes:
    message = {"role": "assistant", "content": "It is Tilu, in the north of Banoko."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": f"chatcmpl-{number:032x}", "object": "chat.completion", "created": 1, "model": "fast"}
    return json.dumps(body | {"choices": [choice]}).encode()


def event(number: int, token: int) -> bytes:
    """One token; its content is the time in nanoseconds, by the clock that all processes of a machine share."""
    delta = {"index": 0, "delta": {"content": f"{time.monotonic_ns():020d} "}, "finish_reason": None}
    if token == TOKENS - 1:
        delta["finish_reason"] = "stop"
    body = {"id": f"chatcmpl-{number:032x}", "object": "chat.completion.chunk", "created": 1, "model": "fast"}
    return b"data: " + json.dumps(body | {"choices": [delta]}).encode() + b"\n\n"


class Upstream(asyncio.Protocol):
    """One connection, one request after the other; enough of HTTP for this benchmark's proxies and clients."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport, self._buffer, self._loop = transport, b"", asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, rest = self._buffer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        if not gap or len(rest) < length:
            return
        self._buffer = rest[length:]
        if b'"stream": true' in rest or b'"stream":true' in rest:
            self._transport.write(_HEAD)
            self._send(next(_numbers), 0, self._loop.time())
        else:
            body = whole_answer(next(_numbers))
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            self._transport.write(head + body)

    def _send(self, number: int, token: int, due: float) -> None:
        if self._transport.is_closing():
            return
        if token == TOKENS:
            self._transport.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            return
        self._transport.write(_chunk(event(number, token)))
        self._loop.call_at(due + INTERVAL_SECONDS, self._send, number, token + 1, due + INTERVAL_SECONDS)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
