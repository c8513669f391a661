"""Curation over the database, with the real curator."""

import threading
from datetime import timedelta

import pytest
from sqlmodel import select

from pipelines.curate.curate import Curator
from pipelines.errors import ArtifactError
from pipelines.records import Conversation, Curated
from service.curation import curate_due, delete_raw, explain, open_curator
from service.settings import Settings
from service.store import tables
from service.store.people import wrapped_key
from service.store.session import Store
from service.store.tables import CleanMessage, now
from service.vault import Vault, clean_place
from tests.factories import conversation, correct, put, tree
from tests.service.curating import shared_curator

LONG = "How do I change the colour of the title in the settings of my blog without losing the rest of the design?"


@pytest.fixture(scope="session")
def curator() -> Curator:
    return shared_curator()


def rows(store: Store) -> list[tables.Conversation]:
    with store.read() as session:
        return list(session.exec(select(tables.Conversation).order_by(tables.Conversation.received_at)))  # type: ignore[arg-type]


def clean_texts(store: Store, vault: Vault) -> list[str]:
    with store.read() as session:
        found = []
        query = select(CleanMessage, tables.Message).join(tables.Message).order_by(tables.Message.position)  # type: ignore[arg-type]
        for clean, message in session.exec(query):
            owner = session.get_one(tables.Conversation, message.conversation_id).person_id
            key = vault.open_person_key(owner, wrapped_key(session, owner) or b"")
            found.append(key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)).decode())
    return found


def test_what_came_in_becomes_clean_and_gets_a_part(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("Write to kim@naver.com", "I did write to kim@naver.com.", hints={"topic": "mail"}))
    assert curate_due(store, vault, curator) == {"clean": 1}
    row = rows(store)[0]
    assert (row.state, row.topic, row.part) == ("clean", "mail", vault.part_of(row.prompt_cluster_id or ""))
    asked, answered = clean_texts(store, vault)
    assert "naver" not in asked + answered and asked.removeprefix("Write to ") in answered


def test_a_refused_conversation_keeps_the_rule_and_no_clean_text(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("ㅁㄴㅇㄹ " * 40 + "qwz xkcv " * 40, "Pardon?"))
    assert curate_due(store, vault, curator) == {"rejected": 1}
    with store.read() as session:
        assert session.exec(select(tables.Rejection.rule)).one() in ("gibberish", "repetition")
        assert session.exec(select(CleanMessage)).all() == []


def test_a_conversation_that_grew_is_curated_again_with_the_same_surrogates_and_part(
    store: Store, vault: Vault, curator: Curator
) -> None:
    texts = (f"{LONG} My address is lee@example.org.", "Use the theme editor.")
    put(store, vault, conversation(*texts, id="c"))
    curate_due(store, vault, curator)
    before, part = clean_texts(store, vault)[0], rows(store)[0].part
    put(store, vault, conversation(*texts, "And the footer?", id="c"))
    assert curate_due(store, vault, curator) == {"clean": 1}
    row = rows(store)[0]
    assert (row.curated_revision, row.part) == (2, part)
    assert row.prompt_cluster_id is not None and vault.part_of(row.prompt_cluster_id) == part
    assert clean_texts(store, vault).count(before) == 2


def test_near_duplicates_share_clusters_and_a_part(store: Store, vault: Vault, curator: Curator) -> None:
    # long enough that no home's key leaves the two without a common band: one pair of LONGs in forty would have none
    text = (
        f"{LONG} I have looked through every menu of the theme editor, asked two friends who write about gardens, and "
        "found only a page that tells how to choose another font for all headings at once, which is not what I need here."
    )
    other = text.replace("How do I", "How can I")
    for question in (text, text, other, "What is the capital of Velmora?"):
        put(store, vault, conversation(question, "Use the theme editor."))
    curate_due(store, vault, curator)
    first, same, near, different = rows(store)
    assert first.prompt_cluster_id == same.prompt_cluster_id == near.prompt_cluster_id != different.prompt_cluster_id
    assert first.part == same.part == near.part


def test_two_workers_share_the_work_and_store_each_result_once(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, *(conversation(f"What is {n} plus {n}?", str(2 * n)) for n in range(12)))
    counts: list[dict[str, int]] = []
    lock = threading.Lock()

    class OneAtATime:
        def curate(self, given: Conversation, secret: bytes, key: bytes) -> Curated:
            with lock:
                return curator.curate(given, secret, key)

    def work() -> None:
        while done := curate_due(store, vault, OneAtATime(), limit=3):
            counts.append(done)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(done.get("clean", 0) for done in counts) == 12
    assert all(row.state == "clean" and row.curated_revision == 1 for row in rows(store))


def test_a_result_for_an_outdated_revision_is_thrown_away(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("Hi there", "Hello!", id="c"))

    class GrowsMeanwhile:
        def curate(self, given: Conversation, secret: bytes, key: bytes) -> Curated:
            put(store, vault, conversation("Hi there", "Hello!", "How are you?", id="c"))
            return curator.curate(given, secret, key)

    assert curate_due(store, vault, GrowsMeanwhile()) == {}
    assert rows(store)[0].state == "received"
    assert curate_due(store, vault, curator) == {"clean": 1}


def test_raw_text_goes_after_retention_and_late_turns_are_refused(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("Hi there", "Hello!", id="c"), conversation("Good day", "Hello!", id="new"))
    curate_due(store, vault, curator)
    assert delete_raw(store, now() + timedelta(days=29), retention_days=30) == 0
    assert delete_raw(store, now() + timedelta(days=31), retention_days=30) == 2
    with store.read() as session:
        assert session.exec(select(tables.Message.sealed).distinct()).all() == [None]
    late = put(store, vault, conversation("Hi there", "Hello!", "Still there?", id="c"))[0]
    assert late.result == "conflict" and "original_gone" in (late.detail or "")
    assert put(store, vault, conversation("Hi there", "Hello!", id="c"))[0].result == "unchanged"


def test_a_late_correction_does_not_keep_the_raw_text_longer(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("Hi there", "Hello!", id="c"))
    curate_due(store, vault, curator)
    with store.begin() as session:  # as if that had been 29 days ago
        row = session.exec(select(tables.Conversation)).one()
        row.curated_at = row.first_curated_at = now() - timedelta(days=29)
    correct(store, vault, "c:1", "Good day to you!")
    curate_due(store, vault, curator)
    assert delete_raw(store, now() + timedelta(days=2), retention_days=30) == 1


def test_clean_texts_of_earlier_revisions_go_with_the_raw_text(store: Store, vault: Vault, curator: Curator) -> None:
    for texts in (("Hi there", "Hello!"), ("Hi there", "Hello!", "Still there?")):
        put(store, vault, conversation(*texts, id="c"))
        curate_due(store, vault, curator)
    assert len(clean_texts(store, vault)) == 5
    delete_raw(store, now() + timedelta(days=31), retention_days=30)
    assert len(clean_texts(store, vault)) == 3


def test_explain_says_what_was_found_without_the_text(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, conversation("Write to kim@naver.com", "Done."))
    curate_due(store, vault, curator)
    told = explain(store, vault, curator, rows(store)[0])
    assert told.state == "clean" and "EMAIL_ADDRESS" in str(told.steps) and "naver" not in str(told.steps)


def test_clean_text_moved_to_another_row_does_not_open(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, tree())
    curate_due(store, vault, curator)
    with store.read() as session:
        clean = session.exec(select(CleanMessage)).first()
        owner = rows(store)[0].person_id
        key = vault.open_person_key(owner, wrapped_key(session, owner) or b"")
    assert clean is not None
    with pytest.raises(ArtifactError):
        key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision + 1))


def test_the_curator_in_its_own_process_does_the_same(sqlite_settings: Settings) -> None:
    from dataclasses import replace

    from service.store.session import open_store
    from service.vault import open_vault

    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    put(store, vault, conversation("Write to kim@naver.com", "Done."))
    with open_curator(replace(sqlite_settings, allow_degraded_names=True), store=store) as bounded:
        assert curate_due(store, vault, bounded) == {"clean": 1}
    assert "naver" not in clean_texts(store, vault)[0]
    store.close()
