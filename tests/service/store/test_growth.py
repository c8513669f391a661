"""What looks at every conversation takes four times as long for four times as many, and what looks at few takes the same.

Counted in steps of SQLite's own machine, so that no clock decides (bench/growth.py measures seconds).
"""

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlmodel import Session

from bench.growth_rows import add_conversations
from pipelines.curate.cluster import same_cluster, signature
from service.store import clusters, people
from service.store.curation import delete_originals
from service.store.funnel import funnel
from service.store.health import backlog
from service.store.session import Store, migrate, open_store
from service.store.tables import now
from service.store.trainable import count_trainable
from service.vault import open_vault
from tests.conftest import make_settings

FEW, FACTOR = 100, 4
LONG = signature("one two three four five six seven eight nine ten eleven twelve thirteen fourteen", b"k")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """Two databases, one with four times as many conversations as the other."""
    made = []
    for count in (FEW, FACTOR * FEW):
        home = tmp_path_factory.mktemp("growth")
        settings = make_settings(home)
        migrate(settings)
        store = open_store(settings)
        made.append(store)
        list(add_conversations(store, open_vault(settings, store), random.Random(1), count))
    yield made
    for store in made:
        store.close()


def steps(store: Store, work: Callable[[Session], object]) -> int:
    """How many steps SQLite takes for this."""
    counter = itertools.count()
    with store.begin() as session:
        work(session)  # what is prepared once does not count
        driver = session.connection().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(lambda: next(counter) and 0, 1)
        work(session)
        driver.set_progress_handler(None, 1)
    return next(counter)


def delete_due(session: Session) -> int:
    return delete_originals(session, now() - timedelta(days=30), now(), 1_000)


@pytest.mark.parametrize(
    ("work", "most"),
    [
        (funnel, 1.2 * FACTOR),
        (lambda session: count_trainable(session, 10**9), 1.2 * FACTOR),
        (people.all_raters, 1.5 * FACTOR),
        (backlog, 1.1),
        (delete_due, 1.1),
        (lambda session: clusters.find_cluster(session, clusters.PROMPT, LONG, same_cluster), 1.1),
    ],
    ids=["funnel", "trainable", "raters", "backlog", "retention", "near-duplicates"],
)
def test_no_look_grows_faster_than_what_it_looks_at(
    stores: list[Store], work: Callable[[Session], object], most: float
) -> None:
    few, many = (steps(store, work) for store in stores)
    assert 0 < few <= many * 1.01 and many <= most * few, (few, many)
