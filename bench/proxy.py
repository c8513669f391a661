"""The capture proxy: what it adds to an answer, and what it leaves of the throughput, against a fast upstream of this machine.

The same clients ask the upstream itself and through `perennial proxy`, by turns; every chat that passes is recorded meanwhile.
An event's delay is the time from the upstream's writing it to the client's reading it, by the clock that they share.

    python -m bench proxy
"""

import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlmodel import func, select

from bench import fast_upstream
from bench.ingest import serving
from service.settings import load_settings
from service.store.session import open_store
from service.store.tables import Message

STREAMS, ROUNDS = 64, 3
WHOLE_ANSWERS = 400
TURNS = 3  # each way is measured this often, by turns
_UPSTREAM = "import uvloop; from bench.fast_upstream import serve; uvloop.run(serve({port}))"
_PROXY = (
    "from dataclasses import replace; from service.settings import load_settings; from service.web.server import serve; "
    "serve(replace(load_settings(), upstream='http://127.0.0.1:%d/v1'), '127.0.0.1', {port}, is_front=True)"
)
_SENT_AT = re.compile(rb'"content": "(\d{20}) "')
_DRAIN_SECONDS = 60
_STAGGER_SECONDS = fast_upstream.TOKENS * fast_upstream.INTERVAL_SECONDS  # people do not all ask in the same instant


@dataclass(frozen=True)
class Load:
    """What one run measured, times in milliseconds."""

    events_per_second: float
    event_delay_p50_ms: float
    event_delay_p99_ms: float
    whole_answer_p50_ms: float
    first_event_p50_ms: float


def run() -> dict[str, Any]:
    """Both ways' figures, and the two that count: milliseconds added at the median (target below 1), and the share of the
    direct throughput at 64 streams (target above .95)."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        home = Path(folder) / "proxy"
        with serving(_UPSTREAM, Path(folder) / "upstream") as upstream, serving(_PROXY % upstream, home) as proxy:
            loads: dict[str, list[Load]] = {"direct": [], "through_proxy": []}
            for turn in range(TURNS):
                for name, port in (("direct", upstream), ("through_proxy", proxy)):
                    loads[name].append(asyncio.run(_measure(port, f"{turn}")))
            sent = TURNS * (STREAMS * ROUNDS + WHOLE_ANSWERS)
            seconds = _wait_until_stored(home, sent)
    direct, through = (_median(runs) for runs in loads.values())
    return {
        "direct": direct,
        "through_proxy": through,
        "added_to_whole_answer_p50_ms": round(through["whole_answer_p50_ms"] - direct["whole_answer_p50_ms"], 3),
        "added_to_event_p50_ms": round(through["event_delay_p50_ms"] - direct["event_delay_p50_ms"], 3),
        "throughput_ratio": round(through["events_per_second"] / direct["events_per_second"], 3),
        "streams": STREAMS,
        "events_per_second_and_stream": round(1 / fast_upstream.INTERVAL_SECONDS),
        "chats_recorded": sent,
        "seconds_until_recorded": seconds,
    }


async def _measure(port: int, turn: str) -> Load:
    whole = await _whole_answers(port, turn)
    delays: list[int] = []
    firsts: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(*(_streams(port, f"s{turn}-{number}", delays, firsts) for number in range(STREAMS)))
    seconds = time.perf_counter() - started
    delays.sort()
    return Load(
        events_per_second=len(delays) / seconds,
        event_delay_p50_ms=delays[len(delays) // 2] / 1e6,
        event_delay_p99_ms=delays[int(len(delays) * 0.99)] / 1e6,
        whole_answer_p50_ms=statistics.median(whole) * 1000,
        first_event_p50_ms=statistics.median(firsts) * 1000,
    )


async def _whole_answers(port: int, turn: str) -> list[float]:
    """The seconds of answers in one piece, one after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for number in range(WHOLE_ANSWERS):
        request = _request(port, f"w{turn}-{number}", is_stream=False)
        started = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        found.append(time.perf_counter() - started)
    writer.close()
    return found


async def _streams(port: int, user: str, delays: list[int], firsts: list[float]) -> None:
    """Streams one after the other over one connection; notes each event's delay and each stream's first event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(random.Random(user).uniform(0, _STAGGER_SECONDS))
    for number in range(ROUNDS):
        asked = time.perf_counter()
        writer.write(_request(port, f"{user}-{number}", is_stream=True))
        is_first = True
        while (line := await reader.readline()) != b"0\r\n":
            if not line:
                raise RuntimeError("the stream broke off")
            if sent_at := _SENT_AT.search(line):
                delays.append(time.monotonic_ns() - int(sent_at.group(1)))
                if is_first:
                    firsts.append(time.perf_counter() - asked)
                is_first = False
        await reader.readline()
    writer.close()


def _request(port: int, user: str, is_stream: bool) -> bytes:
    message = {"role": "user", "content": "What is the capital of Banoko, and where does it lie?"}
    body = json.dumps({"model": "fast", "stream": is_stream, "messages": [message]}).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json",
        "Authorization: Bearer sk-upstream", f"X-Perennial-User: {user}", f"Content-Length: {len(body)}",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _wait_until_stored(home: Path, chats: int) -> float:
    """The seconds until every chat that passed is in the database: a question and an answer of each."""
    store = open_store(load_settings({"PERENNIAL_HOME": str(home)}))
    started = time.monotonic()
    while time.monotonic() - started < _DRAIN_SECONDS:
        with store.read() as session:
            count = session.exec(select(func.count()).select_from(Message)).one()
        if count == 2 * chats:
            store.close()
            return round(time.monotonic() - started, 1)
        time.sleep(0.1)
    raise RuntimeError(f"of {2 * chats} messages {count} are stored")


def _median(runs: list[Load]) -> dict[str, float]:
    rows = [asdict(run) for run in runs]
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
