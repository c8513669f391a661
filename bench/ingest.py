"""Ingest: Perennial's server against a naive FastAPI handler, 16 clients, one conversation per request.

Both are real uvicorn processes on 127.0.0.1 with SQLite in WAL mode and synchronous=FULL, and both answer after COMMIT.
The naive one validates with pydantic and stores plain text in three small tables with `Session.add`; ours also checks
the API key, hashes ids, seals every text and keeps its audit of votes.

    python -m bench.ingest
"""

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ports import free_port

CLIENTS = 16
SECONDS = 5.0
WARM_UP_SECONDS = 1.0
TURNS = 2  # each server is measured this often, by turns
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
class Load:
    """What one run of the clients measured; latencies in milliseconds."""

    stored: int
    per_second: float
    p50_ms: float
    p99_ms: float


def run(seconds: float = SECONDS) -> dict[str, Any]:
    """Both servers' throughput and latencies, and the two ratios that count (targets: 3.0 or more, 0.2 or less)."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        with serving(_NAIVE, Path(folder) / "naive") as naive, serving(_OURS, Path(folder) / "ours") as ours:
            loads: dict[str, list[Load]] = {"naive": [], "perennial": []}
            for turn in range(TURNS):
                for name, port in (("naive", naive), ("perennial", ours)):
                    asyncio.run(_load(port, WARM_UP_SECONDS, f"w{turn}"))
                    loads[name].append(asyncio.run(_load(port, seconds, f"m{turn}")))
    found: dict[str, Any] = {name: _median(runs) for name, runs in loads.items()}
    found["throughput_ratio"] = round(found["perennial"]["per_second"] / found["naive"]["per_second"], 2)
    found["p99_ratio"] = round(found["perennial"]["p99_ms"] / found["naive"]["p99_ms"], 3)
    found["clients"], found["bytes"] = CLIENTS, len(_body(random.Random(0), "x" * 20))
    return found


@contextmanager
def serving(program: str, home: Path) -> Iterator[int]:
    """A server process; yields its port once it answers."""
    home.mkdir(parents=True)
    port = free_port()
    known = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program.format(port=port)],
            env=known | {"PERENNIAL_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    try:
        asyncio.run(_wait(port, process, home / "log"))
        yield port
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


async def _load(port: int, seconds: float, prefix: str) -> Load:
    latencies: list[float] = []
    started = time.perf_counter()
    clients = (_client(port, started + seconds, f"{prefix}-{number}", latencies) for number in range(CLIENTS))
    await asyncio.gather(*clients)
    elapsed = time.perf_counter() - started
    latencies.sort()
    count = len(latencies)
    return Load(count, count / elapsed, latencies[count // 2] * 1000, latencies[int(count * 0.99)] * 1000)


async def _client(port: int, until: float, name: str, latencies: list[float]) -> None:
    """Sends one conversation after the other over one connection."""
    rng = random.Random(name)
    templates = [_body(rng, "@" * 20) for _ in range(16)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        number += 1
        body = templates[number % 16].replace(b"@" * 20, f"{name}-{number}".encode())
        head = f"POST /v1/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        started = time.perf_counter()
        writer.write(head + body)
        status = await _answer(reader)
        latencies.append(time.perf_counter() - started)
        if status != 201:
            raise RuntimeError(f"expected 201, got {status}")
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])


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
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
