"""An upstream that says exactly what a test writes, byte for byte, and keeps what it was asked."""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

OK = b"HTTP/1.1 200 OK\r\n"
Answer = Sequence[bytes] | Callable[[bytes, socket.socket], None]


class Scripted:
    """`script` is written piece by piece to whoever asks; an empty piece waits a moment. Then the connection closes, unless
    `keeps` says that it stays for the next request."""

    def __init__(self) -> None:
        self.script: Answer = ()
        self.keeps = False
        self.asked: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.left = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def says(self, *pieces: bytes, keeps: bool = False) -> None:
        self.script, self.keeps = pieces, keeps
        self.asked.clear()
        self.left.clear()

    def head(self, number: int = -1) -> dict[str, str]:
        """The headers of a request that it got, lower-case; `:line` is the first line."""
        lines = self.asked[number].partition(b"\r\n\r\n")[0].decode("utf-8").split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:])
        return {":line": lines[0]} | {name.lower(): value for name, _, value in pairs}

    def body(self, number: int = -1) -> bytes:
        return self.asked[number].partition(b"\r\n\r\n")[2]


def whole(body: bytes | dict[str, Any], *headers: str, status: str = "200 OK") -> bytes:
    """An answer with a length."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, f"Content-Length: {len(raw)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def chunked(*pieces: bytes, end: bool = True, head: str = "Content-Type: text/event-stream") -> list[bytes]:
    """A stream in these pieces, a moment apart; without an `end` it breaks off."""
    out = [OK + head.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"]
    for piece in pieces:
        out += [b"%x\r\n%b\r\n" % (len(piece), piece), b""]
    return [*out, b"0\r\n\r\n"] if end else out


def event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def completion(text: str, id: str, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"} | choice]
    return {"id": id, "object": "chat.completion", "created": 1, "model": "m-1", "choices": choices}


@contextmanager
def scripted() -> Iterator[Scripted]:
    upstream = Scripted()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            upstream.connections += 1
            while (request := _read(self.request)) is not None:
                upstream.asked.append(request)
                _answer(upstream, self.request)
                if not upstream.keeps:
                    return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        upstream.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield upstream
        server.shutdown()


def _answer(upstream: Scripted, connection: socket.socket) -> None:
    try:
        if callable(upstream.script):
            upstream.script(upstream.asked[-1], connection)
            return
        for piece in upstream.script:
            if piece:
                connection.sendall(piece)
            else:
                time.sleep(0.01)
    except OSError:
        upstream.left.set()


def _read(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = _receive(connection)
        if not piece:
            return None
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(rest) < length:
        rest += _receive(connection)
    return head + b"\r\n\r\n" + rest


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""
