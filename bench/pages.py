"""How long a browser waits for the first byte of each page, at 100,000 conversations, on both databases.

    python -m bench pages
    python -m bench pages --conversations 10000 --database sqlite

The home is made in bulk (growth_rows.py) with a round that decided about every conversation, its model, and thumbs on
that model's answers. A real web process serves it. Every page of the navigation is asked for, and of the pages that they
link to one of each kind: the first time in that process, then REPEATS times, of which the median stands. A figure is of
the clock, from sending the request to the first byte of the answer, over a connection that is kept.
"""

import argparse
import html
import random
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert, select, update
from sqlmodel import Session, col

from bench.growth_rows import add_conversations
from bench.ingest import postgresql, started
from service.settings import Settings, load_settings
from service.store.session import Store, migrate, open_store
from service.store.tables import Attempt, Conversation, Message, Model, Promotion, Round, Snapshot, SnapshotItem, now
from service.vault import open_vault
from service.web.pages.visit import NAVIGATION

LIMIT_MILLISECONDS, REPEATS, CHUNK = 100.0, 9, 2_000
MODEL = "bench-r0001-a1"
_SERVE = (
    "import os, sys; os.environ |= dict(PERENNIAL_PORT='{{port}}', PERENNIAL_HOME={home!r}); "
    "sys.argv[1:] = ['serve']; from service.cli import main; main()"
)
_LINK = re.compile(r'href="(/[^"#]*)')
_NOT_PAGES = ("/static/", "/logout", "/login", "/openapi.json")


def run(options: Sequence[str] = ()) -> dict[str, Any]:
    """The first byte of each page in milliseconds, later and the first time, by database."""
    chosen = _parse(options)
    names = ("sqlite", "postgresql") if chosen.database == "both" else (chosen.database,)
    found: dict[str, Any] = {}
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="perennial-pages-", dir=chosen.folder))
        try:
            with _database(name, folder) as environment:
                found[name] = _measure(folder / "home", environment, chosen.conversations)
        finally:
            shutil.rmtree(folder)
    slow = [
        f"{name} {page}" for name in names for page, ms in found[name]["later_ms"].items() if ms > LIMIT_MILLISECONDS
    ]
    return {"conversations": chosen.conversations, **found, "slow": slow, "passed": not slow}


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--database", choices=("both", "sqlite", "postgresql"), default="both")
    parser.add_argument("--folder", help="where the databases are made, and deleted at the end")
    return parser.parse_args(list(options))


@contextmanager
def _database(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """What a process must have in its environment to use it."""
    if name == "sqlite":
        yield {}
        return
    with postgresql(folder / "postgresql") as server:
        yield {"PERENNIAL_DATABASE_URL": server.environment["PERENNIAL_DATABASE_URL"]}


def _measure(home: Path, environment: dict[str, str], count: int) -> dict[str, Any]:
    environment = {"PERENNIAL_ALLOW_DEGRADED_NAMES": "1", **environment}
    ready = home.with_name("made")
    settings = load_settings({"PERENNIAL_HOME": str(ready), **environment})
    _fill(settings, count)
    with started(_SERVE.format(home=str(ready)), home, environment) as server:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=120, follow_redirects=True
        )
        with client:
            pages = list(_pages(client))
            times = {page: [_first_byte(client, page) for _ in range(REPEATS)] for page in pages}
    return {
        "later_ms": {page: round(statistics.median(ms), 1) for page, ms in times.items()},
        "slowest_ms": {page: round(max(ms), 1) for page, ms in times.items()},
    }


def _pages(client: httpx.Client) -> Iterator[str]:
    """The pages of the navigation, and of those that they link to one of each kind."""
    seen = {_kind(path) for path, _, _ in NAVIGATION}
    for path, _, _ in NAVIGATION:
        yield path
    for path, _, _ in NAVIGATION:
        for link in map(html.unescape, _LINK.findall(client.get(path).text)):
            if _kind(link) not in seen and not link.startswith(_NOT_PAGES):
                seen.add(_kind(link))
                yield link


def _kind(link: str) -> str:
    """What pages of one kind have in common: ids and values are left out."""
    path, _, query = link.partition("?")
    parts = ["*" if re.search(r"\d", part) else part for part in path.split("/")]
    return "/".join(parts) + "?" + "&".join(sorted(pair.partition("=")[0] for pair in query.split("&")))


def _first_byte(client: httpx.Client, page: str) -> float:
    """Milliseconds until the answer begins."""
    began = time.perf_counter()
    with client.stream("GET", page) as answer:
        took = 1000 * (time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(f"{page} was answered with {answer.status_code}")
        if not answer.headers["content-type"].startswith("text/event-stream"):
            answer.read()
    return took


# ---- the home -----------------------------------------------------------------------------------------------


def _fill(settings: Settings, count: int) -> None:
    migrate(settings)
    store = open_store(settings)
    try:
        for _ in add_conversations(store, open_vault(settings, store), random.Random(9), count):
            pass
        _add_round(store)
    finally:
        store.close()


def _add_round(store: Store) -> None:
    """A round that decided about each conversation, its model, which answered half a year of them, and its promotion."""
    at = now()
    with store.begin() as session:
        values = {"recipe_name": "bench", "recipe": "name: bench", "recipe_digest": "d", "requested_by": "bench"}
        session.add(Round(id=1, state="passed", started_at=at, finished_at=at, **values))
        session.flush()
        session.add(Attempt(round_id=1, number=1, folder="rounds/0001/attempt-1", state="finished", verdict="pass"))
        session.add(Snapshot(round_id=1, digest="d"))
        session.add(Model(id=MODEL, kind="candidate", recipe_name="bench", round_id=1, verdict="pass"))
        session.flush()
        session.add(Promotion(model_id=MODEL, kind="first", by="bench"))
        recent = select(col(Conversation.id)).where(col(Conversation.occurred_at) > at - timedelta(days=183))
        answers = update(Message).where(col(Message.role) == "assistant", col(Message.conversation_id).in_(recent))
        session.execute(answers.values(served_by=MODEL))
        _decide(session)


def _decide(session: Session) -> None:
    rows = session.execute(select(col(Conversation.id), col(Conversation.person_id), col(Conversation.part))).all()
    outcomes = {"train": ("used", "train"), "dev": ("held_out", "dev"), "heldout": ("held_out", "heldout")}
    items = []
    for number, (id, person, part) in enumerate(rows):
        outcome, reason = ("left_out", "low_satisfaction") if number % 5 == 0 else outcomes[part]
        items.append(
            {"round_id": 1, "conversation_id": id, "person_id": person, "outcome": outcome, "reason": reason,
             "part": part, "source": "new", "tokens": 40, "digest": "d"}
        )  # fmt: skip
    for start in range(0, len(items), CHUNK):
        session.execute(insert(SnapshotItem), items[start : start + CHUNK])
