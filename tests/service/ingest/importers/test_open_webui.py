"""Open WebUI's files: each trap of them is a row."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from service.ingest.importers.items import Note, Options, Refusal, Snapshot, Thing
from service.ingest.importers.post import direct_post, http_post
from service.ingest.prepare import AnswerOf, NewVote
from service.ingest.wire import ConversationIn, MessageIn
from service.store import tables
from service.store.session import Store
from service.vault import Vault
from tests.service.ingest.importers.reading import import_file, read_items, write

QUESTION = {
    "id": "q1",
    "parentId": None,
    "role": "user",
    "content": "How long does dough rest?",
    "timestamp": 1795000000,
}
ANSWER = {"id": "a1", "parentId": "q1", "role": "assistant", "content": "Two days.", "model": "qwen3:8b", "done": True}
OUTPUT = [
    {"type": "reasoning", "content": [{"type": "output_text", "text": "White flour."}], "summary": None},
    {"type": "function_call", "call_id": "t", "name": "room_temperature", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "t", "output": [{"type": "input_text", "text": "21"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "About one hour."}]},
]
DETAILS = (
    '<details type="reasoning" done="true" duration="2">\n<summary>Thought for 2 seconds</summary>\n&gt; White &amp; wet.\n'
    "&gt; Warm.\n</details>\n"
    '<details type="tool_calls" done="true" id="t" name="room_temperature" arguments="&quot;{\\&quot;room\\&quot;: 1}&quot;" '
    'result="&quot;21&quot;" files="">\n<summary>Tool Executed</summary>\n</details>\nAbout one hour.'
)


def chat(*messages: dict[str, Any], inside: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    history = {"currentId": messages[-1]["id"], "messages": {one["id"]: one for one in messages}}
    inner = {"title": "Bread", "models": ["qwen3:8b"], "history": history, "messages": [QUESTION]} | (inside or {})
    return {"id": "c-1", "user_id": "u-1", "title": "Bread", "created_at": 1795000000, "chat": inner} | fields


def answered(**fields: Any) -> dict[str, Any]:
    return chat(QUESTION, ANSWER | fields)


def texts(given: ConversationIn) -> list[tuple[str | None, str | None, str, str]]:
    return [(one.id, one.parent, one.role, one.content) for one in given.messages]


def only(things: list[Thing]) -> ConversationIn:
    (found,) = (one for one in things if isinstance(one, ConversationIn))
    return found


def notes(things: list[Thing]) -> dict[str, int]:
    return {one.reason: one.count for one in things if isinstance(one, Note)}


def read(tmp_path: Path, *given: Any, options: Options | None = None) -> list[Thing]:
    return read_items(write(tmp_path / "chat-export-1795000000123.json", json.dumps(list(given))), options=options)


PLAIN = [("c-1:q1", None, "user", "How long does dough rest?"), ("c-1:a1", "c-1:q1", "assistant", "Two days.")]


def test_a_chat_comes_in_with_its_ids_time_person_and_model(tmp_path: Path) -> None:
    found = only(read(tmp_path, answered()))
    assert (found.id, found.user, found.time and found.time.year) == ("c-1", "u-1", 2026)
    assert texts(found) == PLAIN and found.messages[1].model == "qwen3:8b" and found.votes == ()


LAST: list[tuple[str, dict[str, Any], Any]] = [
    ("the text is in output", {"content": "", "output": OUTPUT}, ("About one hour.", "complete")),
    ("content was edited after output", {"content": "An hour.", "output": OUTPUT}, ("An hour.", "complete")),
    ("details of older versions", {"content": DETAILS}, ("About one hour.", "complete")),
    ("it failed", {"content": "", "error": {"content": "out of memory"}}, ("", "error")),
    ("it has no end", {"done": False}, ("Two days.", "unfinished")),
    ("nothing says whether it has an end", {"done": None}, ("Two days.", "complete")),
    ("content of blocks", {"content": [{"type": "text", "text": "Two days."}]}, ("Two days.", "complete")),
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in LAST], ids=[row[0] for row in LAST])
def test_what_an_answer_says(tmp_path: Path, changes: dict[str, Any], expected: tuple[str, str]) -> None:
    last = only(read(tmp_path, answered(**changes))).messages[-1]
    assert (last.id, last.content, last.state) == ("c-1:a1", *expected)


@pytest.mark.parametrize(
    ("content", "output", "reasoning", "arguments"),
    [("", OUTPUT, "White flour.", "{}"), (DETAILS, None, "White & wet.\nWarm.", '{"room": 1}')],
    ids=["output", "details"],
)
def test_what_was_thought_and_called_is_a_turn_of_its_own(
    tmp_path: Path, content: str, output: Any, reasoning: str, arguments: str
) -> None:
    _, thought, tool, said = only(read(tmp_path, answered(content=content, output=output))).messages
    assert (thought.reasoning, thought.tool_calls[0].name, thought.tool_calls[0].arguments) == (
        reasoning,
        "room_temperature",
        arguments,
    )
    assert (tool.role, tool.content, tool.tool_call_id) == ("tool", "21", "t")
    assert (thought.parent, tool.parent, said.parent, said.id) == ("c-1:q1", thought.id, tool.id, "c-1:a1")


VOTES: list[tuple[str, dict[str, Any], Any]] = [
    ("up", {"rating": 1, "reason": "attention_to_detail"}, ("up", "attention_to_detail", None, "person")),
    ("down, as a text", {"rating": "-1", "comment": "too long"}, ("down", None, "too long", "person")),
    ("a draw", {"rating": 0}, None),
    ("a draw, whatever its points", {"rating": 0, "details": {"rating": 9}}, None),
    ("six of ten", {"details": {"rating": 6}}, ("up", None, None, "person")),
    ("five of ten", {"details": {"rating": 5}}, ("down", None, None, "person")),
    ("nothing but tags", {"tags": ["kitchen"]}, None),
    ("a reason with odd signs", {"rating": 1, "reason": "so good<!>"}, ("up", "so good", None, "person")),
]


@pytest.mark.parametrize(("annotation", "expected"), [row[1:] for row in VOTES], ids=[row[0] for row in VOTES])
def test_which_way_an_annotation_points(tmp_path: Path, annotation: dict[str, Any], expected: Any) -> None:
    votes = only(read(tmp_path, answered(annotation=annotation))).votes
    assert [(one.value, one.reason, one.comment, one.source) for one in votes] == ([expected] if expected else [])


def test_a_rating_in_the_arena_is_no_persons_vote(tmp_path: Path) -> None:
    (vote,) = only(read(tmp_path, answered(annotation={"rating": 1}, arena=True))).votes
    assert vote.source == "judge" and vote.message == "c-1:a1"


def test_siblings_stay_siblings_and_a_merged_answer_is_one_more(tmp_path: Path) -> None:
    second = ANSWER | {"id": "a2", "content": "An hour.", "model": "gemma4:12b", "modelIdx": 1}
    merged = second | {"merged": {"status": True, "content": "An hour, or two days."}}
    more = {"id": "q2", "parentId": "a2", "role": "user", "content": "And rye?"}
    found = {one.id: one for one in only(read(tmp_path, chat(QUESTION, ANSWER, merged, more))).messages}
    assert [found[f"c-1:{id}"].parent for id in ("a1", "a2", "a2/merged")] == ["c-1:q1"] * 3
    assert found["c-1:q2"].parent == "c-1:a2" and found["c-1:a2/merged"].content == "An hour, or two days."


def test_what_follows_an_answer_that_ends_with_a_tool_follows_the_tool(tmp_path: Path) -> None:
    more = {"id": "q2", "parentId": "a1", "role": "user", "content": "Well?"}
    found = only(read(tmp_path, chat(QUESTION, ANSWER | {"content": "", "output": OUTPUT[:3]}, more))).messages
    assert [one.role for one in found] == ["user", "assistant", "tool", "user"]
    assert found[1].id == "c-1:a1" and found[3].parent == found[2].id


WHOLE: list[tuple[str, dict[str, Any], Any]] = [
    ("times in milliseconds", answered() | {"created_at": 1795000000123}, PLAIN),
    ("a bare chat of old files", answered()["chat"] | {"id": "c-1"}, PLAIN),
    ("a list where there is no tree", {"id": "c-1", "user_id": "u-1", "chat": {"messages": [QUESTION, ANSWER | {"parentId": None}]}}, PLAIN),
    ("a system prompt", answered() | {"chat": answered()["chat"] | {"params": {"system": "Be brief."}}},
     [("c-1:system", None, "system", "Be brief."), ("c-1:q1", "c-1:system", "user", "How long does dough rest?"), PLAIN[1]]),
    ("children before parents", chat(ANSWER, QUESTION), PLAIN),
    ("a parent that is missing", chat(QUESTION | {"parentId": "gone"}, ANSWER), PLAIN),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_a_whole_chat(tmp_path: Path, given: dict[str, Any], expected: Any) -> None:
    found = only(read(tmp_path, given))
    assert texts(found) == expected and (found.time is None or found.time.year == 2026)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no messages", chat(QUESTION) | {"chat": {"history": {"messages": {}}, "messages": []}}, "no_messages"),
    ("a role that nobody knows", chat(QUESTION | {"role": "narrator"}), "unknown_role"),
    ("a circle", chat(QUESTION | {"parentId": "a1"}, ANSWER), "cycle"),
    ("nobody", answered() | {"user_id": None}, "no_user"),
    ("another shape", answered() | {"chat": {"history": {"messages": {"q1": 5}}}}, "unknown_shape"),
]


@pytest.mark.parametrize(("given", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused_has_a_reason_and_costs_nothing_else(tmp_path: Path, given: Any, reason: str) -> None:
    found = read(tmp_path, answered(), given, options=Options("default"))
    assert [one.reason for one in found if isinstance(one, Refusal)] == [reason]
    assert texts(only(found)) == PLAIN


def test_files_are_dropped_and_counted_and_shared_copies_left_out(tmp_path: Path) -> None:
    asked = QUESTION | {"files": [{"type": "image", "url": "data:image/png;base64,AAAA"}, {"type": "file", "id": "f"}]}
    found = read(tmp_path, chat(asked, ANSWER), answered() | {"id": "c-2", "user_id": "shared-c-1"})
    assert [part.type for part in only(found).messages[0].parts] == ["image", "file"]
    assert notes(found) == {"image_dropped": 1, "file_dropped": 1, "shared_copy": 1}


# ---- feedback ---------------------------------------------------------------------------------------------------


def feedback(rating: Any = -1, **changes: Any) -> dict[str, Any]:
    data = {"rating": rating, "model_id": "qwen3:8b", "sibling_model_ids": ["gemma4:12b"], "reason": "too_verbose"}
    meta = {"arena": False, "message_id": "a1", "chat_id": "c-1"} | changes.pop("meta", {})
    row = {"id": "f-1", "user_id": "u-2", "type": "rating", "data": data, "meta": meta, "updated_at": 1795000015}
    return row | {"snapshot": {"chat": answered(annotation={"rating": 1}) | {"id": "copy"}}} | changes


FEEDBACK: list[tuple[str, dict[str, Any], Any]] = [
    ("down", feedback(), (-1, "person")),
    ("up, as a text", feedback("1"), (1, "person")),
    ("a draw", feedback(0), "draw"),
    ("a draw, as a text", feedback("0"), "draw"),
    ("in the arena", feedback(1, meta={"arena": True}), (1, "judge")),
]


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in FEEDBACK], ids=[row[0] for row in FEEDBACK])
def test_a_piece_of_feedback_is_a_vote_on_the_live_chat(tmp_path: Path, given: Any, expected: Any) -> None:
    found = read(tmp_path, given)
    votes = [(one.value, one.source) for one in found if isinstance(one, NewVote)]
    assert votes == ([expected] if isinstance(expected, tuple) else [])
    assert all(
        (one.message, one.rater, one.app) == ("c-1:a1", "u-2", "default") for one in found if isinstance(one, NewVote)
    )
    (copy,) = (one.conversation for one in found if isinstance(one, Snapshot))
    assert (copy.id, texts(copy), copy.votes) == ("c-1", PLAIN, ())  # the row's own vote counts, once
    assert expected not in ("draw",) or notes(found) == {"draw": 1}


def test_feedback_that_names_no_message_is_refused_with_its_reason(tmp_path: Path) -> None:
    found = read(tmp_path, feedback(), feedback(meta={"message_id": None}))
    assert [one.reason for one in found if isinstance(one, Refusal)] == ["no_chat"]


CSV_ROWS = [
    ("a vote on the model's only answer", "u-2,c-1,gemma4,-1,too_verbose,long", "created"),
    ("a draw", "u-2,c-1,gemma4,0,,", "draw"),
    ("a model that answered twice", "u-2,c-1,qwen3,1,,", "2 answers of this model"),
    ("a model that did not answer there", "u-2,c-1,other,1,,", "no answer of this model here"),
    ("a chat that is not stored", "u-2,c-9,gemma4,1,,", "no answer of this model here"),
    ("no chat", "u-2,,gemma4,1,,", "it names no chat and model"),
]


@pytest.mark.parametrize(("row", "expected"), [row[1:] for row in CSV_ROWS], ids=[row[0] for row in CSV_ROWS])
def test_a_row_of_the_csv_counts_where_one_answer_of_its_model_is_stored(
    store: Store, vault: Vault, tmp_path: Path, row: str, expected: str
) -> None:
    others = [ANSWER | {"id": f"a{number}", "model": "qwen3"} for number in range(2)]
    others.append(ANSWER | {"id": "a2", "model": "gemma4", "content": "", "output": OUTPUT})  # with a call of a tool
    chats = write(tmp_path / "chats.json", json.dumps([chat(QUESTION, *others)]))
    user, of_chat, model, rest = row.split(",", 3)
    heading = "id,user_id,chat_id,model_id,sibling_model_ids,rating,reason,comment,created_at,updated_at\n"
    line = f"f,{user},{of_chat},{model},,{rest},1795000012,1795000015\n"
    feedback_file = write(tmp_path / "feedback-history-export.csv", heading + line)
    with direct_post(store, vault) as post:
        import_file(chats, post, tmp_path)
        counts = import_file(feedback_file, post, tmp_path)
        again = import_file(feedback_file, post, tmp_path)
    if expected == "created":
        assert counts.of("votes", "created") == 1 and again.of("votes", "unchanged") == 1
        with store.read() as session:
            vote = session.exec(select(tables.Vote)).one()
            message = session.exec(select(tables.Message).where(tables.Message.client_hmac == vote.message_hmac)).one()
        assert (vote.value, vote.reason, message.model) == (-1, "too_verbose", "gemma4")
    elif expected == "draw":
        assert counts.left_out == {"draw": 1}
    else:
        assert list(counts.refused) in (["no_message"], ["no_chat"]) and expected in counts.problems[0][1]


def test_over_a_server_the_csv_is_refused_with_the_way_out(tmp_path: Path) -> None:
    vote = NewVote("default", "", "u", 1, answer=AnswerOf("c-1", "gemma4"))
    with http_post("http://127.0.0.1:9") as post:
        assert post([vote])() == [
            ("not_found", "it names no message, so only an import on the server's own machine, without --url, finds it")
        ]


# ---- webui.db ---------------------------------------------------------------------------------------------------


def database(path: Path, with_messages: bool) -> sqlite3.Connection:
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE chat (id TEXT PRIMARY KEY, user_id TEXT, title TEXT, chat TEXT, created_at BIGINT)")
    made.execute("CREATE TABLE feedback (id TEXT, user_id TEXT, type TEXT, data TEXT, meta TEXT, snapshot TEXT, created_at, updated_at)")  # fmt: skip
    kept = answered(annotation={"rating": -1}, content="An older text.")["chat"]
    made.execute("INSERT INTO chat VALUES (?, ?, ?, ?, ?)", ("c-1", "u-1", "Bread", json.dumps(kept), 1795000000))
    row = feedback(1)
    values = (row["id"], row["user_id"], "rating", *(json.dumps(row[name]) for name in ("data", "meta", "snapshot")))
    made.execute("INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, 1795000000, 1795000001))
    if with_messages:
        columns = "id, chat_id, user_id, role, parent_id, content, output, model_id, done, error, created_at"
        made.execute(f"CREATE TABLE chat_message ({columns})")
        for id, parent, role, content in (
            ("c-1-q1", None, "user", QUESTION["content"]),
            ("c-1-a1", "q1", "assistant", "Two days."),
        ):
            made.execute("INSERT INTO chat_message VALUES (?, 'c-1', 'u-1', ?, ?, ?, NULL, 'qwen3:8b', 1, NULL, 1795000000)", (id, role, parent, json.dumps(content)))  # fmt: skip
    made.commit()
    return made


@pytest.mark.parametrize("with_messages", [True, False], ids=["a table of messages", "messages in the chat"])
def test_the_database_is_read_while_it_is_written(tmp_path: Path, with_messages: bool) -> None:
    owner = database(tmp_path / "webui.db", with_messages)
    owner.execute("INSERT INTO chat VALUES ('c-9', 'u-9', '', '{}', 1)")  # not committed
    found = read_items(tmp_path / "webui.db")
    owner.close()
    given = only(found)
    assert given.messages[1] == MessageIn(
        "assistant", "Two days." if with_messages else "An older text.", "c-1:a1", "c-1:q1", model="qwen3:8b",
        time=given.messages[1].time,
    )  # fmt: skip
    assert [(vote.message, vote.value) for vote in given.votes] == [("c-1:a1", "down")]
    assert [(one.message, one.rater, one.value) for one in found if isinstance(one, NewVote)] == [("c-1:a1", "u-2", 1)]


def test_every_reason_of_these_formats_has_a_sentence(tmp_path: Path) -> None:
    from service.ingest.importers.reasons import REASONS

    assert {reason for _, _, reason in REFUSED} | {"draw", "arena", "no_message", "shared_copy"} <= set(REASONS)
