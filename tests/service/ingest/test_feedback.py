"""Corrections, comparisons and votes on their way from the API to what a round reads, with the real curator."""

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlmodel import select

from pipelines.curate.curate import Curator
from pipelines.errors import ArtifactError, Cancelled
from pipelines.records import RatedConversation
from service.corpus import StoreCorpus
from service.curation import curate_due, delete_raw
from service.erasure import forget
from service.ingest import NewCorrection, Writer
from service.settings import Settings
from service.store import tables
from service.store.people import wrapped_key
from service.store.session import Store, open_store
from service.vault import PersonKey, Vault, clean_place, open_vault, raw_place
from tests.conftest import make_settings
from tests.factories import compare, conversation, correct, put, vote
from tests.service.curating import shared_curator

MASHED = "qwz xkcv bnmp sdfg hjkl wrtz pqxz vbnm " * 12
LONG_AGO = "2026-01-05T00:00:00Z"


@pytest.fixture(scope="module")
def curator() -> Curator:
    return shared_curator()


def chat(**fields: Any) -> dict[str, Any]:
    """A question with two answers, q, a and b, of u-1."""
    messages = [
        {"id": "q", "role": "user", "content": "Who answers mail to kim@naver.com about Velmora?"},
        {"id": "a", "role": "assistant", "content": "Nobody answers kim@naver.com.", "parent": "q"},
        {"id": "b", "role": "assistant", "content": "Somebody answers there.", "parent": "q"},
    ]
    return conversation(**({"id": "c", "messages": messages, "consent": True} | fields))


def candidate(store: Store, vault: Vault) -> RatedConversation:
    (found,) = StoreCorpus(store, vault).candidates()
    return found


def people(store: Store, vault: Vault) -> dict[str, str]:
    """Person ids of the users u-1, u-2, ..."""
    with store.read() as session:
        app = session.exec(select(tables.App.id)).one()
        known = {person.hmac: person.id for person in session.exec(select(tables.Person))}
    names = [f"u-{number}" for number in range(1, 6)]
    return {name: known[vault.person_hash(app, name)] for name in names if vault.person_hash(app, name) in known}


def corrections(store: Store) -> list[tables.Correction]:
    with store.read() as session:
        return list(session.exec(select(tables.Correction).order_by(tables.Correction.at)))  # type: ignore[arg-type]


# ---- corrections ------------------------------------------------------------------------------------------


def test_a_correction_gets_the_surrogates_of_its_conversation_and_names_its_original(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    correct(store, vault, "a", "Ana answers kim@naver.com on Mondays.", user="u-2")
    assert curate_due(store, vault, curator) == {"clean": 1}
    found = candidate(store, vault)
    asked, answer, _, text = found.messages
    email = answer.text.removeprefix("Nobody answers ").removesuffix(".")
    assert "naver" not in text.text and email in text.text and email in asked.text
    assert text.corrects is not None and text.parent == answer.parent
    assert (text.corrects.of, text.corrects.rater) == (answer.key.message, people(store, vault)["u-2"])


def test_each_persons_newest_correction_counts_and_older_ones_are_left_out(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    for text, user in (("First.", "u-1"), ("Other.", "u-2"), ("Second.", "u-1")):
        correct(store, vault, "a", text, user)
    curate_due(store, vault, curator)
    texts = {m.text: m.corrects.rater for m in candidate(store, vault).messages if m.corrects is not None}
    assert texts == {"Other.": people(store, vault)["u-2"], "Second.": people(store, vault)["u-1"]}


def test_the_newest_correction_is_the_one_that_came_last_whatever_clocks_say(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    correct(store, vault, "a", "First.")
    with store.begin() as session:  # taken by a machine whose clock was ahead
        session.execute(update(tables.Correction).values(at=datetime.now(UTC) + timedelta(hours=1)))
    correct(store, vault, "a", "Second.")
    curate_due(store, vault, curator)
    assert [m.text for m in candidate(store, vault).messages if m.corrects is not None] == ["Second."]
    assert correct(store, vault, "a", "Second.").result == "unchanged"


def test_a_correction_taken_back_is_left_out_and_the_one_before_does_not_return(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    for text in ("First.", "Second.", None):
        correct(store, vault, "a", text)
    curate_due(store, vault, curator)
    assert len(candidate(store, vault).messages) == 3 and len(corrections(store)) == 2
    correct(store, vault, "a", "Second.")
    curate_due(store, vault, curator)
    assert [m.text for m in candidate(store, vault).messages if m.corrects] == ["Second."]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (MASHED, "gibberish"),
        ("ha " * 400, "repetition"),
        ("word " * 7_000, "too_long"),
        ("\ufffd" * 9, "not_text"),
        ("\u200b", "empty_message"),
    ],
    ids=["gibberish", "repetition", "too long", "binary", "nothing visible"],
)
def test_a_correction_that_curation_refuses_does_not_cost_the_conversation(
    store: Store, vault: Vault, curator: Curator, text: str, rule: str
) -> None:
    put(store, vault, chat())
    correct(store, vault, "a", text, user="u-2")
    correct(store, vault, "b", "A fine answer in its place.", user="u-3")
    assert curate_due(store, vault, curator) == {"clean": 1}
    assert [one.refused for one in corrections(store)] == [rule, None]
    assert [m.text for m in candidate(store, vault).messages if m.corrects] == ["A fine answer in its place."]


def test_a_correction_after_the_raw_text_went_is_refused_and_the_same_one_still_known(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    first = correct(store, vault, "a", "Ana does.")
    curate_due(store, vault, curator)
    delete_raw(store, tables.now() + timedelta(days=31), retention_days=30)
    assert correct(store, vault, "a", "Ana does.") == type(first)(first.id, "unchanged")
    late = correct(store, vault, "a", "Bob does.")
    assert late.result == "conflict" and "rule original_gone" in (late.detail or "")
    row = chat(corrections=[{"message": "a", "content": "Bob does."}])
    assert [one.result for one in put(store, vault, row)] == ["conflict"]
    assert put(store, vault, chat(corrections=[{"message": "a", "content": "Ana does."}]))[0].result == "unchanged"
    assert [m.text for m in candidate(store, vault).messages if m.corrects] == ["Ana does."]


def sealed_texts(store: Store) -> tuple[tables.Message, tables.CleanMessage]:
    with store.read() as session:
        (written,) = session.exec(select(tables.Correction.message_id))
        clean = session.exec(select(tables.CleanMessage).where(tables.CleanMessage.message_id == written)).one()
        return session.get_one(tables.Message, written), clean


def key_of(store: Store, vault: Vault, person: str) -> PersonKey | None:
    with store.read() as session:
        wrapped = wrapped_key(session, person)
    return None if wrapped is None else vault.open_person_key(person, wrapped)


def test_a_text_in_anothers_conversation_opens_with_both_keys_only(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    correct(store, vault, "a", "Ana does.", user="u-2")
    curate_due(store, vault, curator)
    raw, clean = sealed_texts(store)
    owner, writer = (key_of(store, vault, people(store, vault)[user]) for user in ("u-1", "u-2"))
    assert owner is not None and writer is not None
    for sealed, place in ((raw.sealed, raw_place(raw.id)), (clean.sealed, clean_place(raw.id, clean.revision))):
        outer = owner.unseal(sealed or b"", place)
        assert b"Ana" not in outer and writer.unseal(outer, place) == b"Ana does."
        with pytest.raises(ArtifactError):
            writer.unseal(sealed or b"", place)


def test_forgetting_who_corrected_removes_the_text_and_keeps_the_conversation(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    correct(store, vault, "a", "Ana does.", user="u-2")
    compare(store, vault, "a", "b", user="u-2")
    curate_due(store, vault, curator)
    keys = [message.key for message in candidate(store, vault).messages]
    assert forget(store, vault, "default", "u-2").conversations == 0
    with store.read() as session:
        assert corrections(store) == [] and session.exec(select(tables.Comparison)).all() == []
        assert session.exec(select(tables.ComparisonEvent)).all() == []
        assert len(session.exec(select(tables.Message)).all()) == 3
        assert len({clean.message_id for clean in session.exec(select(tables.CleanMessage))}) == 3
    with pytest.raises(Cancelled, match="1 messages of this round are gone"):
        StoreCorpus(store, vault).texts(keys)
    assert curate_due(store, vault, curator) == {"clean": 1}
    found = candidate(store, vault)
    assert len(found.messages) == 3 and found.comparisons == ()
    assert correct(store, vault, "a", "Ana does.", user="u-2").result == "created"


def test_forgetting_whose_conversation_it_is_takes_every_correction_along(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    correct(store, vault, "a", "Ana does.", user="u-2")
    curate_due(store, vault, curator)
    raw, _ = sealed_texts(store)
    forget(store, vault, "default", "u-1")
    with store.read() as session:
        assert corrections(store) == [] and session.exec(select(tables.CleanMessage)).all() == []
        assert session.get_one(tables.Message, raw.id).sealed is None
    assert list(StoreCorpus(store, vault).candidates()) == []
    assert correct(store, vault, "a", "Ana does.", user="u-2").result == "not_found"
    assert curate_due(store, vault, curator) == {}


# ---- votes and comparisons --------------------------------------------------------------------------------


def test_ratings_say_who_how_and_since_when(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, chat(time=LONG_AGO))
    vote(store, vault, "a", 1)
    vote(store, vault, "a", -1, user="u-2")
    curate_due(store, vault, curator)
    answer = candidate(store, vault).messages[1]
    known = people(store, vault)
    assert {one.rater: one.value for one in answer.ratings} == {known["u-1"]: 1, known["u-2"]: -1}
    since = {one.rater: one.since for one in answer.ratings}
    assert since[known["u-1"]] == datetime(2026, 1, 5, tzinfo=UTC)
    assert all(one.since <= one.at for one in answer.ratings) and (answer.up, answer.down) == (1, 1)


def test_a_changed_or_retracted_vote_is_honoured_in_the_next_candidates(
    store: Store, vault: Vault, curator: Curator
) -> None:
    put(store, vault, chat())
    curate_due(store, vault, curator)
    seen = []
    for value in (1, -1, 0):
        vote(store, vault, "a", value)  # type: ignore[arg-type]
        compare(store, vault, *(("a", "b") if value > 0 else ("b", "a")))
        found = candidate(store, vault)
        chosen = [found.messages[1].key.message == one.chosen for one in found.comparisons]
        seen.append(([one.value for one in found.messages[1].ratings], chosen))
    assert seen == [([1], [True]), ([-1], [False]), ([], [False])]


def test_a_comparison_reaches_the_candidate_with_both_answers_or_not_at_all(
    store: Store, vault: Vault, curator: Curator
) -> None:
    compare(store, vault, "a", "b", user="u-2")
    compare(store, vault, "a", "elsewhere", user="u-2")
    compare(store, vault, "b", "never sent", user="u-2")
    other = [
        {"id": "q2", "role": "user", "content": "And?"},
        {"id": "elsewhere", "role": "assistant", "content": "So."},
    ]
    put(store, vault, chat(), conversation(messages=other))
    curate_due(store, vault, curator)
    found = {one.conversation: one for one in StoreCorpus(store, vault).candidates()}
    (mine,) = [one for one in found.values() if len(one.messages) == 3]
    ((chosen, rejected, rater),) = [(c.chosen, c.rejected, c.rater) for c in mine.comparisons]
    assert [chosen, rejected] == [m.key.message for m in mine.messages[1:]] and rater == people(store, vault)["u-2"]
    assert sum(len(one.comparisons) for one in found.values()) == 1


def test_a_correction_may_be_compared_with_its_original(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, chat())
    id = correct(store, vault, "a", "Ana does.").id
    assert compare(store, vault, id, "a", user="u-2").result == "created"
    curate_due(store, vault, curator)
    found = candidate(store, vault)
    assert found.comparisons[0].chosen == next(m.key.message for m in found.messages if m.corrects)


Act = tuple[str, str, str, Any]
_acts = st.lists(
    st.tuples(
        st.sampled_from(["vote", "correct", "compare"]),
        st.sampled_from(["u-1", "u-2"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([1, -1, 0]),
    ),
    max_size=12,
)


@given(_acts)
@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_people_do_the_candidate_holds_the_last_of_each(
    sqlite_settings: Settings, curator: Curator, acts: list[Act]
) -> None:
    home = Path(tempfile.mkdtemp(dir=sqlite_settings.home))
    shutil.copy(sqlite_settings.home / "perennial.db", home / "perennial.db")
    opened = make_settings(home)
    store = open_store(opened)
    vault = open_vault(opened, store)
    put(store, vault, chat())
    expected = {key: value for act in enumerate(acts) for key, value in [_do(store, vault, *act)]}
    curate_due(store, vault, curator)
    assert _held(store, vault) == {key: value for key, value in expected.items() if value}
    store.close()


def _do(store: Store, vault: Vault, number: int, act: Act) -> tuple[tuple[str, ...], Any]:
    """Does what somebody does, and says what should stand afterwards."""
    kind, user, message, value = act
    if kind == "vote":
        vote(store, vault, message, value, user)
        return (kind, user, message), value
    if kind == "correct":
        text = f"Text number {number}." if value else None
        correct(store, vault, message, text, user)
        return (kind, user, message), text
    compare(store, vault, message, "b" if message == "a" else "a", user)
    return (kind, user), message


def _held(store: Store, vault: Vault) -> dict[tuple[str, ...], Any]:
    found, names = candidate(store, vault), {id: name for name, id in people(store, vault).items()}
    answers = found.messages[1:3]
    places = {m.key.message: name for m, name in zip(answers, "ab", strict=True)}
    held: dict[tuple[str, ...], Any] = {
        ("vote", names[r.rater], places[m.key.message]): r.value for m in answers for r in m.ratings
    }
    held |= {("correct", names[m.corrects.rater], places[m.corrects.of]): m.text for m in found.messages if m.corrects}
    return held | {("compare", names[c.rater]): places[c.chosen] for c in found.comparisons}


def test_a_correction_taken_back_in_the_same_group_is_taken_back(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, chat())
    with Writer(store, vault) as writer:
        acts = [NewCorrection("default", "a", "u-1", text) for text in ("First.", "Second.", None)]
        results = [outcome.result for outcome in writer.submit_corrections(acts).result(30)]
    assert results == ["created"] * 3 and [one.retracted_at is None for one in corrections(store)] == [True, False]
    curate_due(store, vault, curator)
    assert not any(message.corrects for message in candidate(store, vault).messages)
