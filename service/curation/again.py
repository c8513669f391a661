"""Curates again what is still there as it came in, after rules, models or lists changed.

A hundred conversations at a time wait as one revision more, so that a round that looks meanwhile misses no more than those.
A round that runs goes on with the revisions that its snapshot names; without one the older clean texts go, since what better
rules hide stands in them. Where it stopped, and for which call, is kept in the home: the same call goes on there.

    var/curate-again.json    {"since": "2026-11-01T00:00:00+00:00", "started": "2026-11-27T13:40:00+00:00"}
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pipelines.artifacts import write_atomic
from service.curation.curate import Curator, curate_due
from service.store import curation
from service.store.clock import database_time
from service.store.session import Store
from service.vault import Vault

AT_A_TIME = 100
_WAIT_SECONDS = 0.5
_FILE = "curate-again.json"
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def curate_again(
    store: Store,
    vault: Vault,
    curator: Curator,
    home: Path,
    since: datetime | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Curates again what was curated since then and has its raw text; how many became clean, rejected, quarantined.

    `progress` hears how many are done of how many. Killed and called again, it goes on where it stopped.
    """
    since = since or _EVER
    started = _started(store, home, since)
    with store.read() as session:
        total = curation.count_again(session, since, started)
    before: Counter[str] = Counter()
    done = 0
    while ids := _make_wait(store, since, started):
        _curate_all(store, vault, curator, ids)
        with store.begin() as session:
            before += curation.count_states(session, ids)
            curation.drop_older_texts(session, ids)
        done += len(ids)
        progress(done, max(done, total))
    with store.begin() as session:  # of those too that a worker curated after this call was killed
        curation.drop_older_texts(session, curation.curated_since(started))
    (home / _FILE).unlink(missing_ok=True)
    return dict(before)


def _started(store: Store, home: Path, since: datetime) -> datetime:
    """When this call began: now, or what the file says of one for the same time that did not come to its end."""
    file = home / _FILE
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["since"] == since.isoformat():
            return datetime.fromisoformat(kept["started"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, or one that a crash left half written: at worst some are curated twice
    with store.read() as session:
        started = database_time(session)
    write_atomic(file, json.dumps({"since": since.isoformat(), "started": started.isoformat()}))
    return started


def _make_wait(store: Store, since: datetime, started: datetime) -> list[str]:
    with store.begin() as session:
        return curation.wait_again(session, since, started, AT_A_TIME)


def _curate_all(store: Store, vault: Vault, curator: Curator, ids: list[str]) -> None:
    """Until none of them waits any more, whoever curates them."""
    while True:
        curated = curate_due(store, vault, curator)
        with store.read() as session:
            if not curation.still_waits(session, ids):
                return
        if not curated:
            time.sleep(_WAIT_SECONDS)
