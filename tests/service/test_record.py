"""The whole record of a chat: in over the writer, sealed, curated, given to a round, extended, erased; on both databases."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from pipelines.chat import escape_markers, render
from pipelines.curate.curate import Curator
from pipelines.messages import as_messages
from pipelines.records import Body, MessageKey, RatedConversation, RatedMessage, ToolCall
from service.corpus import StoreCorpus
from service.curation import curate_due
from service.settings import Settings
from service.store import tables
from service.store.people import wrapped_key
from service.store.session import Store, migrate, open_store
from service.store.tables import Vote
from service.vault import Vault, comment_place
from tests.conftest import make_settings
from tests.factories import put
from tests.service.curating import shared_curator
from tests.service.test_old_home import ARCHIVE

CALL = {"id": "t-1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Ulm"}}}
TOOLS = [{"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}]
CHAT: list[dict[str, Any]] = [
    {"id": "q", "role": "user", "content": "Is it warm in Ulm today?"},
    {"id": "c", "role": "assistant", "content": None, "reasoning": "Ask the station.", "tool_calls": [CALL]},
    {"id": "r", "role": "tool", "tool_call_id": "t-1", "name": "weather", "content": '{"degrees": 21}'},
    {"id": "a", "role": "assistant", "content": "Yes, it has 21 degrees.", "model": "qwen3:8b", "time": 1_795_000_000},
]


@pytest.fixture(scope="session")
def curator() -> Curator:
    return shared_curator()


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "c-1", "user": "u-1", "consent": True, "messages": [*(messages or CHAT)]} | fields


def votes(store: Store) -> list[Vote]:
    with store.read() as session:
        return list(session.exec(select(Vote).order_by(Vote.message_hmac)).all())


def candidate(store: Store, vault: Vault) -> RatedConversation:
    (found,) = StoreCorpus(store, vault).candidates()
    return found


def comment_of(store: Store, vault: Vault, vote: Vote) -> str:
    with store.read() as session:
        person = session.exec(select(tables.Person).where(tables.Person.hmac == vote.rater_hmac)).one()
        key = vault.open_person_key(person.id, wrapped_key(session, person.id) or b"")
    return key.unseal(vote.sealed_comment or b"", comment_place(vote.id)).decode()


# ---- what a turn holds --------------------------------------------------------------------------------------


def test_a_chat_with_tools_reaches_a_round_whole(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, chat(tools=TOOLS, votes=[{"message": "a", "value": 1}]))
    assert curate_due(store, vault, curator) == {"clean": 1}

    question, asked, result, answer = candidate(store, vault).messages

    assert json.loads(question.tools) == TOOLS
    assert (asked.reasoning, asked.text) == ("Ask the station.", "")
    assert asked.tool_calls == (ToolCall(id="t-1", name="weather", arguments='{"city":"Ulm"}'),)
    assert (result.text, result.tool_call_id, result.name) == ('{"degrees": 21}', "t-1", "weather")
    assert (answer.text, answer.up) == ("Yes, it has 21 degrees.", 1)
    texts = StoreCorpus(store, vault).texts([asked.key, answer.key])
    assert texts[asked.key].turn("assistant").tool_calls == asked.tool_calls
    assert texts[answer.key] == Body(content="Yes, it has 21 degrees.")


def test_model_and_time_of_a_message_are_kept_and_nothing_is_readable(store: Store, vault: Vault) -> None:
    put(store, vault, chat())
    with store.read() as session:
        rows = session.exec(select(tables.Message).order_by(tables.Message.position)).all()  # type: ignore[arg-type]
    assert [row.structured for row in rows] == [False, True, True, False]
    assert (rows[3].model, rows[3].occurred_at and rows[3].occurred_at.isoformat()) == (
        "qwen3:8b",
        "2026-11-18T11:06:40+00:00",
    )
    assert not any(word in (row.sealed or b"") for row in rows for word in (b"station", b"Ulm", b"weather"))


@pytest.mark.parametrize(
    ("last", "state", "weight"),
    [
        ({"content": "Oh", "state": "error"}, "error", 1),
        ({"content": "Half an ans", "state": "unfinished"}, "unfinished", 1),
        ({"content": "Not this.", "weight": 0}, "complete", 0),
    ],
    ids=["error", "unfinished", "weight"],
)
def test_what_is_not_to_be_learnt_is_known_to_a_round(
    store: Store, vault: Vault, curator: Curator, last: dict[str, Any], state: str, weight: int
) -> None:
    put(store, vault, chat(CHAT[0], {"role": "assistant"} | last))
    curate_due(store, vault, curator)
    message = candidate(store, vault).messages[-1]
    assert (message.state, message.weight) == (state, weight)


def test_a_picture_is_known_by_a_digest_that_only_its_owner_has(store: Store, vault: Vault, curator: Curator) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.invalid/cat.png"}}
    asked = {"role": "user", "content": [picture, {"type": "text", "text": "What animal is it?"}]}
    for user in ("u-1", "u-2"):
        put(store, vault, chat(asked, {"role": "assistant", "content": "A cat."}, id=user, user=user))
    curate_due(store, vault, curator)
    first, second = (one.messages[0].parts for one in StoreCorpus(store, vault).candidates())
    assert first[0].startswith("image:") and first != second


# ---- sent again, and more of it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({}, "unchanged"),
        ({"reasoning": "Ask another one."}, "conflict"),
        ({"tool_calls": [CALL | {"id": "t-2"}]}, "conflict"),
        ({"reasoning": None}, "unchanged"),
    ],
    ids=["same", "other-reasoning", "other-call", "without-reasoning"],
)
def test_the_same_turn_is_told_from_a_changed_one(
    store: Store, vault: Vault, change: dict[str, Any], result: str
) -> None:
    put(store, vault, chat())
    (again,) = put(store, vault, chat(CHAT[0], CHAT[1] | change, *CHAT[2:]))
    assert again.result == result


def test_a_chat_that_goes_on_keeps_what_was_thought(store: Store, vault: Vault, curator: Curator) -> None:
    put(store, vault, chat(*CHAT[:2]))
    without = {name: value for name, value in CHAT[1].items() if name != "reasoning"}
    (grown,) = put(store, vault, chat(CHAT[0], without, *CHAT[2:], tools=TOOLS))
    assert grown.result == "appended"
    curate_due(store, vault, curator)
    assert [message.reasoning for message in candidate(store, vault).messages] == ["", "Ask the station.", "", ""]


# ---- votes --------------------------------------------------------------------------------------------------


def test_a_vote_keeps_its_reason_its_time_and_a_sealed_comment(store: Store, vault: Vault) -> None:
    vote = {
        "message": "a",
        "value": "thumbs_down",
        "reason": "not_helpful",
        "comment": "Too warm!",
        "time": 1_795_000_000,
    }
    put(store, vault, chat(votes=[vote]))
    (row,) = votes(store)
    assert (row.value, row.reason, row.source) == (-1, "not_helpful", "person")
    assert row.at is not None and row.at.isoformat() == "2026-11-18T11:06:40+00:00"
    assert b"warm" not in (row.sealed_comment or b"") and comment_of(store, vault, row) == "Too warm!"


def test_the_same_thumb_again_adds_what_it_says_and_the_other_thumb_replaces_it(store: Store, vault: Vault) -> None:
    said = [
        {"value": "down"},
        {"value": "down", "reason": "too_verbose", "comment": "Long."},
        {"value": "down"},
        {"value": "down", "comment": "Long."},
        {"value": "up"},
    ]
    results = [put(store, vault, chat(votes=[{"message": "a"} | one]))[0].result for one in said[:1]]
    seen = []
    for one in said[1:]:
        put(store, vault, chat(votes=[{"message": "a"} | one]))
        (row,) = votes(store)
        seen.append((row.value, row.reason, comment_of(store, vault, row) if row.sealed_comment else None))
    assert results == ["created"]
    assert seen == [(-1, "too_verbose", "Long.")] * 3 + [(1, None, None)]
    with store.read() as session:
        assert len(session.exec(select(tables.VoteEvent)).all()) == 3


def test_neither_a_judge_nor_a_guess_counts_or_stands_in_a_persons_place(
    store: Store, vault: Vault, curator: Curator
) -> None:
    judged = {"message": "a", "value": "down", "source": "judge"}
    guessed = {"message": "a", "value": "down", "source": "implicit"}
    put(store, vault, chat(votes=[judged, guessed]))
    curate_due(store, vault, curator)
    answer = candidate(store, vault).messages[-1]
    assert (answer.up, answer.down, len(answer.ratings)) == (0, 0, 2)

    put(store, vault, chat(votes=[{"message": "a", "value": "up"}]))
    put(store, vault, chat(votes=[guessed]))
    answer = candidate(store, vault).messages[-1]
    assert (answer.up, answer.down) == (1, 0)
    assert sorted(one.source for one in answer.ratings) == ["judge", "person"]


def test_a_vote_over_http_says_as_much(client: TestClient) -> None:
    assert client.post("/v1/conversations", json=chat()).status_code == 201
    body = {"value": False, "rater": "u-9", "reason": "too_verbose", "comment": "Long."}
    answer = client.put("/v1/votes/a", json=body)
    assert (answer.status_code, answer.json()) == (200, {"message": "a", "value": "down", "changed": True})
    assert client.put("/v1/votes/a", json=body).json()["changed"] is False
    assert client.get("/v1/conversations/c-1").json()["votes"] == {"up": 0, "down": 1}


@pytest.mark.parametrize(
    ("consent", "words"),
    [(None, "without consent, so nothing will be learned"), (False, "nothing will be learned"), (True, "")],
)
def test_an_answer_says_that_nothing_will_be_learned_without_consent(
    client: TestClient, consent: bool | None, words: str
) -> None:
    notes = client.post("/v1/conversations", json=chat(consent=consent)).json().get("notes", [])
    assert bool(notes) == bool(words) and all(words in note for note in notes)


# ---- erasure ------------------------------------------------------------------------------------------------


def test_nothing_of_it_is_on_disk_and_erasure_leaves_no_row_that_says_anything(
    sqlite_settings: Settings, curator: Curator
) -> None:
    from service.erasure import forget
    from service.vault import open_vault

    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    secret = {"reasoning": "Quetzal thought", "model": "some-model", "content": "Quetzal said"}
    call = {"tool_calls": [{"name": "quetzal_tool", "arguments": {"a": "Quetzal asked"}, "id": "quetzal-id"}]}
    vote = {"message": 1, "value": 1, "comment": "Quetzal liked", "user": "quetzal-rater"}
    put(store, vault, chat(CHAT[0], {"role": "assistant"} | secret | call, tools=TOOLS, votes=[vote]))
    curate_due(store, vault, curator)
    folder = sqlite_settings.home
    plain = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"uetzal" not in plain

    forget(store, vault, "default", "u-1", "test")
    with store.read() as session:
        rows = session.exec(select(tables.Message)).all()
        assert {(row.sealed, row.model, row.occurred_at, row.structured) for row in rows} == {(None, None, None, False)}
        assert session.exec(select(Vote)).all() == [] and session.exec(select(tables.CleanMessage)).all() == []
    store.close()
    assert b"some-model" not in b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# ---- a home of before ---------------------------------------------------------------------------------------


def test_a_home_of_before_has_whole_messages_of_text_and_votes_of_people(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    migrate(make_settings(tmp_path))
    store = open_store(make_settings(tmp_path))
    with store.read() as session:
        messages, given_votes = session.exec(select(tables.Message)).all(), session.exec(select(Vote)).all()
    store.close()
    assert {(row.state, row.structured, row.model) for row in messages} == {("complete", False, None)}
    assert {(row.source, row.reason, row.at) for row in given_votes} == {("person", None, None)}


# ---- anything that may be said ------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    ["fine", "by the river", "twenty one degrees", "the weather", "today", "I think", "please", "rain"]
)
_TEXT = st.lists(_WORDS, min_size=1, max_size=5).map(" ".join)
_ARGUMENTS = st.dictionaries(st.sampled_from(["city", "days", "unit"]), _TEXT | st.integers(0, 99), max_size=3)
_CALLS = st.lists(st.builds(lambda text: {"id": "t", "name": "weather", "arguments": text}, _ARGUMENTS), max_size=2)
_ANSWERS = st.builds(
    lambda content, reasoning, calls: {"content": content, "reasoning": reasoning, "tool_calls": calls},
    _TEXT,
    _TEXT | st.just(""),
    _CALLS,
)
_TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.reasoning_content }}|{{ m.content }}|{{ m.tool_calls | tojson if "
    "m.tool_calls }}{% endfor %}"
)


@given(st.lists(_ANSWERS, min_size=1, max_size=3), _TEXT)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_said_is_rendered_as_it_was_said(
    sqlite_store: tuple[Store, Vault], curator: Curator, answers: list[dict[str, Any]], question: str
) -> None:
    store, vault = sqlite_store
    sent = [{"role": "user", "content": f"Tell me of {question}, will you?"}]
    sent += [{"role": "assistant"} | answer for answer in answers]
    name = f"h-{abs(hash(json.dumps(sent)))}"
    put(store, vault, chat(*sent, id=name))
    while curate_due(store, vault, curator):
        pass
    with store.read() as session:
        row = session.exec(
            select(tables.Conversation).where(
                tables.Conversation.client_hmac == vault.conversation_hash(_app(store), name)
            )
        ).one()
    if row.state != "clean":  # repeated words are no talk
        return
    found = next(one for one in StoreCorpus(store, vault).candidates() if one.conversation == row.id)
    rendered = _rendered(store, vault, found.messages)
    for answer in answers:
        assert f"[assistant]{answer['reasoning']}|{answer['content']}|" in rendered
        assert all(json.dumps(call["arguments"])[1:-1] in rendered for call in answer["tool_calls"])


def _app(store: Store) -> str:
    with store.read() as session:
        return session.exec(select(tables.App.id)).one()


def _rendered(store: Store, vault: Vault, messages: tuple[RatedMessage, ...]) -> str:
    texts = StoreCorpus(store, vault).texts(
        [MessageKey(message=m.key.message, revision=m.key.revision) for m in messages]
    )
    turns = [texts[message.key].turn(message.role) for message in messages]
    return render(_TEMPLATE, as_messages(turns), escape=escape_markers)


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from service.vault import open_vault

    made = make_settings(tmp_path_factory.mktemp("record"))
    migrate(made)
    store = open_store(made)
    yield store, open_vault(made, store)
    store.close()
