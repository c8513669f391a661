"""An Ollama that keeps to its API: blobs by digest, create from what was sent, copy, delete, tags; it refuses the rest."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CREATE_KEYS = {
    "model",
    "from",
    "files",
    "adapters",
    "template",
    "license",
    "system",
    "parameters",
    "messages",
    "stream",
}


@dataclass
class Ollama:
    """What it holds, what it was asked in order, and the paths that it refuses on purpose."""

    url: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body, by the API's own rules."""
        self.asked.append(f"{method} {path.partition(':')[0]}")
        if path in self.broken:
            return 500, {"error": "model runner has unexpectedly stopped"}
        if path.startswith("/api/blobs/"):
            return self._blob(method, path.removeprefix("/api/blobs/"), body)
        asked = json.loads(body) if body else {}
        routes = {
            ("POST", "/api/create"): self._create,
            ("POST", "/api/copy"): self._copy,
            ("POST", "/api/chat"): self._chat,
            ("DELETE", "/api/delete"): self._delete,
            ("GET", "/api/tags"): self._tags,
        }
        route = routes.get((method, path))
        return route(asked) if route else (405, {"error": "method not allowed"})

    def _blob(self, method: str, digest: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if method == "HEAD":
            return (200 if digest in self.blobs else 404), {}
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            return 400, {"error": "digest does not match the file"}
        self.blobs[digest] = body
        return 201, {}

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if unknown := set(asked) - CREATE_KEYS:
            return 400, {"error": f"unknown field {unknown}"}
        files = {**asked.get("files", {}), **asked.get("adapters", {})}
        if "model" not in asked or not asked.get("files") or not all(one in self.blobs for one in files.values()):
            return 400, {"error": "neither 'from' or 'files' was specified, or a file was never sent"}
        if not all(self.blobs[one].startswith(b"GGUF") for one in files.values()):
            return 400, {"error": "invalid file magic"}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        self.models[_full(asked["model"])] = {"digest": digest, **asked}
        return 200, {"status": "success"}

    def _copy(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if _full(asked["source"]) not in self.models:
            return 404, {"error": f"model {asked['source']!r} not found"}
        self.models[_full(asked["destination"])] = self.models[_full(asked["source"])]
        return 200, {}

    def _chat(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if _full(asked["model"]) not in self.models:
            return 404, {"error": f"model {asked['model']!r} not found"}
        return 200, {"message": {"role": "assistant", "content": "Hello"}, "done": True}

    def _delete(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return (200, {}) if self.models.pop(_full(asked["model"]), None) else (404, {"error": "not found"})

    def _tags(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {
            "models": [{"name": name, "model": name, "digest": one["digest"]} for name, one in self.models.items()]
        }


@contextmanager
def listening(answer: Any) -> Iterator[str]:
    """The address of a server that answers `answer(method, path, body, headers)` with a status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, said = answer(self.command, self.path, body, dict(self.headers))
            text = b"" if self.command == "HEAD" else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_HEAD = do_DELETE = _do

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def ollama() -> Iterator[Ollama]:
    """One that holds nothing yet."""
    stub = Ollama()
    with listening(lambda method, path, body, headers: stub.answer(method, path, body)) as stub.url:
        yield stub


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"
