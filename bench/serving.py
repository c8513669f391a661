"""What serving costs over bare llama-cpp-python, and what several chats at once give, with a model of 85 M random parameters.

Through our route: the real web process' application, the supervised engine, its socket, streamed. Bare: `Llama` called in
this process, on the same file with the same threads and context. Each way in turns, so that both meet the same machine.

    python -m bench serving
"""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.scorer import quantized, random_model
from pipelines.gguf.runtime import llama, threads_for
from service.settings import Settings
from service.store.session import migrate
from tests.service.live import Live, running
from tests.service.served import add_rows, crown

_TOKENS = 64
_TURNS = 3
_STREAMS = 4
_CONTEXT = 512
_QUESTION = "Tell me of the sea, and of what is said of it in Velmora. " * 4
_ASKED = [{"role": "user", "content": _QUESTION}]
_PROMPT = f"<|im_start|>user\n{_QUESTION}<|im_end|>\n<|im_start|>assistant\n"  # as the tiny model's template writes it


class Pace(NamedTuple):
    """Seconds until the first token or text, and tokens a second from the request on."""

    first_seconds: float
    tokens_per_second: float


def run() -> dict[str, Any]:
    """First token and tokens/s of both ways, their ratio, and the tokens/s of four streams in all against one's."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        folder = Path(name)
        path = Path(quantized(random_model(folder / "larger"), folder).path)
        model = llama().Llama(
            str(path),
            n_ctx=_CONTEXT,
            n_threads=threads_for(path),
            n_threads_batch=threads_for(path),
            verbose=False,
            flash_attn=True,
        )
        with _service(folder / "home", path) as live:
            ways: dict[str, Callable[[], Pace]] = {"bare": lambda: _bare(model), "ours": lambda: _ours(live)}
            paces: dict[str, list[Pace]] = {way: [] for way in ways}
            totals: dict[int, list[float]] = {1: [], _STREAMS: []}
            for turn in range(_TURNS + 1):
                for way, measure in ways.items():
                    pace = measure()
                    if turn:  # the first is for warmth
                        paces[way].append(pace)
                for count in totals if turn else ():
                    totals[count].append(_together(live, count))
        model.close()
    return _figures(paces, {count: median(rates) for count, rates in totals.items()})


def _figures(paces: dict[str, list[Pace]], totals: dict[int, float]) -> dict[str, Any]:
    rates = {way: median(one.tokens_per_second for one in many) for way, many in paces.items()}
    firsts = {way: median(one.first_seconds for one in many) for way, many in paces.items()}
    return {
        "tokens_per_second": {way: round(rate, 1) for way, rate in rates.items()},
        "share_of_bare": round(rates["ours"] / rates["bare"], 3),
        "target_share": "at least 0.95",
        "first_token_seconds": {way: round(seconds, 3) for way, seconds in firsts.items()},
        "streams_in_all_tokens_per_second": {str(count): round(rate, 1) for count, rate in totals.items()},
        "four_against_one": round(totals[_STREAMS] / totals[1], 2),
        "target_four_against_one": "at least 2 (docs/decisions/gguf-engine.md: out of reach of these kernels on a processor)",
    }


@contextmanager
def _service(home: Path, path: Path) -> Iterator[Live]:
    home.mkdir()
    settings = Settings(home=home, database_url=f"sqlite:///{home / 'perennial.db'}", engine_context=_CONTEXT)
    migrate(settings)
    with running(settings) as live:
        kept = settings.models / "bench" / "model.gguf"
        kept.parent.mkdir(parents=True)
        shutil.copy(path, kept)
        add_rows(live.store, settings, "bench", kept, kind="origin", verdict=None)
        crown(live.store, "bench")
        live.wait_for_model("bench")
        yield live


def _bare(model: Any) -> Pace:
    """By `generate`, the leanest way that llama-cpp-python has: no text, no sampling but the likeliest."""
    model.reset()
    started = time.perf_counter()
    prompt = model.tokenize(_PROMPT.encode(), add_bos=False, special=True)
    times = [time.perf_counter() for _ in islice(model.generate(prompt, temp=0.0), _TOKENS)]
    return Pace(times[0] - started, len(times) / (times[-1] - started))


def _ours(live: Live) -> Pace:
    asked = {"model": "champion", "messages": _ASKED, "max_tokens": _TOKENS, "temperature": 0, "stream": True}
    with live.http() as http:
        started = time.perf_counter()
        with http.stream(
            "POST", "/v1/chat/completions", json=asked | {"stream_options": {"include_usage": True}}
        ) as answer:
            lines = [(time.perf_counter(), line) for line in answer.iter_lines() if line.startswith("data: {")]
    first = next(at for at, line in lines if '"content": "' in line and '"role"' not in line)
    tokens = json.loads(lines[-1][1][6:])["usage"]["completion_tokens"]
    return Pace(first - started, tokens / (lines[-1][0] - started))


def _together(live: Live, count: int) -> float:
    """Tokens a second of so many streams in all, from the first request to the last token."""
    threads = [threading.Thread(target=_ours, args=(live,)) for _ in range(count)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count * _TOKENS / (time.perf_counter() - started)
