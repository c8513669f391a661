"""A small file of every format, its values invented: what detection, imports and random mutations are tried on.

Each is a function, so that a test may change its copy. `SAMPLES` has them by the name of the file in which people find them.
"""

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

TEA = "How hot should the water for green tea be?"
HOT, BOILING = "About 75 degrees.", "Boiling, of course."
ROOT = "00000000-0000-0000-0000-000000000000"


class Sample(NamedTuple):
    """A file: the format it is of, its name, and what it holds: JSON values (lines for .jsonl), or bytes."""

    format: str
    name: str
    make: Callable[[], Any]

    def content(self) -> bytes:
        return encode(self.name, self.make())


def encode(name: str, value: Any) -> bytes:
    """The bytes of a file of that name."""
    if isinstance(value, bytes):
        return value
    if name.endswith(".jsonl"):
        return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in value)
    return json.dumps(value, ensure_ascii=False).encode()


# ---- chats of programs ----------------------------------------------------------------------------------------


def librechat() -> dict[str, Any]:
    call = {"id": "call_7", "name": "kettle", "args": '{"cup": 2}', "type": "tool_call", "output": "75", "progress": 1}
    good = {
        "messageId": "l-a",
        "parentMessageId": "l-q",
        "sender": "Mistral",
        "isCreatedByUser": False,
        "text": "",
        "model": "mistral-7b",
        "error": False,
        "unfinished": False,
        "createdAt": "2026-10-02T08:00:04.000Z",
        "updatedAt": "2026-10-02T08:00:09.000Z",
        "content": [
            {"type": "think", "think": "Green, so not boiling."},
            {"type": "tool_call", "tool_call": call},
            {"type": "text", "text": {"value": HOT}},
        ],
        "feedback": {"rating": "thumbsUp", "tag": {"key": "clear_well_written", "label": "Clear"}, "text": "thanks"},
        "children": [],
    }
    bad = {
        "messageId": "l-b",
        "parentMessageId": "l-q",
        "sender": "Mistral",
        "isCreatedByUser": False,
        "text": BOILING,
        "model": "mistral-7b",
        "error": False,
        "unfinished": False,
        "createdAt": "2026-10-02T08:00:20.000Z",
        "updatedAt": "2026-10-02T08:00:20.000Z",
        "feedback": {"rating": "thumbsDown", "tag": "inaccurate"},
        "children": [],
    }
    question = {
        "messageId": "l-q",
        "parentMessageId": ROOT,
        "sender": "User",
        "isCreatedByUser": True,
        "text": TEA,
        "createdAt": "2026-10-02T08:00:00.000Z",
        "error": False,
        "unfinished": False,
        "children": [good, bad],
    }
    return {
        "conversationId": "libre-1",
        "endpoint": "custom",
        "title": "Tea",
        "exportAt": "08:30:00 GMT+0000 (Coordinated Universal Time)",
        "branches": True,
        "recursive": True,
        "options": {"model": "mistral-7b"},
        "messagesTree": [question],
    }


def librechat_flat() -> dict[str, Any]:
    whole = librechat()
    [question] = whole.pop("messagesTree")
    rows = [question, *question.pop("children")]
    return whole | {"recursive": False, "messages": [{k: v for k, v in row.items() if k != "children"} for row in rows]}


def node(id: str, parent: str | None, role: str, content: Any, **message: Any) -> dict[str, Any]:
    """A node of ChatGPT's mapping; a text is its content in parts."""
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    usual = {"author": {"role": role, "name": None, "metadata": {}}, "create_time": 1790000000.5, "recipient": "all"}
    usual |= {"id": id, "content": content, "status": "finished_successfully", "metadata": {}}
    return {"id": id, "parent": parent, "message": usual | message}


def chatgpt() -> list[dict[str, Any]]:
    hidden = {"is_visually_hidden_from_conversation": True}
    picture = {
        "content_type": "image_asset_pointer",
        "asset_pointer": "file-service://file-77",
        "width": 4,
        "height": 4,
    }
    slug = {"model_slug": "gpt-y"}
    nodes = [
        node("g5", "g4", "assistant", HOT, metadata=slug),
        {"id": "g0", "parent": None, "message": None, "children": ["g1"]},
        node("g1", "g0", "system", "", weight=0.0, metadata=hidden),
        node("g2", "g1", "user", {"content_type": "multimodal_text", "parts": [picture, TEA]}),
        node(
            "g3",
            "g2",
            "assistant",
            {"content_type": "thoughts", "thoughts": [{"summary": "Tea", "content": "It is green."}]},
        ),
        node("g4", "g3", "assistant", {"content_type": "reasoning_recap", "content": "Thought for 2 s"}),
        node("g6", "g2", "assistant", BOILING, metadata=slug),
    ]
    mapping = {one["id"]: one for one in nodes}
    chat = {
        "id": "gpt-1",
        "conversation_id": "gpt-1",
        "title": "Tea",
        "create_time": 1790000000.25,
        "current_node": "g5",
    }
    return [chat | {"default_model_slug": "gpt-y", "gizmo_id": None, "mapping": mapping}]


def chatgpt_feedback() -> list[dict[str, Any]]:
    vote = {"id": "g5", "conversation_id": "gpt-1", "rating": "thumbs_up", "create_time": "2026-10-03T10:00:00Z"}
    return [vote | {"content": '{"tags": ["clear"], "text": "just right"}'}]


def chatgpt_zip() -> bytes:
    return zipped(
        {
            "conversations-000.json": encode("x.json", chatgpt()),
            "conversations-001.json": encode("x.json", [{"id": "p-1", "title": "a project", "gizmo_id": "g-p"}]),
            "message_feedback.json": encode("x.json", chatgpt_feedback()),
        }
    )


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def claude() -> list[dict[str, Any]]:
    when = "2026-10-04T09:00:0{}.000000Z"
    asked = {"uuid": "k-q", "sender": "human", "text": TEA, "content": [{"type": "text", "text": TEA}]}
    blocks = [
        {"type": "thinking", "thinking": "Not too hot."},
        {"type": "tool_use", "id": "tu-1", "name": "kettle", "input": {"cup": 2}},
        {"type": "tool_result", "tool_use_id": "tu-1", "content": [{"type": "text", "text": "75"}]},
        {"type": "text", "text": HOT},
    ]
    answer = {"uuid": "k-a", "sender": "assistant", "text": "", "content": blocks}
    rows = [
        one | {"created_at": when.format(at), "attachments": [], "files": []} for at, one in enumerate((asked, answer))
    ]
    chat = {"uuid": "claude-1", "name": "Tea", "created_at": when.format(0), "account": {"uuid": "acc-9"}}
    return [chat | {"chat_messages": rows}]


def lmstudio() -> dict[str, Any]:
    def text(words: str) -> list[dict[str, str]]:
        return [{"type": "text", "text": words}]

    def answer(*steps: dict[str, Any]) -> dict[str, Any]:
        return {"type": "multiStep", "role": "assistant", "steps": list(steps)}

    ended = {"stats": {"stopReason": "eosFound"}}
    thought = {"type": "contentBlock", "style": {"type": "thinking"}, "content": text("Not too hot.")}
    good = answer(thought, {"type": "contentBlock", "content": text(HOT), "genInfo": ended})
    bad = answer({"type": "contentBlock", "content": text(BOILING), "genInfo": ended}, {"type": "debugInfoBlock"})
    asked = {"type": "singleStep", "role": "user", "content": text(TEA)}
    more = {"type": "singleStep", "role": "user", "content": text("And black tea?")}
    return {
        "name": "Tea",
        "pinned": False,
        "createdAt": 1790000000321,
        "tokenCount": 12,
        "systemPrompt": "",
        "perChatPredictionConfig": {"fields": [{"key": "llm.prediction.systemPrompt", "value": "Be short."}]},
        "lastUsedModel": {"identifier": "phi-4"},
        "messages": [
            {"versions": [asked], "currentlySelected": 0},
            {"versions": [good, bad], "currentlySelected": 0},
            {"versions": [more], "currentlySelected": 0},
        ],
    }


def llamacpp() -> list[dict[str, Any]]:
    session = {"type": "session", "harness": "llama.app", "id": "llama-1", "name": "Tea", "lastModified": 1790000020000}
    asked = {
        "id": "w1",
        "parent": "w0",
        "children": ["w2", "w3"],
        "role": "user",
        "content": TEA,
        "timestamp": 1790000000000,
    }
    good = {"id": "w2", "parent": "w1", "children": [], "role": "assistant", "content": HOT, "timestamp": 1790000009000}
    bad = {
        "id": "w3",
        "parent": "w1",
        "children": [],
        "role": "assistant",
        "content": BOILING,
        "timestamp": 1790000019000,
    }
    rows = [one | {"convId": "llama-1", "type": "text", "extra": []} for one in (asked, good, bad)]
    return [
        session | {"currNode": "w2", "thinkingEnabled": True},
        *({"type": "message", "message": row} for row in rows),
    ]


OLLAMA = """
CREATE TABLE chats (id TEXT PRIMARY KEY, title TEXT, created_at TIMESTAMP, browser_state TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, chat_id TEXT, role TEXT, content TEXT, thinking TEXT, stream BOOLEAN,
    model_name TEXT, model_cloud BOOLEAN, model_ollama_host BOOLEAN, created_at TIMESTAMP, updated_at TIMESTAMP,
    thinking_time_start TIMESTAMP, thinking_time_end TIMESTAMP);
CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, message_id INTEGER, type TEXT, function_name TEXT, function_arguments TEXT,
    function_result TEXT);
CREATE TABLE attachments (id INTEGER PRIMARY KEY, message_id INTEGER, filename TEXT, data BLOB);
INSERT INTO chats VALUES ('olla-1', 'Tea', '2026-10-05 07:00:00', NULL);
INSERT INTO messages (chat_id, role, content, thinking, stream, model_name, created_at) VALUES
    ('olla-1', 'user', 'How hot should the water for green tea be?', '', 0, '', '2026-10-05 07:00:00'),
    ('olla-1', 'assistant', 'About 75 degrees.', 'Ask the kettle.', 0, 'qwen3:4b', '2026-10-05 07:00:05'),
    ('olla-1', 'user', 'And this cup?', '', 0, '', '2026-10-05 07:01:00'),
    ('olla-1', 'assistant', 'It is', '', 1, 'qwen3:4b', '2026-10-05 07:01:05');
INSERT INTO tool_calls (message_id, type, function_name, function_arguments, function_result)
    VALUES (2, 'function', 'kettle', '{"cup": 2}', '75');
INSERT INTO attachments (message_id, filename, data) VALUES (3, 'cup.png', x'00');
"""


def ollama() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.executescript(OLLAMA)
        found = database.serialize()
    database.close()
    return found


# ---- files for training ---------------------------------------------------------------------------------------

CALL = {"id": "c-1", "type": "function", "function": {"name": "kettle", "arguments": '{"cup": 2}'}}
TOOL = {"name": "kettle", "description": "Its temperature.", "parameters": {"type": "object", "properties": {}}}
USER, GOOD, BAD = (
    {"role": role, "content": text} for role, text in (("user", TEA), ("assistant", HOT), ("assistant", BOILING))
)


def anthropic() -> list[dict[str, Any]]:
    use = [{"type": "tool_use", "id": "tu-2", "name": "kettle", "input": {"cup": 2}}]
    results = [{"type": "tool_result", "tool_use_id": "tu-2", "content": "75"}, {"type": "text", "text": "Well?"}]
    turns = [USER, {"role": "assistant", "content": use}, {"role": "user", "content": results}, GOOD]
    tool = {"name": "kettle", "description": "Its temperature.", "input_schema": {"type": "object", "properties": {}}}
    return [{"system": "Be short.", "messages": turns, "tools": [tool]}]


def openai_chat() -> list[dict[str, Any]]:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    answered = {"role": "tool", "tool_call_id": "c-1", "content": "75"}
    turns = [{"role": "developer", "content": "Be short."}, USER, called, answered]
    turns += [{**BAD, "weight": 0}, {"role": "user", "content": "Really?"}, {**GOOD, "weight": 1}]
    return [{"messages": turns, "parallel_tool_calls": False, "tools": [{"type": "function", "function": TOOL}]}]


def openai_pair() -> list[dict[str, Any]]:
    asked = {"messages": [USER], "tools": [], "parallel_tool_calls": True}
    return [{"input": asked, "preferred_output": [GOOD], "non_preferred_output": [BAD]}]


def sharegpt() -> list[dict[str, Any]]:
    turns = [
        {"from": "human", "value": TEA},
        {"from": "function_call", "value": '{"name": "kettle", "arguments": {"cup": 2}}'},
        {"from": "observation", "value": "75"},
        {"from": "gpt", "value": HOT},
    ]
    return [{"conversations": turns, "system": "Be short.", "tools": json.dumps([TOOL])}]


def sharegpt_pair() -> list[dict[str, Any]]:
    sides = {"chosen": {"from": "gpt", "value": HOT}, "rejected": {"from": "gpt", "value": BOILING}}
    return [{"conversations": [{"from": "human", "value": TEA}], **sides}]


def sharegpt_labelled() -> list[dict[str, Any]]:
    return [{"conversations": [{"from": "user", "value": TEA}, {"from": "bing", "value": BOILING}], "kto_tag": False}]


def alpaca() -> list[dict[str, Any]]:
    row = {"instruction": "Give the temperature.", "input": "green tea", "output": HOT, "system": "Be short."}
    return [row | {"history": [["Hello", "Hello, a cup?"]]}]


def trl_completion() -> list[dict[str, Any]]:
    return [{"prompt": TEA, "completion": f" {HOT}"}]


def trl_pair() -> list[dict[str, Any]]:
    return [{"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}]


def trl_implicit() -> list[dict[str, Any]]:
    return [{"chosen": [USER, GOOD], "rejected": [USER, BAD]}]


def trl_labelled() -> list[dict[str, Any]]:
    return [{"prompt": [USER], "completion": [BAD], "label": False}]


# ---- what watches models --------------------------------------------------------------------------------------


def langfuse() -> list[dict[str, Any]]:
    usual = {"projectId": "p", "level": "DEFAULT", "environment": "production", "model": "llama-3", "metadata": {}}
    usual |= {"traceId": "t-1", "type": "GENERATION", "name": "chat", "userId": "u-7", "sessionId": "s"}
    root = {
        "id": "o-1",
        "parentObservationId": None,
        "isRootObservation": True,
        "startTime": "2026-10-06T08:00:00.000Z",
    }
    return [usual | root | {"input": [USER], "output": {"role": "assistant", "content": BOILING}}]


def langfuse_scores() -> list[dict[str, Any]]:
    usual = {"projectId": "p", "timestamp": "2026-10-06T08:01:00.000Z", "environment": "production", "comment": None}
    subject = {"kind": "observation", "id": "o-1", "traceId": "t-1"}
    thumb = {"id": "x-1", "name": "thumb", "source": "API", "dataType": "BOOLEAN", "value": False, "authorUserId": None}
    fix = {
        "id": "x-2",
        "name": "fix",
        "source": "ANNOTATION",
        "dataType": "CORRECTION",
        "value": HOT,
        "authorUserId": "rev-3",
    }
    return [usual | thumb | {"comment": "too hot", "subject": subject}, usual | fix | {"subject": subject}]


def langfuse_scores_v2() -> dict[str, Any]:
    usual = {"traceId": "t-1", "timestamp": "2026-10-06T08:01:00.000Z", "comment": None, "environment": "production"}
    thumb = {"id": "x-1", "name": "thumb", "source": "API", "dataType": "NUMERIC", "value": 0.0, "observationId": "o-1"}
    fix = {"id": "x-2", "name": "fix", "source": "ANNOTATION", "dataType": "CORRECTION", "value": 0, "stringValue": HOT}
    judge = {
        "id": "x-3",
        "name": "thumb",
        "source": "EVAL",
        "dataType": "NUMERIC",
        "value": 1.0,
        "observationId": "o-1",
    }
    rows = [thumb, fix | {"observationId": None, "authorUserId": "rev-3"}, judge]
    return {"data": [usual | one for one in rows], "meta": {"page": 1}}


def phoenix() -> dict[str, Any]:
    said = "llm.{}_messages.{}.message.{}"
    attributes = {
        "llm.model_name": "llama-3",
        "user.id": "u-7",
        "session.id": "s",
        said.format("output", 0, "role"): "assistant",
        said.format("output", 0, "content"): BOILING,
        said.format("input", 0, "role"): "user",
        said.format("input", 0, "content"): TEA,
    }
    span = {"id": "n-1", "name": "chat", "context": {"trace_id": "pt-1", "span_id": "ps-1"}, "parent_id": None}
    span |= {
        "span_kind": "LLM",
        "start_time": "2026-10-07T08:00:00+00:00",
        "status_code": "OK",
        "attributes": attributes,
    }
    usual = {
        "span_id": "ps-1",
        "name": "thumb",
        "source": "APP",
        "user_id": None,
        "metadata": {},
        "created_at": "2026-10-07T08:01:00+00:00",
    }
    person = {"id": "a-1", "annotator_kind": "HUMAN", "identifier": "u-8"}
    person |= {"result": {"label": "thumbs_down", "score": 0, "explanation": "too hot"}}
    model = {
        "id": "a-2",
        "annotator_kind": "LLM",
        "identifier": "judge-1",
        "result": {"label": "thumbs_up", "score": 1},
    }
    return {"spans": [span], "annotations": [usual | person, usual | model]}


def opik() -> dict[str, Any]:
    authors = {
        "ana@tea.invalid": {
            "value": 0.0,
            "reason": "too hot",
            "source": "ui",
            "last_updated_at": "2026-10-08T08:01:00Z",
        },
        "bo@tea.invalid": {"value": 1.0, "reason": None, "source": "ui", "last_updated_at": "2026-10-08T08:02:00Z"},
    }
    score = {"name": "thumb", "value": 0.5, "source": "ui", "created_by": "ana@tea.invalid", "value_by_author": authors}
    trace = {"id": "ot-1", "project_id": "p", "name": "chat", "start_time": "2026-10-08T08:00:00Z", "thread_id": "th"}
    trace |= {"input": {"messages": [USER]}, "output": {"choices": [{"message": BAD}]}, "metadata": {}}
    return {
        "trace": trace | {"feedback_scores": [score], "comments": []},
        "spans": [],
        "downloaded_at": "2026-10-09T08:00:00Z",
    }


def mlflow() -> list[dict[str, Any]]:
    person = {"source_type": "HUMAN", "source_id": "u-7"}
    first = {
        "assessment_id": "as-1",
        "assessment_name": "thumb",
        "source": person,
        "feedback": {"value": True},
        "valid": False,
    }
    second = {
        "assessment_id": "as-2",
        "assessment_name": "thumb",
        "source": person,
        "feedback": {"value": False},
        "valid": True,
    }
    second |= {"rationale": "too hot", "overrides": "as-1", "span_id": None, "create_time": "2026-10-10T08:01:00Z"}
    third = {
        "assessment_id": "as-3",
        "assessment_name": "expected_response",
        "expectation": {"value": HOT},
        "valid": True,
    }
    third |= {"source": {"source_type": "HUMAN", "source_id": "rev-3"}, "create_time": "2026-10-10T08:02:00Z"}
    info = {
        "trace_id": "mt-1",
        "request_time": "2026-10-10T08:00:00.000Z",
        "state": "OK",
        "request_preview": "How hot sh…",
    }
    info |= {"response_preview": "Boil…", "trace_metadata": {"mlflow.trace.user": "u-7"}, "tags": {}}
    attributes = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.spanInputs": json.dumps({"messages": [USER]}),
        "mlflow.spanOutputs": json.dumps(BOILING),
    }
    span = {"trace_id": "AA", "span_id": "BB", "parent_span_id": None, "name": "chat", "attributes": attributes}
    span |= {"start_time_unix_nano": 1790000000000000000, "status": {"code": "STATUS_CODE_OK"}}
    return [{"info": info | {"assessments": [first, second, third]}, "data": {"spans": [span]}}]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


SAMPLES: tuple[Sample, ...] = (
    Sample("librechat", "tea.json", librechat),
    Sample("librechat", "tea-flat.json", librechat_flat),
    Sample("chatgpt", "conversations.json", chatgpt),
    Sample("chatgpt", "message_feedback.json", chatgpt_feedback),
    Sample("claude", "conversations.json", claude),
    Sample("lmstudio", "1790000000321.conversation.json", lmstudio),
    Sample("llamacpp", "chats.jsonl", llamacpp),
    Sample("ollama", "db.sqlite", ollama),
    Sample("anthropic", "requests.jsonl", anthropic),
    Sample("openai", "sft.jsonl", openai_chat),
    Sample("openai", "dpo.jsonl", openai_pair),
    Sample("sharegpt", "sharegpt.json", sharegpt),
    Sample("sharegpt", "sharegpt-dpo.jsonl", sharegpt_pair),
    Sample("sharegpt", "sharegpt-kto.json", sharegpt_labelled),
    Sample("alpaca", "alpaca.json", alpaca),
    Sample("trl", "completion.jsonl", trl_completion),
    Sample("trl", "preference.jsonl", trl_pair),
    Sample("trl", "implicit.jsonl", trl_implicit),
    Sample("trl", "kto.jsonl", trl_labelled),
    Sample("langfuse", "observations.jsonl", langfuse),
    Sample("langfuse", "scores.json", langfuse_scores),
    Sample("langfuse", "scores-v2.json", langfuse_scores_v2),
    Sample("phoenix", "phoenix.json", phoenix),
    Sample("opik", "trace_ot-1.json", opik),
    Sample("mlflow", "traces.jsonl", mlflow),
)


def write(folder: Path, name: str, value: Any) -> Path:
    """A file with this content in a folder."""
    path = folder / name
    path.write_bytes(encode(name, value))
    return path
