"""Open WebUI: the chats that a person or an admin exported, as JSON.

    [{"id": "c-1", "user_id": "u-1", "created_at": 1795000000, "chat": {"history": {"currentId": "a1", "messages": {
      "q1": {"id": "q1", "parentId": null, "role": "user", "content": "How long does dough rest?"},
      "a1": {"id": "a1", "parentId": "q1", "role": "assistant", "content": "", "model": "qwen3:8b", "done": true,
             "output": [{"type": "message", "content": [{"type": "output_text", "text": "An hour."}]}],
             "annotation": {"rating": 1, "reason": "attention_to_detail"}}}}}}]

What an answer is made of stands in `output`, or in older versions in `content`, with `<details>` around what was thought
and called. `chat.messages` is a copy of one branch and read only where there is no tree.
"""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import msgspec
from msgspec import Struct

from service.ingest.importers.items import (
    Entry,
    Format,
    Look,
    Note,
    NotTaken,
    Options,
    Thing,
    drop_part,
    each,
    in_order,
    inside,
    moment,
)
from service.ingest.importers.pieces import Notes, notes_of, tag
from service.ingest.importers.thumbs import Thumb
from service.ingest.importers.turns import Call, Drop, Result, Say, Step, Think, answer_messages
from service.ingest.wire import ConversationIn, FeedbackSource, MessageIn, PartIn, State, VoteIn

_DETAILS = re.compile(r'<details type="(\w+)"([^>]*)>\n?(.*?)</details>\n?', re.DOTALL)
_ATTRIBUTE = re.compile(r'([\w-]+)="(.*?)"', re.DOTALL)
_SUMMARY = re.compile(r"<summary>.*?</summary>\n?", re.DOTALL)
_HALF = 6  # of ten: up from here on


class OpenWebUIMessage(Struct):
    """A message as Open WebUI keeps it."""

    id: str | None = None
    parentId: str | None = None
    role: str = ""
    content: Any = ""
    output: list[dict[str, Any]] | None = None
    model: str | None = None
    timestamp: Any = None
    done: bool | None = None
    error: Any = None
    annotation: dict[str, Any] | None = None
    files: list[Any] | None = None
    merged: Any = None
    arena: bool | None = None


class OpenWebUIHistory(Struct):
    """The tree of a chat: its messages by id."""

    messages: dict[str, OpenWebUIMessage] = {}


class OpenWebUIChat(Struct):
    """The inside of a chat: its tree, or a list of one branch in old files."""

    history: OpenWebUIHistory | None = None
    messages: list[OpenWebUIMessage] | None = None
    params: dict[str, Any] | None = None
    timestamp: Any = None


class ChatRow(OpenWebUIChat):
    """One exported chat; in old files it is the inside itself."""

    id: str | None = None
    user_id: str | None = None
    chat: OpenWebUIChat | None = None
    created_at: Any = None


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of an exported chat."""
    row: ChatRow = entry.decode(ChatRow)
    yield from read_chat(row, options)


def read_chat(row: ChatRow, options: Options) -> Iterator[Thing]:
    """The conversation, and notes of what was left out of it.

    Raises:
        NotTaken: it has no messages, a role that is not known, or nobody whose it is.
    """
    if (row.user_id or "").startswith("shared-"):  # the copy that others see; the chat itself is there too
        yield Note("shared_copy")
        return
    chat, notes = row.chat or row, Notes()
    given = _tree(chat)
    if not given:
        raise NotTaken("no_messages", "there are no messages in this chat")
    id = row.id or f"open-webui-{next(iter(given))}"
    messages, orphans = in_order(_messages(id, given, chat.params, notes))
    yield ConversationIn(
        id=id,
        user=options.person(row.user_id, id),
        messages=messages,
        votes=tuple(_votes(id, given)),
        time=moment(row.created_at) or moment(chat.timestamp),
    )
    notes["orphan"] += orphans
    yield from notes_of(+notes)


def thumb_in(rating: Any, details: Any) -> Thumb | None:
    """Which way a rating points: 1 or -1, as a number or a text, else a number of ten; None for a draw and for nothing."""
    try:
        value = int(rating)
    except (TypeError, ValueError):
        value = 0
        of_ten = details.get("rating") if isinstance(details, dict) else None
        if rating is None and isinstance(of_ten, int | float):
            value = 1 if of_ten >= _HALF else -1
    return "up" if value > 0 else "down" if value < 0 else None


def comment_in(text: Any) -> str | None:
    """What a person wrote beside a rating."""
    return text[:20_000] if isinstance(text, str) and text.strip() else None


def _tree(chat: OpenWebUIChat) -> Mapping[str, OpenWebUIMessage]:
    """The messages by id; those of a list follow one another."""
    if chat.history is not None and chat.history.messages:
        return chat.history.messages
    found: dict[str, OpenWebUIMessage] = {}
    last: str | None = None
    for position, message in enumerate(chat.messages or ()):
        if message.parentId is None:
            message.parentId = last
        last = message.id or str(position)
        found[last] = message
    return found


def _messages(
    chat: str, given: Mapping[str, OpenWebUIMessage], params: dict[str, Any] | None, notes: Notes
) -> Iterator[MessageIn]:
    """The messages with ids of their own; a chat's system prompt begins it. Children of an answer that ends with a tool's
    output follow that."""
    system = (params or {}).get("system")
    root = None
    if isinstance(system, str) and system.strip():
        root = inside(chat, "system")
        yield MessageIn("system", system, id=root)
    made = {name: _own_messages(chat, name, message, notes) for name, message in given.items()}
    for name, message in given.items():
        if message.parentId is None:
            parent = root
        else:
            above = made.get(message.parentId)
            parent = above[-1].id if above else inside(chat, message.parentId)
        first, *rest = made[name]
        yield msgspec.structs.replace(first, parent=parent)
        yield from rest
        if merged := _merged_text(message):
            yield MessageIn("assistant", merged, id=inside(chat, f"{name}/merged"), parent=parent)


def _own_messages(chat: str, name: str, message: OpenWebUIMessage, notes: Notes) -> list[MessageIn]:
    if message.role not in ("user", "assistant", "system"):
        raise NotTaken(
            "unknown_role", f"the message {name[:80]!r} has the role {message.role[:40]!r}, which is not known"
        )
    id, time = inside(chat, name), moment(message.timestamp)
    if message.role != "assistant":
        text, parts = _content(message, notes)
        return [MessageIn(message.role, text, id=id, parts=parts, time=time)]  # type: ignore[arg-type]
    state: State = "error" if message.error else "unfinished" if message.done is False else "complete"
    content = message.content
    if isinstance(content, str) and not message.output and not message.files and "<details" not in content:
        return [
            MessageIn("assistant", content, id=id, model=message.model, time=time, state=state)
        ]  # as nearly all are
    steps = [*_steps(message, notes), *map(Drop, _content(message, notes)[1])]
    return list(answer_messages(id, None, steps, model=message.model, time=time, state=state)[0])


def _content(message: OpenWebUIMessage, notes: Notes) -> tuple[str, tuple[PartIn, ...]]:
    """The text of a message, and the files beside it."""
    texts, parts = [], []
    blocks = message.content if isinstance(message.content, list) else [message.content]
    for block in [*blocks, *(message.files or ())]:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, dict) and block.get("type") == "text":
            texts.append(str(block.get("text") or ""))
        elif isinstance(block, dict):
            kind = "image" if str(block.get("type")).startswith("image") else "file"
            notes[f"{kind}_dropped"] += 1
            parts.append(drop_part(kind, msgspec.json.encode(block).decode()))  # type: ignore[arg-type]
    return "\n\n".join(texts), tuple(parts)


def _steps(message: OpenWebUIMessage, notes: Notes) -> list[Step]:
    """What an answer is made of: its `output`, with the text of `content` where somebody edited that."""
    content = message.content if isinstance(message.content, str) else _content(message, Notes())[0]
    written = [] if not message.output else list(_output_steps(message.output, notes))
    if not written:
        return list(_details_steps(content, notes))
    said = "\n\n".join(step.text for step in written if isinstance(step, Say))
    if not content.strip() or "<details" in content or content.strip() == said.strip():
        return written
    return [*(step for step in written if not isinstance(step, Say)), Say(content)]


def _output_steps(output: list[dict[str, Any]], notes: Notes) -> Iterator[Step]:
    for item in output:
        kind = item.get("type")
        if kind == "reasoning":
            yield Think(_joined(item.get("content")) or _joined(item.get("summary")))
        elif kind == "function_call":
            yield Call(
                str(item.get("call_id") or item.get("id") or ""),
                str(item.get("name") or "unnamed"),
                _json(item.get("arguments")),
            )
        elif kind == "function_call_output":
            yield Result(str(item.get("call_id") or ""), _joined(item.get("output")))
        elif kind == "message":
            yield Say(_joined(item.get("content")))
        else:
            notes["unknown_part"] += 1


def _details_steps(content: str, notes: Notes) -> Iterator[Step]:
    """The steps in a text of older versions, in which `<details>` hold what was thought and called."""
    at = 0
    for found in _DETAILS.finditer(content):
        yield from _said(content[at : found.start()])
        at = found.end()
        kind, attributes = found[1], {name: unescape(value) for name, value in _ATTRIBUTE.findall(found[2])}
        if kind == "reasoning":
            lines = unescape(_SUMMARY.sub("", found[3])).strip().splitlines()
            yield Think("\n".join(line.removeprefix(">").removeprefix(" ") for line in lines))
        elif kind == "tool_calls":
            id = attributes.get("id", "")
            yield Call(id, attributes.get("name") or "unnamed", _inner_text(attributes.get("arguments", "")) or "{}")
            if "result" in attributes:
                yield Result(id, _inner_text(attributes["result"]))
        else:
            notes["unknown_part"] += 1
    yield from _said(content[at:])


def _said(text: str) -> Iterator[Step]:
    if text.strip():
        yield Say(text.strip("\n"))


def _inner_text(value: str) -> str:
    """The text of a JSON string; what is none stays as it is."""
    try:
        found = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
    return found if isinstance(found, str) else value


def _joined(blocks: Any) -> str:
    """The texts of a list of blocks; a text is itself."""
    if not isinstance(blocks, list):
        return blocks if isinstance(blocks, str) else "" if blocks is None else _json(blocks)
    return "\n\n".join(str(one.get("text") or "") if isinstance(one, dict) else str(one) for one in blocks)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value if value.strip() else "{}"
    return "{}" if value is None else msgspec.json.encode(value).decode()


def _merged_text(message: OpenWebUIMessage) -> str:
    """The answer that was merged out of several models' ones, where there is one."""
    merged = message.merged
    content = merged.get("content") if isinstance(merged, dict) else None
    return content if isinstance(content, str) and message.role == "assistant" else ""


def _votes(chat: str, given: Mapping[str, OpenWebUIMessage]) -> Iterator[VoteIn]:
    """The thumbs that stand on the messages themselves, of the chat's own person."""
    for name, message in given.items():
        noted = message.annotation
        thumb = thumb_in(noted.get("rating"), noted.get("details")) if noted and message.role == "assistant" else None
        if noted and thumb:
            source: FeedbackSource = "judge" if message.arena else "person"
            yield VoteIn(
                inside(chat, name),
                thumb,
                reason=tag(noted.get("reason")),
                comment=comment_in(noted.get("comment")),
                source=source,
            )


def _recognises(look: Look) -> bool:
    if look.kind != "json":
        return False
    inner = look.first.get("chat", look.first)
    return (
        isinstance(inner["history"]["messages"], dict)
        if "history" in inner
        else isinstance(look.first["chat"]["messages"], list)
    )


FORMAT = Format("open-webui", "Open WebUI: exported chats (JSON)", _recognises, each(convert))
