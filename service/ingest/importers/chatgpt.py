"""ChatGPT's export: a ZIP with conversations.json (or conversations-000.json and so on) and message_feedback.json.

    [{"conversation_id": "k", "current_node": "c", "mapping": {
       "a": {"parent": null, "message": null},
       "b": {"parent": "a", "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Hi"]}}},
       "c": {"parent": "b", "message": {"author": {"role": "assistant"}, "recipient": "all",
             "content": {"content_type": "text", "parts": ["Hello!"]}, "metadata": {"model_slug": "m"}}}}}]

    [{"id": "c", "conversation_id": "k", "rating": "thumbs_up"}]

Nodes are linked by `parent` alone: newer files have no `children`, and the order of a mapping says nothing. Reasoning and
calls of tools are nodes of their own, and ids are unique within a conversation only.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

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
from service.ingest.importers.thumbs import as_thumb
from service.ingest.importers.values import Object, first_row, id_of, label_of, list_of, object_of, text_of
from service.ingest.prepare import NewVote
from service.ingest.wire import ConversationIn, MessageIn, PartIn, State, ToolCallIn

_STATES: Mapping[str, State] = {"in_progress": "unfinished", "finished_partial_completion": "unfinished"}
_KINDS = {"image_asset_pointer": "image", "audio_asset_pointer": "audio", "video_container_asset_pointer": "video"}
_SILENT = frozenset({"reasoning_recap", "user_editable_context", "model_editable_context", "app_pairing_content"})


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of an entry, or the vote."""
    given = object_of(entry.decode(), "conversation")
    if "mapping" in given:
        yield from _conversation(given, options)
    elif "rating" in given:
        yield _vote(given, options)
    else:
        yield Note("not_a_chat")  # a project


@dataclass
class _Walk:
    """The tree while it is read: by node the message that it became, or None where it is left out."""

    conversation: str
    nodes: Object
    notes: Notes = field(default_factory=Notes)
    made: dict[str, MessageIn | None] = field(default_factory=dict)

    def take(self, node: str) -> None:
        """Reads a node's message."""
        message = object_of(object_of(self.nodes[node], "mapping").get("message"), "message")
        self.made[node] = self._message(node, message) if message else None

    def above(self, node: str) -> tuple[str | None, list[str]]:
        """The nearest node before this one that is a message, and what was thought in between."""
        thoughts: list[str] = []
        seen, at = {node}, self._parent(node)
        while at is not None and at in self.nodes and self.made.get(at) is None:
            if at in seen:
                raise NotTaken("cycle", "its messages follow one another in a circle")
            seen.add(at)
            thoughts.insert(0, _thoughts(object_of(object_of(self.nodes[at], "mapping").get("message"), "message")))
            at = self._parent(at)
        return at if at in self.nodes else None, list(filter(None, thoughts))

    def _parent(self, node: str) -> str | None:
        return label_of(object_of(self.nodes[node], "mapping").get("parent"))

    def _message(self, node: str, message: Object) -> MessageIn | None:
        metadata = object_of(message.get("metadata"), "metadata")
        content = object_of(message.get("content"), "content")
        kind = label_of(content.get("content_type"))
        if metadata.get("is_visually_hidden_from_conversation") or message.get("weight") == 0 or kind in _SILENT:
            self.notes["hidden"] += bool(_text(content))
            return None
        if kind == "thoughts":
            return None  # it belongs to what is said next
        author = object_of(message.get("author"), "author")
        role, name = author.get("role"), label_of(author.get("name"))
        if role not in ("system", "user", "assistant", "tool"):
            raise NotTaken("unknown_role", f"{str(role)[:40]!r} is no role of a chat (system, user, assistant, tool)")
        text, parts = _text(content), tuple(self._parts(content))
        if not text and not parts and role != "assistant":
            return None
        calls = _calls(node, message, text) if role == "assistant" else ()
        return MessageIn(
            role=role,
            content="" if calls else text,
            parts=parts,
            tool_calls=calls,
            name=name if role == "tool" else None,
            model=label_of(metadata.get("model_slug")) if role == "assistant" else None,
            time=moment(message.get("create_time")),
            state="error" if kind == "system_error" else _STATES.get(str(message.get("status")), "complete"),
        )

    def _parts(self, content: Object) -> Iterator[PartIn]:
        for part in list_of(content.get("parts"), "parts"):
            kind = _KINDS.get(str(part.get("content_type"))) if isinstance(part, dict) else None
            if kind is not None:
                self.notes[f"{kind}_dropped"] += 1
                yield drop_part(kind, json.dumps(part, sort_keys=True))  # type: ignore[arg-type]

    def linked(self) -> Iterator[MessageIn]:
        """The messages with their ids, parents, what was thought before them, and the calls that tools answer."""
        for node, message in self.made.items():
            if message is None:
                continue
            parent, thoughts = self.above(node)
            asked = self.made.get(parent) if parent is not None else None
            calls = asked.tool_calls if asked is not None and message.role == "tool" else ()
            yield msgspec.structs.replace(
                message,
                id=inside(self.conversation, node),
                parent=None if parent is None else inside(self.conversation, parent),
                reasoning="\n\n".join(thoughts) if message.role == "assistant" else "",
                tool_call_id=calls[0].id if calls else None,
            )


def _conversation(given: Object, options: Options) -> Iterator[Thing]:
    name = id_of(given.get("conversation_id") or given.get("id"), "conversation_id")
    walk = _Walk(name, object_of(given["mapping"], "mapping"))
    for node in walk.nodes:
        walk.take(node)
    messages, orphans = in_order(list(walk.linked()))
    if not messages:
        raise NotTaken("no_messages", "there are no messages in it that a person saw")
    yield ConversationIn(
        id=name,
        user=options.person(None, name),
        messages=messages,
        model=label_of(given.get("default_model_slug")),
        time=moment(given.get("create_time")),
    )
    yield Note("provider_terms")
    yield from notes_of(walk.notes)
    if orphans:
        yield Note("orphan", orphans)


def _calls(node: str, message: Object, text: str) -> tuple[ToolCallIn, ...]:
    """What is addressed to a tool is a call of it, and no text that people saw."""
    recipient = label_of(message.get("recipient")) or "all"
    return () if recipient == "all" else (ToolCallIn(recipient, _arguments(text), node),)


def _arguments(text: str) -> str:
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    return text if is_object else json.dumps({"input": text}, ensure_ascii=False)


def _text(content: Object) -> str:
    """The text of a content of any kind: parts, code, a tool's output, a page that was looked at."""
    if content.get("parts") is not None:
        return "\n".join(filter(None, map(_part_text, list_of(content["parts"], "parts"))))
    return text_of(
        next((content[key] for key in ("text", "result") if content.get(key) is not None), ""), "content.text"
    )


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    return label_of(part.get("text")) or "" if isinstance(part, dict) else ""


def _thoughts(message: Object) -> str:
    content = object_of(message.get("content"), "content")
    if content.get("content_type") != "thoughts":
        return ""
    thoughts = (object_of(one, "thoughts") for one in list_of(content.get("thoughts"), "thoughts"))
    return "\n".join(text for one in thoughts if (text := label_of(one.get("content"), one.get("summary"))))


def _vote(given: Object, options: Options) -> NewVote:
    conversation, value = id_of(given.get("conversation_id"), "conversation_id"), as_thumb(given["rating"])
    if value is None:
        raise NotTaken("not_a_thumb", "its `rating` is neither thumbs_up nor thumbs_down")
    return NewVote(
        app=options.app,
        message=inside(conversation, id_of(given.get("id"), "id")),
        rater=options.person(None, conversation),
        value=1 if value == "up" else -1,
        reason=tag(given.get("reason")),
        comment=_comment(given),
        at=moment(given.get("create_time")),
    )


def _comment(given: Object) -> str | None:
    """What a person wrote; `content` is JSON text with the boxes that were ticked and, perhaps, their words."""
    try:
        inner = json.loads(text_of(given.get("content"), "content") or "{}")
    except (ValueError, RecursionError):
        inner = {}
    return label_of(given.get("text"), inner.get("text") if isinstance(inner, dict) else None)


def _recognises(look: Look) -> bool:
    if look.kind != "json":
        return False
    is_chat = isinstance(look.first.get("mapping"), dict) and (
        "current_node" in look.first or "create_time" in look.first
    )
    return is_chat or _is_feedback(look) or (look.name.startswith("conversations") and "gizmo_id" in look.first)


def _is_feedback(look: Look) -> bool:
    return look.name == "message_feedback.json" or {"id", "conversation_id", "rating"} <= set(first_row(look.first))


FORMAT = Format(
    name="chatgpt",
    title="ChatGPT: the export (ZIP, conversations.json, message_feedback.json)",
    recognises=_recognises,
    read=each(convert),
    rank=lambda look: int(_is_feedback(look)),
)
