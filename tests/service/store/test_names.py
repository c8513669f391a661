"""Names that many people wrote, counted by keyed hash: by people and prompts, gone with their person."""

from sqlmodel import select

from service.store import erasure
from service.store.names import note_mentions, public_names
from service.store.session import Store
from service.store.tables import NameMention
from service.vault import Vault
from tests.service.rated import add_person, add_rated


def wrote(store: Store, vault: Vault, people: range, name: str, **changes: object) -> list[str]:
    """So many people who wrote this name once each; gives their ids."""
    owners = [add_person(store, vault, f"p{number}") for number in people]
    for owner in owners:
        conversation = add_rated(store, vault, owner, "q", "a", **changes)
        with store.begin() as session:
            note_mentions(session, conversation, [name])
    return owners


def public(store: Store, people: int) -> frozenset[str]:
    with store.read() as session:
        return public_names(session, people)


def test_a_name_is_public_once_enough_people_wrote_it_and_no_longer_when_one_is_forgotten(
    store: Store, vault: Vault
) -> None:
    owners = wrote(store, vault, range(3), "h1")
    assert (public(store, 3), public(store, 4)) == ({"h1"}, frozenset())
    with store.begin() as session:
        erasure.erase_text(session, owners[0])
    assert public(store, 3) == frozenset()
    with store.read() as session:
        assert len(session.exec(select(NameMention)).all()) == 2


def test_one_person_counts_once_and_so_does_one_text_pasted_by_many(store: Store, vault: Vault) -> None:
    owner = add_person(store, vault)
    for _ in range(3):
        conversation = add_rated(store, vault, owner, "q", "a")
        with store.begin() as session:
            note_mentions(session, conversation, ["h1"])
    wrote(store, vault, range(3), "h2", cluster="one-prompt")
    wrote(store, vault, range(3, 6), "h3", consent=None)
    assert public(store, 2) == frozenset()


def test_what_a_conversation_mentions_is_what_it_mentioned_last(store: Store, vault: Vault) -> None:
    conversation = add_rated(store, vault, add_person(store, vault), "q", "a")
    with store.begin() as session:
        note_mentions(session, conversation, ["h1", "h2"])
        note_mentions(session, conversation, ["h2"])
        assert [one.name_hmac for one in session.exec(select(NameMention))] == ["h2"]
