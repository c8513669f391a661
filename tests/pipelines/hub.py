"""A stand-in for the hub: the few endpoints that huggingface_hub's own client asks, on 127.0.0.1."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]


@dataclass
class Hub:
    """Models and data sets with their commits; `branches` says where each revision points now, `asked` what was asked.

    Of a model in `gated` it lists the files and gives none.
    """

    url: str = ""
    commits: dict[str, dict[str, Files]] = field(default_factory=dict)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    gated: set[str] = field(default_factory=set)

    def push(self, model: str, folder: Path, branch: str = "main", **changes: bytes) -> str:
        """A new commit of the files in a folder, to which the branch points from now on."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        files |= changes
        digest = hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()
        self.commits.setdefault(model, {})[digest] = files
        self.branches.setdefault(model, {})[branch] = digest
        return digest

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path."""
        self.asked.append(path)
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] == "api":  # api/models/NAME/MODEL/revision/main, api/datasets/...
            model, what, revision = "/".join(parts[2:4]), parts[4], parts[5]
        else:  # NAME/MODEL/resolve/main/FILE, datasets/NAME/SET/resolve/main/FOLDER/FILE
            parts = parts[1:] if parts[0] == "datasets" else parts
            model, what, revision = "/".join(parts[:2]), parts[2], parts[3]
        if model not in self.commits:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        commit = self.branches[model].get(revision, revision)
        if commit not in self.commits[model]:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        files = self.commits[model][commit]
        if what == "revision":
            siblings = [{"rfilename": name} for name in files]
            return 200, {}, json.dumps({"id": model, "sha": commit, "siblings": siblings}).encode()
        if what == "tree":
            rows = [
                {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}
                for name, content in files.items()
            ]
            return 200, {}, json.dumps(rows).encode()
        if model in self.gated:
            return 401, {"X-Error-Code": "GatedRepo"}, b"{}"
        content = files["/".join(parts[4:])]
        return 200, {"ETag": f'"{_blob(content)}"', "X-Repo-Commit": commit}, content


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A running hub without models."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.answer(urlsplit(self.path).path)
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
