"""Is a chat lost or mixed while the champion changes? Sixteen clients, every other one streaming, and ten swaps.

    python -m bench swap

Each answer is greedy, so it has to be word for word that of the model that it names, from its first chunk to its last.
"""

import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import openai

from service.settings import Settings
from service.store.session import migrate
from tests.service.live import Live, running
from tests.service.served import add_model, crown

_CLIENTS, _SWAPS, _TOKENS = 16, 10, 40
_MODELS = ("first", "second")
_ASKED: list[Any] = [{"role": "user", "content": "Hello there!"}]
_BETWEEN_SECONDS = 1.0


def run() -> dict[str, Any]:
    """Answers by model, and what failed or was mixed; `passed` if nothing was."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        home = Path(name)
        settings = Settings(home=home, database_url=f"sqlite:///{home / 'perennial.db'}")
        migrate(settings)
        with running(settings) as live:
            return _swap(live)


def _swap(live: Live) -> dict[str, Any]:
    said: dict[str, str] = {}
    for place, model in enumerate(_MODELS):
        add_model(live.store, live.settings, model, model, kind="origin", verdict=None)
        crown(live.store, model, _MODELS[place - 1] if place else None)
        live.wait_for_model(model)
        said[model] = _ask(live, stream=False)[1]
    counts: Counter[str] = Counter()
    stop = threading.Event()
    clients = [
        threading.Thread(target=_talk, args=(live, said, bool(one % 2), counts, stop)) for one in range(_CLIENTS)
    ]
    for client in clients:
        client.start()
    longest = 0.0
    for swap in range(_SWAPS):
        time.sleep(_BETWEEN_SECONDS)
        new, old = _MODELS[swap % 2], _MODELS[1 - swap % 2]
        started = time.monotonic()
        crown(live.store, new, old)
        live.wait_for_model(new)
        longest = max(longest, time.monotonic() - started)
    stop.set()
    for client in clients:
        client.join()
    wrong = sum(count for what, count in counts.items() if what not in _MODELS)
    return {
        "clients": _CLIENTS,
        "swaps": _SWAPS,
        "answers": dict(counts),
        "longest_swap_seconds": round(longest, 2),
        "failed_or_mixed": wrong,
        "passed": wrong == 0 and all(counts[model] for model in _MODELS),
    }


def _talk(live: Live, said: dict[str, str], stream: bool, counts: Counter[str], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            models, text = _ask(live, stream=stream)
        except openai.OpenAIError as error:
            counts[f"failed: {type(error).__name__}: {error}"[:200]] += 1
            continue
        (model,) = models if len(models) == 1 else ("mixed",)
        counts[model if said.get(model) == text else f"other words than those of {model}"] += 1


def _ask(live: Live, *, stream: bool) -> tuple[set[str], str]:
    """The models that an answer names, and its text."""
    with live.openai() as client:
        asked: dict[str, Any] = {"model": "champion", "messages": _ASKED, "max_tokens": _TOKENS, "temperature": 0}
        if not stream:
            whole = client.chat.completions.create(**asked)
            return {whole.model}, whole.choices[0].message.content or ""
        chunks = list(client.chat.completions.create(**asked, stream=True))
        return {chunk.model for chunk in chunks}, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
