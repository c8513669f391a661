"""Imports: chats of Open WebUI read from a list in one file, against json.load of the whole file; and stored durably.

The naive way loads the file, walks each chat's tree and writes each as the JSON that POST /v1/conversations takes. Ours cuts
and reads the same, checks it, and makes the records that are stored. Each runs in a process of its own, on a file and on
one ten times as large, so that its peak memory shows whether it grows. Rates of reading count processor seconds, because it
uses one core; those of storing are by the clock, and by processor seconds beside it, which a busy machine does not change.

    python -m bench imports --megabytes 2000
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.ingest.importers.items import Options
from service.ingest.importers.post import direct_post
from service.ingest.importers.reading import Mark, find_work, read_work
from service.ingest.importers.ready import Terms, make_ready
from service.ingest.importers.run import import_work
from service.ingest.importers.table import FORMATS
from service.ingest.wire import ConversationIn
from service.settings import load_settings, make_home
from service.store.session import migrate, open_store
from service.store.tables import now
from service.vault import open_vault

MEGABYTES, TIMES, STORED = 12, 10, 15_000
_TEXT = "the of service asks please model answer reset password order refund return policy number thank you sorry"


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """Rates, peak memory of both sizes, and the ratios that count (targets: 10,000/s read, 3,000/s stored, memory x1.1)."""
    small = int(options[1]) if options[:1] == ["--megabytes"] else MEGABYTES
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        files = [_write(Path(folder) / f"{size}.json", size << 20) for size in (small, small * TIMES)]
        figures: dict[str, Any] = {
            name: [_child(name, file, folder) for file in files] for name in ("perennial", "json.load")
        }
        _write(Path(folder) / "stored.json", 0, STORED)
        figures["durable"] = _child("durable", Path(folder) / "stored.json", folder)
    ours, naive = figures["perennial"], figures["json.load"]
    figures["rate_ratio"] = round(ours[1]["per_second"] / naive[1]["per_second"], 2)
    figures["memory_ratio"] = round(ours[1]["peak_mb"] / naive[1]["peak_mb"], 3)
    figures["memory_growth"] = {name: round(two["peak_mb"] / one["peak_mb"], 2) for name, (one, two) in (("perennial", ours), ("json.load", naive))}  # fmt: skip
    return figures


def _child(name: str, file: Path, folder: str) -> dict[str, Any]:
    known = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "bench.imports", name, str(file)],
        env=known | {"PERENNIAL_HOME": f"{folder}/home"},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _read(file: Path) -> int:
    work = find_work(file, FORMATS, file.parent)
    count = 0
    for _, _, thing in read_work(work, Options("default"), file.parent, Mark(0, 0)):
        assert isinstance(thing, ConversationIn)
        make_ready(thing, Terms(consent=True), "default", now(), is_copy=False)
        count += 1
    return count


def _load(file: Path) -> int:
    with file.open(encoding="utf-8") as opened:
        chats = json.load(opened)
    return len([_as_row(chat) for chat in chats])


def _as_row(chat: dict[str, Any]) -> str:
    """A chat in our shape, with its thumbs."""
    given = chat["chat"]["history"]["messages"].values()
    kept = ("id", "role", "content")
    messages = [
        {key: one[key] for key in kept} | {"parent": one["parentId"], "time": one["timestamp"]} for one in given
    ]
    noted = [(one["id"], one["annotation"]) for one in given if "annotation" in one]
    votes = [{"message": id, "value": one["rating"], "reason": one["reason"]} for id, one in noted]
    return json.dumps({"id": chat["id"], "user": chat["user_id"], "messages": messages, "votes": votes})


def _store(file: Path) -> tuple[int, float, float]:
    """How many it stored, in how many seconds, and in how many of the processors."""
    settings = load_settings()
    make_home(settings.home)
    migrate(settings)
    store = open_store(settings)
    work = find_work(file, FORMATS, settings.home)
    started, worked = time.perf_counter(), time.process_time()
    with direct_post(store, open_vault(settings, store)) as post:
        counts, _ = import_work(file, work, post, settings.home, Options("default"), Terms(consent=True))
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    return counts.of("conversations", "created"), seconds, worked


def _measure(name: str, file: Path) -> dict[str, Any]:
    if name == "durable":
        count, seconds, worked = _store(file)  # by the clock: two threads and the disk
    else:
        before = time.process_time()
        count = _read(file) if name == "perennial" else _load(file)
        seconds = worked = time.process_time() - before
    return {
        "conversations": count,
        "megabytes": round(file.stat().st_size / 1e6, 1),
        "per_second": round(count / seconds),
        "per_processor_second": round(count / worked),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _write(file: Path, size_bytes: int, count: int = 0) -> Path:
    """A list of chats of four short messages, written chat by chat."""
    rng = random.Random(1)
    templates = [json.dumps(_chat(rng, f"@{number}@")) for number in range(500)]
    with file.open("w", encoding="utf-8") as opened:
        number = 0
        while opened.tell() < size_bytes if size_bytes else number < count:
            text = templates[number % 500].replace(f"@{number % 500}@", f"c-{number}")
            opened.write(("," if number else "[") + text)
            number += 1
        opened.write("]")
    return file


def _chat(rng: random.Random, id: str) -> dict[str, Any]:
    messages: dict[str, Any] = {}
    words = _TEXT.split()
    for number in range(4):
        role, length = ("user", 15) if number % 2 == 0 else ("assistant", 50)
        above = f"m{number - 1}" if number else None
        below = [f"m{number + 1}"] if number < 3 else []
        text = " ".join(rng.choice(words) for _ in range(length))
        messages[f"m{number}"] = {"id": f"m{number}", "parentId": above, "childrenIds": below, "role": role}
        messages[f"m{number}"] |= {"content": text, "timestamp": 1795000000 + number, "models": ["qwen3:8b"]}
    messages["m3"]["annotation"] = {"rating": 1, "reason": "attention_to_detail"}
    inner = {
        "title": "Chat",
        "models": ["qwen3:8b"],
        "history": {"currentId": "m3", "messages": messages},
        "messages": [],
    }
    return {"id": id, "user_id": f"u-{rng.randrange(500)}", "title": "Chat", "created_at": 1795000000, "chat": inner}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
