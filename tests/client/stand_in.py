"""A server that answers what a test says, for what no healthy Perennial answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Answer:
    """Status, body and headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, detail: str, **headers: str) -> Answer:
    """An answer as the service words its errors."""
    return Answer(status, {"status": status, "detail": detail}, {"Content-Type": PROBLEM, **headers})


def stored(body: Any) -> Answer:
    """An answer that everything is stored."""
    rows = [{"id": row["id"], "status": 201, "result": "created"} for row in body] if isinstance(body, list) else {}
    return Answer(200, rows)


@dataclass
class StandIn:
    """`requests` are (method, path, body) in the order they came."""

    url: str
    requests: list[tuple[str, str, Any]]

    @property
    def listed(self) -> list[list[str]]:
        """The ids of each list of conversations that came."""
        return [[row["id"] for row in body] for _, path, body in self.requests if path == "/v1/conversations"]


@contextmanager
def answering(answer: Callable[[int, Any], Answer]) -> Iterator[StandIn]:
    """A server on this machine that answers `answer(number of the request from 0, its body)`."""
    requests: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(raw) if raw else None
            requests.append((self.command, self.path, body))
            said = answer(len(requests) - 1, body)
            content = json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield StandIn(f"http://127.0.0.1:{server.server_port}", requests)
        finally:
            server.shutdown()
            thread.join()
