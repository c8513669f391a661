"""What grows with the conversations that are stored: the way in, curation, near-duplicates, the snapshot, the pages.

    python -m bench growth --up-to 100000

Conversations are made straight into the tables (growth_rows.py) until there are 1 k, 10 k, 100 k and a million; at each
of these sizes the same work is done on top. What should be flat is the cost of one conversation more; what reads
everything should be linear. The snapshot is taken in a process of its own, whose memory counts.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from starlette.testclient import TestClient

from bench.growth_rows import add_conversations, text_of
from service.curation import curate_due, delete_raw
from service.ingest import Incoming, Writer
from service.ingest.stream import reader
from service.obstacles import find_obstacles
from service.progress import open_progress
from service.settings import Settings, load_settings
from service.store import clusters
from service.store.funnel import funnel
from service.store.session import Store, migrate, open_store
from service.store.tables import now
from service.store.trainable import count_trainable
from service.vault import Vault, open_vault

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NEW = 640  # conversations that come in and are curated at each size
TOGETHER = 16  # of them in one commit, as from so many clients
LOOKUPS = 300
PICTURE = Path("var/growth.png")
PAGES = ("/", "/rounds", "/models", "/healthz")
_SNAPSHOT = "from bench.growth import print_snapshot; print_snapshot({home!r})"


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """The figures of each size, and by what each grew from one size to the next."""
    chosen = _parse(options)
    folder = Path(tempfile.mkdtemp(prefix="perennial-growth-", dir=chosen.folder))
    try:
        sizes = {f"{size}": figures for size, figures in _grow(folder, chosen.up_to)}
    finally:
        shutil.rmtree(folder)
    PICTURE.parent.mkdir(exist_ok=True)
    draw(sizes, PICTURE)
    return {"sizes": sizes, "picture": str(PICTURE)}


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--up-to", type=int, default=SIZES[-1], help="the most conversations (a million need 8 GB of disk)"
    )
    parser.add_argument("--folder", help="where the database is made, and deleted at the end")
    return parser.parse_args(list(options))


def _grow(home: Path, up_to: int) -> "list[tuple[int, dict[str, Any]]]":
    settings = load_settings({"PERENNIAL_HOME": str(home), "PERENNIAL_ALLOW_DEGRADED_NAMES": "1"})
    migrate(settings)
    store = open_store(settings)
    vault, rng, measured = open_vault(settings, store), random.Random(9), []
    try:
        with open_progress(Console(stderr=True)) as progress:
            stored = 0
            for size in [size for size in SIZES if size <= up_to] or [up_to]:
                for added in add_conversations(store, vault, rng, size - stored):
                    progress.update(f"{size:,}", done=stored + added, total=size, note="conversations made")
                progress.finish(f"{size:,}", note="made; now it is measured")
                measured.append((size, _measure(settings, store, vault, rng)))
                stored = size + NEW
    finally:
        store.close()
    return measured


def _measure(settings: Settings, store: Store, vault: Vault, rng: random.Random) -> dict[str, Any]:
    return {
        "ingest_us": _ingest(store, vault, rng),
        "curation_ms": _curate(store, vault),
        "near_duplicates_us": _find_near_duplicates(store, vault, rng),
        "funnel_ms": _milliseconds(lambda: _read(store, funnel)),
        "trainable_ms": _milliseconds(lambda: _read(store, lambda session: count_trainable(session, 10**9))),
        "obstacles_ms": _milliseconds(lambda: find_obstacles(settings, store)),
        "retention_ms": _milliseconds(lambda: delete_raw(store, now() - timedelta(days=1), 30)),
        "pages_ms": _pages(settings),
        **_snapshot(settings.home),
    }


# ---- what should be flat ------------------------------------------------------------------------------------


def _ingest(store: Store, vault: Vault, rng: random.Random) -> float:
    read = reader(lambda _: "default")
    incoming = [read(_body(rng, f"new-{rng.getrandbits(60)}")) for _ in range(NEW)]
    groups = [incoming[start : start + TOGETHER] for start in range(0, NEW, TOGETHER)]
    with Writer(store, vault) as writer:
        started = time.process_time()
        for group in groups:
            _store(writer, group)
        return round((time.process_time() - started) / NEW * 1e6, 1)


def _store(writer: Writer, group: Sequence[Incoming]) -> None:
    [strange] = {outcome.result for outcome in writer.submit(group).result(60)}
    if strange != "created":
        raise RuntimeError(f"a new conversation was {strange}")


def _body(rng: random.Random, id: str) -> bytes:
    messages = [
        {"role": "user", "content": text_of(rng, rng.choice((7, 16)))},
        {"role": "assistant", "content": text_of(rng, 30)},
    ]
    votes = [{"message": 1, "value": "up"}]
    user = f"u-{rng.randrange(1_000)}"
    return json.dumps({"id": id, "user": user, "messages": messages, "consent": True, "votes": votes}).encode()


def _curate(store: Store, vault: Vault) -> float:
    from pipelines.curate.config import CurationConfig
    from pipelines.curate.curate import Curator

    curator = Curator(CurationConfig(allow_degraded_names=True))
    first = sum(curate_due(store, vault, curator, limit=64).values())  # it loads what it needs
    started, done = time.process_time(), 0
    while counts := curate_due(store, vault, curator, limit=64):
        done += sum(counts.values())
    if first + done != NEW:
        raise RuntimeError(f"{first + done} of {NEW} conversations were curated")
    return round((time.process_time() - started) / done * 1000, 2)


def _find_near_duplicates(store: Store, vault: Vault, rng: random.Random) -> float:
    from pipelines.curate.cluster import same_cluster, signature

    signed = [signature(text_of(rng, 20), vault.cluster_key) for _ in range(LOOKUPS)]
    with store.read() as session:
        started = time.process_time()
        for one in signed:
            clusters.find_cluster(session, clusters.PROMPT, one, same_cluster)
        return round((time.process_time() - started) / LOOKUPS * 1e6, 1)


# ---- what reads everything ----------------------------------------------------------------------------------


def _read(store: Store, query: Callable[[Any], object]) -> None:
    with store.read() as session:
        query(session)


def _milliseconds(call: Callable[[], object]) -> float:
    """The median of three."""
    times = []
    for _ in range(3):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return round(statistics.median(times) * 1000, 2)


def _pages(settings: Settings) -> dict[str, float]:
    """Milliseconds of each page, the first time and the median of later ones."""
    from service.web.app import create_app

    found = {}
    with TestClient(create_app(settings), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        for page in PAGES:
            started = time.process_time()
            client.get(page)
            found[f"{page} first"] = round((time.process_time() - started) * 1000, 1)
            found[page] = _milliseconds(lambda page=page: client.get(page))  # type: ignore[misc]
    return found


def _snapshot(home: Path) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", _SNAPSHOT.format(home=str(home))], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def print_snapshot(home: str) -> None:
    """Takes a snapshot of a home's database, and prints its seconds, its examples and the memory that it needed."""
    from pipelines.recipe import Select
    from pipelines.stages.snapshot import Selector, snapshot
    from service.corpus import StoreCorpus

    settings = load_settings({"PERENNIAL_HOME": home, "PERENNIAL_ALLOW_DEGRADED_NAMES": "1"})
    store = open_store(settings)
    corpus = StoreCorpus(store, open_vault(settings, store))
    selector = Selector(lambda text: len(text) // 4, lambda texts: [None] * len(texts))
    before, started = _peak_kilobytes(), time.process_time()
    with tempfile.TemporaryDirectory(dir=home) as out:
        taken = snapshot(corpus, Select(), Path(out), selector, now=now())
    seconds, kilobytes = time.process_time() - started, _peak_kilobytes() - before
    figures = {"seconds": round(seconds, 2), "mb": round(kilobytes / 1024, 1), "examples": taken.examples}
    print(json.dumps({f"snapshot_{name}": value for name, value in figures.items()}))


def _peak_kilobytes() -> int:
    """The most memory that this process had; not getrusage's, which a child inherits from who started it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


# ---- the picture --------------------------------------------------------------------------------------------

_CURVES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "one more: ingest (ms)": lambda one: one["ingest_us"] / 1000,
    "one more: curation (ms)": lambda one: one["curation_ms"],
    "one more: near-duplicates (ms)": lambda one: one["near_duplicates_us"] / 1000,
    "all: funnel (ms)": lambda one: one["funnel_ms"],
    "all: snapshot (ms)": lambda one: one["snapshot_seconds"] * 1000,
    "all: snapshot (MB)": lambda one: one["snapshot_mb"],
}


def draw(sizes: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws each cost over the number of conversations, both by powers of ten: flat is flat, linear rises by one for one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    counts = [int(size) for size in sizes]
    for name, cost in _CURVES.items():
        style = "-" if name.startswith("one") else "--"
        axes.plot(counts, [cost(one) for one in sizes.values()], style, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="conversations stored")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
