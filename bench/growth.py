"""What grows with the conversations that are stored: the way in, curation, near-duplicates, the snapshot, the pages.

    python -m bench growth --up-to 100000
    python -m bench growth --up-to 100000 --database postgresql

Conversations are made straight into the tables (growth_rows.py) until there are 1 k, 10 k, 100 k and a million; at each
of these sizes the same work is done on top. What should be flat is the cost of one conversation more; what reads
everything should be linear. The snapshot is taken in a process of its own, whose memory counts; of more than
SNAPSHOT_SAMPLE conversations it reads the oldest so many. Times are of processors, the database's included.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlmodel import func, select
from starlette.testclient import TestClient

from bench.growth_rows import add_conversations, text_of
from bench.ingest import postgresql
from service.curation import curate_due, delete_raw
from service.ingest import Incoming, Writer
from service.ingest.stream import reader
from service.obstacles import find_obstacles
from service.progress import open_progress
from service.settings import Settings, load_settings
from service.store import clusters
from service.store.funnel import funnel
from service.store.session import Store, migrate, open_store
from service.store.tables import Conversation, now
from service.store.trainable import count_trainable
from service.vault import Vault, open_vault

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NEW = 640  # conversations that come in and are curated at each size
TOGETHER = 16  # of them in one commit, as from so many clients
LOOKUPS = 300
SNAPSHOT_SAMPLE = 100_000
_REPEATS = 5
PICTURE = Path("var/growth-{database}.png")
PAGES = ("/", "/rounds", "/models", "/healthz")
_SNAPSHOT = "from bench.growth import print_snapshot; print_snapshot({home!r}, {url!r})"
# Seconds that processors spent: of this process, and of the database where it is another one.
Clock = Callable[[], float]


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """The figures of each size, and the picture of what each grew by from one size to the next."""
    chosen = _parse(options)
    folder = Path(tempfile.mkdtemp(prefix="perennial-growth-", dir=chosen.folder))
    try:
        with _database(chosen.database, folder) as (url, clock):
            sizes = {f"{size}": figures for size, figures in _grow(folder, url, clock, chosen.up_to)}
    finally:
        shutil.rmtree(folder)
    picture = Path(str(PICTURE).format(database=chosen.database))
    picture.parent.mkdir(exist_ok=True)
    draw(sizes, picture)
    return {"database": chosen.database, "load": round(os.getloadavg()[2], 1), "sizes": sizes, "picture": str(picture)}


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--up-to", type=int, default=SIZES[-1], help="the most conversations (a million need 8 GB of disk)"
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--folder", help="where the database is made, and deleted at the end")
    return parser.parse_args(list(options))


@contextmanager
def _database(name: str, folder: Path) -> Iterator[tuple[str, Clock]]:
    """The URL of an empty database ("" for SQLite's file), and the clock of what works for it."""
    if name == "sqlite":
        yield "", time.process_time
        return
    with postgresql(folder / "postgresql") as server:
        yield server.environment["PERENNIAL_DATABASE_URL"], lambda: time.process_time() + server.cpu_seconds()


def _settings(home: Path | str, url: str) -> Settings:
    where = {"PERENNIAL_DATABASE_URL": url} if url else {}
    return load_settings({"PERENNIAL_HOME": str(home), "PERENNIAL_ALLOW_DEGRADED_NAMES": "1", **where})


def _grow(home: Path, url: str, clock: Clock, up_to: int) -> "list[tuple[int, dict[str, Any]]]":
    settings = _settings(home, url)
    migrate(settings)
    store = open_store(settings)
    vault, rng, measured = open_vault(settings, store), random.Random(9), []
    try:
        with open_progress(Console(stderr=True)) as progress:
            stored = 0
            for size in [size for size in SIZES if size <= up_to] or [up_to]:
                started = clock()
                for added in add_conversations(store, vault, rng, size - stored):
                    progress.update(f"{size:,}", done=stored + added, total=size, note="conversations made")
                made = {"made_us": round((clock() - started) / (size - stored) * 1e6, 1)}
                progress.finish(f"{size:,}", note="made; now it is measured")
                measured.append((size, made | _measure(settings, url, store, vault, rng, clock)))
                print(json.dumps({size: measured[-1][1]}), file=sys.stderr, flush=True)
                stored = size + NEW
    finally:
        store.close()
    return measured


def _measure(
    settings: Settings, url: str, store: Store, vault: Vault, rng: random.Random, clock: Clock
) -> dict[str, Any]:
    def milliseconds(call: Callable[[], object]) -> float:
        """The mean of some calls."""
        started = clock()
        for _ in range(_REPEATS):
            call()
        return round((clock() - started) / _REPEATS * 1000, 2)

    return {
        "ingest_us": _ingest(store, vault, rng, clock),
        "curation_ms": _curate(store, vault, clock),
        "near_duplicates_us": _find_near_duplicates(store, vault, rng, clock),
        "funnel_ms": milliseconds(lambda: _read(store, funnel)),
        "trainable_ms": milliseconds(lambda: _read(store, lambda session: count_trainable(session, 10**9))),
        "obstacles_ms": milliseconds(lambda: find_obstacles(settings, store)),
        "retention_ms": milliseconds(lambda: delete_raw(store, now() - timedelta(days=1), 30)),
        "pages_ms": _pages(settings, clock, milliseconds),
        **_snapshot(settings.home, url, clock),
    }


# ---- what should be flat ------------------------------------------------------------------------------------


def _ingest(store: Store, vault: Vault, rng: random.Random, clock: Clock) -> float:
    read = reader(lambda _: "default")
    incoming = [read(_body(rng, f"new-{rng.getrandbits(60)}")) for _ in range(NEW)]
    groups = [incoming[start : start + TOGETHER] for start in range(0, NEW, TOGETHER)]
    with Writer(store, vault) as writer:
        started = clock()
        for group in groups:
            _store(writer, group)
        return round((clock() - started) / NEW * 1e6, 1)


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


def _curate(store: Store, vault: Vault, clock: Clock) -> float:
    from pipelines.curate.config import CurationConfig
    from pipelines.curate.curate import Curator

    curator = Curator(CurationConfig(allow_degraded_names=True))
    first = sum(curate_due(store, vault, curator, limit=64).values())  # it loads what it needs
    started, done = clock(), 0
    while counts := curate_due(store, vault, curator, limit=64):
        done += sum(counts.values())
    if first + done != NEW:
        raise RuntimeError(f"{first + done} of {NEW} conversations were curated")
    return round((clock() - started) / done * 1000, 2)


def _find_near_duplicates(store: Store, vault: Vault, rng: random.Random, clock: Clock) -> float:
    from pipelines.curate.cluster import same_cluster, signature

    signed = [signature(text_of(rng, 20), vault.cluster_key) for _ in range(LOOKUPS)]
    with store.read() as session:
        started = clock()
        for one in signed:
            clusters.find_cluster(session, clusters.PROMPT, one, same_cluster)
        return round((clock() - started) / LOOKUPS * 1e6, 1)


# ---- what reads everything ----------------------------------------------------------------------------------


def _read(store: Store, query: Callable[[Any], object]) -> None:
    with store.read() as session:
        query(session)


def _pages(settings: Settings, clock: Clock, milliseconds: Callable[[Callable[[], object]], float]) -> dict[str, float]:
    """Milliseconds of each page, the first time and later ones."""
    from service.web.app import create_app

    found = {}
    with TestClient(create_app(settings), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        for page in PAGES:
            started = clock()
            client.get(page)
            found[f"{page} first"] = round((clock() - started) * 1000, 1)
            found[page] = milliseconds(lambda page=page: client.get(page))  # type: ignore[misc]
    return found


def _snapshot(home: Path, url: str, clock: Clock) -> dict[str, Any]:
    """What a snapshot took: its own process and, where that is another one, the database."""
    database = clock() - time.process_time()
    command = [sys.executable, "-c", _SNAPSHOT.format(home=str(home), url=url)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found | {"snapshot_seconds": round(found["snapshot_seconds"] + clock() - time.process_time() - database, 2)}


class _Oldest:
    """The oldest conversations of a corpus, so many of them."""

    def __init__(self, corpus: Any, most: int) -> None:
        self._corpus, self._most = corpus, most

    def candidates(self) -> Iterator[Any]:
        return islice(self._corpus.candidates(), self._most)

    def lost(self) -> Sequence[Any]:
        return ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._corpus, name)


def print_snapshot(home: str, url: str) -> None:
    """Takes a snapshot of a home's database, and prints its seconds, its examples and the memory that it needed."""
    from pipelines.recipe import Select
    from pipelines.stages.snapshot import Selector, snapshot
    from service.corpus import StoreCorpus

    settings = _settings(home, url)
    store = open_store(settings)
    whole = StoreCorpus(store, open_vault(settings, store))
    with store.read() as session:
        is_large = session.exec(select(func.count()).select_from(Conversation)).one() > SNAPSHOT_SAMPLE + 2 * NEW
    corpus: Any = _Oldest(whole, SNAPSHOT_SAMPLE) if is_large else whole
    selector = Selector(lambda text: len(text) // 4, lambda texts: [None] * len(texts))
    before, started = _peak_kilobytes(), time.process_time()
    with tempfile.TemporaryDirectory(dir=home) as out:
        taken = snapshot(corpus, Select(), Path(out), selector, now=now())
    seconds, kilobytes = time.process_time() - started, _peak_kilobytes() - before
    figures = {"read": taken.clean, "seconds": round(seconds, 2), "mb": round(kilobytes / 1024, 1)}
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
    "all: snapshot (ms; of 100,000 at most)": lambda one: one["snapshot_seconds"] * 1000,
    "all: snapshot (MB; of 100,000 at most)": lambda one: one["snapshot_mb"],
}


def draw(sizes: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws each cost over the number of conversations, both by powers of ten: flat is flat, linear rises by one for one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.add_subplot()
    counts = [int(size) for size in sizes]
    for name, cost in _CURVES.items():
        style = "-" if name.startswith("one") else "--"
        axes.plot(counts, [cost(one) for one in sizes.values()], style, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="conversations stored")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(path, dpi=120)
