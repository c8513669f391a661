"""`perennial curate --again`: better rules reach what is still there as it came in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from service.corpus import StoreCorpus
from service.curation import curate_again, curate_due
from service.store import tables
from service.store.session import Store
from service.store.tables import CleanMessage, Round
from service.vault import Vault
from tests.factories import conversation, put
from tests.service.curating import shared_curator

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def lenient() -> Curator:
    return Curator(CurationConfig(allow_degraded_names=True, public_names=("Sarah Connor",)))


@pytest.fixture(scope="module")
def strict() -> Curator:
    return shared_curator()


def texts(store: Store, vault: Vault) -> str:
    corpus = StoreCorpus(store, vault)
    return " ".join(message.text for one in corpus.candidates() for message in one.messages)


def conversations(store: Store) -> list[tables.Conversation]:
    with store.read() as session:
        return list(session.exec(select(tables.Conversation)))


def clean_count(store: Store) -> int:
    with store.read() as session:
        return len(session.exec(select(CleanMessage)).all())


def curated(store: Store, vault: Vault, curator: Curator, count: int = 3) -> None:
    for number in range(count):
        put(
            store,
            vault,
            conversation(f"Who is Sarah Connor, {number}?", f"Sarah Connor is heroine {number}.", consent=True),
        )
    while curate_due(store, vault, curator):
        pass


def test_better_rules_reach_what_is_there_and_what_they_hide_is_gone(
    store: Store, vault: Vault, tmp_path: Path, lenient: Curator, strict: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.curation.again.AT_A_TIME", 2)
    curated(store, vault, lenient)
    parts = {row.id: row.part for row in conversations(store)}
    assert "Sarah" in texts(store, vault) and clean_count(store) == 6
    seen: list[tuple[int, int]] = []
    counts = curate_again(store, vault, strict, tmp_path, None, lambda done, total: seen.append((done, total)))
    assert counts == {"clean": 3} and seen == [(2, 3), (3, 3)]
    assert "Sarah" not in texts(store, vault) and clean_count(store) == 6
    assert {row.id: row.part for row in conversations(store)} == parts
    assert {row.curated_revision for row in conversations(store)} == {2} and list(tmp_path.iterdir()) == []


def test_a_running_round_keeps_the_texts_that_it_may_read(
    store: Store, vault: Vault, tmp_path: Path, lenient: Curator, strict: Curator
) -> None:
    curated(store, vault, lenient, 1)
    keys = [message.key for one in StoreCorpus(store, vault).candidates() for message in one.messages]
    with store.begin() as session:
        session.add(Round(recipe_name="r", recipe="", recipe_digest="", requested_by="t", state="running"))
    curate_again(store, vault, strict, tmp_path)
    old = " ".join(body.content for body in StoreCorpus(store, vault).texts(keys).values())
    assert "Sarah" in old and "Sarah" not in texts(store, vault) and clean_count(store) == 4


def test_neither_what_is_older_nor_what_has_lost_its_text_is_taken(
    store: Store, vault: Vault, tmp_path: Path, lenient: Curator, strict: Curator
) -> None:
    curated(store, vault, lenient, 2)
    with store.begin() as session:
        for row in session.exec(select(tables.Conversation)).all()[:1]:
            row.raw_deleted_at = datetime.now(UTC)
            session.add(row)
    assert curate_again(store, vault, strict, tmp_path, FUTURE) == {}
    assert curate_again(store, vault, strict, tmp_path, datetime.now(UTC) - timedelta(days=1)) == {"clean": 1}


def test_killed_it_goes_on_where_it_stopped(
    store: Store, vault: Vault, tmp_path: Path, lenient: Curator, strict: Curator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.curation.again.AT_A_TIME", 1)
    curated(store, vault, lenient)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate_again(store, vault, strict, tmp_path, None, killed)
    assert curate_again(store, vault, strict, tmp_path) == {"clean": 2}
    assert {row.curated_revision for row in conversations(store)} == {2} and "Sarah" not in texts(store, vault)
