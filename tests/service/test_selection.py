"""What the snapshot reads from the database: texts, votes as they stand, and nothing of an erased person."""

import pytest

from pipelines.errors import Cancelled
from pipelines.records import MessageKey
from service.corpus import StoreCorpus
from service.store.people import wrapped_key
from service.store.session import Store
from service.store.tables import CleanMessage, Quarantine, Rejection
from service.vault import Vault, clean_place
from tests.service.rated import add_person, add_rated


def erase(store: Store, person: str) -> None:
    store.keys.delete([person])


def test_a_clean_conversation_comes_with_its_text_votes_and_satisfaction(store: Store, vault: Vault) -> None:
    person = add_person(store, vault)
    id = add_rated(store, vault, person, "hello", "hi there", "and?", "fine", votes={1: [1, 1, -1, 0]}, satisfaction=3)

    (found,) = StoreCorpus(store, vault).candidates()

    assert (found.conversation, found.person, found.satisfaction, found.consent) == (id, person, 3, True)
    assert [m.text for m in found.messages] == ["hello", "hi there", "and?", "fine"]
    assert [(m.up, m.down) for m in found.messages] == [(0, 0), (2, 1), (0, 0), (0, 0)]
    assert found.messages[1].parent == found.messages[0].key.message


def test_the_oldest_come_first_and_the_part_follows_the_prompt_cluster(store: Store, vault: Vault) -> None:
    person = add_person(store, vault)
    ids = [add_rated(store, vault, person, "q", "a", day=day, cluster="c") for day in (3, 1, 2)]

    found = list(StoreCorpus(store, vault).candidates())

    assert [one.conversation for one in found] == [ids[1], ids[2], ids[0]]
    assert {one.part for one in found} == {vault.part_of("c")}


def test_what_the_lineage_has_seen_is_marked(store: Store, vault: Vault) -> None:
    person = add_person(store, vault)
    old, new = (add_rated(store, vault, person, "q", "a") for _ in range(2))

    seen = {one.conversation: one.seen for one in StoreCorpus(store, vault, frozenset({old})).candidates()}

    assert seen == {old: True, new: False}


def test_only_clean_conversations_count_and_the_others_are_told_by_rule(store: Store, vault: Vault) -> None:
    person = add_person(store, vault)
    rejected, hung, _ = (
        add_rated(store, vault, person, "q", "a", state=s) for s in ("rejected", "quarantined", "received")
    )
    with store.begin() as session:
        session.add(Rejection(conversation_id=rejected, rule="gibberish", detail=""))
        session.add(Quarantine(conversation_id=hung, reason="timeout"))

    corpus = StoreCorpus(store, vault)

    assert list(corpus.candidates()) == []
    assert corpus.outcomes() == {"gibberish": 1, "quarantined: timeout": 1, "not_curated_yet": 1}


def test_the_newest_revision_of_each_message_counts(store: Store, vault: Vault) -> None:
    person = add_person(store, vault)
    id = add_rated(store, vault, person, "q", "a")
    with store.begin() as session:
        key = vault.open_person_key(person, wrapped_key(session, person) or b"")
        first = StoreCorpus(store, vault)
        message = next(first.candidates()).messages[1].key.message
        sealed = key.seal(b"a, cleaned again", clean_place(message, 2))
        session.add(
            CleanMessage(message_id=message, revision=2, conversation_id=id, sealed=sealed, features={"mixing": 0.5})
        )

    (found,) = StoreCorpus(store, vault).candidates()

    assert (found.messages[1].text, found.messages[1].key.revision, found.messages[1].mixing) == (
        "a, cleaned again",
        2,
        0.5,
    )


def test_texts_come_by_key_and_are_cancelled_when_a_person_is_erased(store: Store, vault: Vault) -> None:
    person, other = add_person(store, vault), add_person(store, vault, "bob")
    for owner in (person, other):
        add_rated(store, vault, owner, "q", "a")
    corpus = StoreCorpus(store, vault)
    keys = [message.key for one in corpus.candidates() for message in one.messages]
    assert sorted(body.content for body in corpus.texts(keys).values()) == ["a", "a", "q", "q"]

    erase(store, other)

    assert len(list(corpus.candidates())) == 1
    with pytest.raises(Cancelled, match="2 messages of this round are gone"):
        corpus.texts(keys)


def test_unknown_keys_are_cancelled_too(store: Store, vault: Vault) -> None:
    with pytest.raises(Cancelled):
        StoreCorpus(store, vault).texts([MessageKey(message="gone", revision=1)])


def test_more_conversations_than_fit_into_one_query_all_come(
    store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.corpus._CHUNK", 2)
    person = add_person(store, vault)
    ids = [add_rated(store, vault, person, f"q{day}", "a", votes={1: [1]}, day=day) for day in range(5)]

    corpus = StoreCorpus(store, vault)
    found = list(corpus.candidates())

    assert [one.conversation for one in found] == ids
    assert all(one.messages[1].up == 1 for one in found)
    assert len(corpus.texts([message.key for one in found for message in one.messages])) == 10
