"""Forgetting a person: nothing of theirs can be read any more, and what learned from them is named."""

from collections import deque
from pathlib import Path

import pytest
from sqlmodel import select

from pipelines.errors import ArtifactError, Cancelled, NotFound
from pipelines.feedback.regression import HeldoutCorrections, RegressionItem
from pipelines.feedback.select import renders_always
from service.corpus import StoreCorpus
from service.curation import curate_due
from service.erasure import Footprint, footprint, forget
from service.settings import Settings
from service.store import tables
from service.store.people import wrapped_key
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.factories import conversation, put
from tests.service.curating import curate_all, shared_curator

PLANTED = "Zanzibarquartz"
LONG = f"My cousin {PLANTED} wants to know how the colour of a title is changed in the settings of a blog, please help"


def ids(store: Store) -> list[tables.Conversation]:
    with store.read() as session:
        return list(session.exec(select(tables.Conversation)))


def learn(store: Store, used: str, person: str) -> None:
    """A finished round that used a conversation, a running one too, and models on top of each other."""
    with store.begin() as session:
        for number, state in ((1, "passed"), (2, "running"), (3, "passed")):
            session.add(
                tables.Round(id=number, recipe_name="r", recipe="", recipe_digest="", requested_by="t", state=state)
            )
        session.flush()
        for round_id, who in ((1, person), (2, person), (3, "somebody else")):
            session.add(
                tables.SnapshotItem(round_id=round_id, conversation_id=used, person_id=who, outcome="used", reason="")
            )
        for id, round_id, parents in (("m1", 1, ["origin"]), ("child", None, ["origin", "m1"]), ("m3", 3, ["origin"])):
            session.add(tables.Model(id=id, kind="candidate", recipe_name="r", round_id=round_id, parents=parents))


def test_forgetting_names_what_learned_stops_what_learns_and_taints_it(store: Store, vault: Vault) -> None:
    put(store, vault, conversation(user="u"), conversation(user="v"))
    mine = ids(store)[0]
    learn(store, mine.id, mine.person_id)
    receipt = forget(store, vault, "default", "u")
    assert (receipt.conversations, receipt.rounds, receipt.models, receipt.cancelled) == (
        1,
        (1, 2),
        ("child", "m1"),
        (2,),
    )
    with store.read() as session:
        tainted = {m.id for m in session.exec(select(tables.Model)) if m.tainted_at is not None}
        assert tainted == {"m1", "child"} and session.get_one(tables.Round, 2).cancel_requested
        assert session.exec(select(tables.ErasureReceipt.models)).one() == ["child", "m1"]


def test_a_footprint_says_beforehand_what_forgetting_then_does_and_changes_nothing(store: Store, vault: Vault) -> None:
    votes = [{"message": 1, "value": "up", "user": "u"}]
    corrections = [{"message": 1, "content": "Better!", "user": "u"}]
    put(
        store, vault, conversation(user="u"), conversation("Hi", "Yes.", user="v", votes=votes, corrections=corrections)
    )
    mine = ids(store)[0]
    learn(store, mine.id, mine.person_id)
    before = footprint(store, vault, "default", "u")
    assert before == footprint(store, vault, "default", "u")
    assert before == Footprint(1, 1, 1, (1, 2), ("child", "m1"))
    receipt = forget(store, vault, "default", "u")
    assert (before.conversations, before.rounds, before.models) == (
        receipt.conversations,
        receipt.rounds,
        receipt.models,
    )


def test_a_footprint_of_who_only_voted_and_of_a_stranger(store: Store, vault: Vault) -> None:
    put(store, vault, conversation(user="u", votes=[{"message": 1, "value": "up", "user": "critic"}]))
    assert footprint(store, vault, "default", "critic") == Footprint(0, 1, 0, (), ())
    with pytest.raises(NotFound, match="nothing is stored for this user"):
        footprint(store, vault, "default", "nobody")


def test_nothing_of_the_person_is_left_and_others_are_untouched(store: Store, vault: Vault) -> None:
    put(store, vault, conversation(LONG, "So it is.", user="u"), conversation("Other question?", "Yes.", user="v"))
    curate_due(store, vault, shared_curator())
    forget(store, vault, "default", "u")
    gone, kept = sorted(ids(store), key=lambda row: row.state != "erased")
    assert (gone.state, gone.sealed_meta, gone.sealed_secret, gone.digest, gone.prompt_cluster_id) == (
        "erased",
        b"",
        None,
        "",
        None,
    )
    with store.read() as session:
        assert wrapped_key(session, gone.person_id) is None and wrapped_key(session, kept.person_id) is not None
        left = session.exec(select(tables.Message).where(tables.Message.conversation_id == gone.id)).all()
        assert [message.sealed for message in left] == [None, None]
        assert {c.conversation_id for c in session.exec(select(tables.CleanMessage))} == {kept.id}
        assert {c.id for c in session.exec(select(tables.Cluster))} == {kept.prompt_cluster_id, kept.pair_cluster_id}


def test_votes_of_the_person_go_too_even_of_somebody_who_only_voted(store: Store, vault: Vault) -> None:
    put(store, vault, conversation(user="u", votes=[{"message": 1, "value": "up", "user": "critic"}]))
    assert forget(store, vault, "default", "critic").conversations == 0
    with store.read() as session:
        assert session.exec(select(tables.Vote)).all() == [] and session.exec(select(tables.VoteEvent)).all() == []


def test_who_comes_back_begins_anew(store: Store, vault: Vault) -> None:
    message = {"id": "m", "role": "user", "content": "Hi"}
    put(store, vault, conversation(id="c", user="u", messages=[message]))
    forget(store, vault, "default", "u")
    again = put(
        store,
        vault,
        conversation(id="c", user="u", messages=[message]),
        conversation(id="d", user="u", messages=[message]),
    )
    assert [outcome.result for outcome in again] == ["conflict", "created"]
    old, new = sorted(ids(store), key=lambda row: row.state != "erased")
    assert old.person_id != new.person_id


def test_forgetting_a_stranger_is_refused_with_one_sentence(store: Store, vault: Vault) -> None:
    put(store, vault, conversation(user="u"))
    for app, user in (("default", "nobody"), ("no app", "u")):
        with pytest.raises(NotFound, match="nothing is stored for this user"):
            forget(store, vault, app, user)


def test_no_key_and_no_plain_text_is_left_in_the_files(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    put(store, vault, *(conversation(LONG, "So it is.", user=user) for user in ("u", "v")))
    with store.read() as session:
        people = session.exec(select(tables.Person)).all()
        doomed = wrapped_key(session, ids(store)[0].person_id) or b""
        sealed = session.exec(
            select(tables.Message.sealed).where(tables.Message.conversation_id == ids(store)[0].id)
        ).all()
    before = everything(sqlite_settings.home)
    assert doomed in before and len(people) == 2 and all(text is not None and text in before for text in sealed)
    user = next(
        u for u in ("u", "v") if vault.person_hash(people[0].app_id, u) == _hmac(people, ids(store)[0].person_id)
    )
    assert forget(store, vault, "default", user).scrubbed
    after = everything(sqlite_settings.home)
    assert doomed not in after and not any(text is not None and text in after for text in sealed)
    assert PLANTED.encode() not in before + after
    store.close()


def test_a_stolen_backup_of_the_rows_does_not_open_without_the_key(store: Store, vault: Vault) -> None:
    put(store, vault, conversation(LONG, user="u"))
    with store.read() as session:
        sealed = session.exec(select(tables.Message.sealed)).first() or b""
    other, _ = vault.new_person_key("p")
    with pytest.raises(ArtifactError):
        other.unseal(sealed, "message:x")


def _hmac(people: object, id: str) -> str:
    return next(person.hmac for person in people if person.id == id)  # type: ignore[attr-defined]


def everything(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


def regression_suite(store: Store, vault: Vault) -> list[RegressionItem]:
    """The permanent suite, as if every prompt had been kept apart."""
    collected = HeldoutCorrections(renders_always)
    apart = (one.model_copy(update={"part": "heldout"}) for one in StoreCorpus(store, vault).candidates())
    deque(collected.watch(apart), maxlen=0)
    return collected.settle()[0]


def test_items_leave_the_regression_suite_with_the_person_of_the_chat_and_with_who_corrected_it(
    store: Store, vault: Vault
) -> None:
    for user, question in (
        ("u", "Where does the river end?"),
        ("v", "Who built the old bridge?"),
        ("w", "How far is it?"),
    ):
        wrote = [{"message": 1, "content": f"It is told in book {user}.", "user": "critic" if user == "w" else user}]
        put(store, vault, conversation(question, "Nobody knows.", user=user, consent=True, corrections=wrote))
    curate_all(store, vault)
    first = regression_suite(store, vault)
    assert len(first) == 3 and regression_suite(store, vault) == first
    assert StoreCorpus(store, vault).texts([one.chosen for one in first if one.chosen])
    for gone, left in (("u", 2), ("critic", 1)):
        forget(store, vault, "default", gone)
        items = regression_suite(store, vault)
        assert len(items) == left and {one.id for one in items} < {one.id for one in first}
    with pytest.raises(Cancelled):
        StoreCorpus(store, vault).texts([one.chosen for one in first if one.chosen])
