"""LibreChat's export of a conversation.

    {"conversationId": "k-1", "options": {"model": "m"}, "messagesTree": [
      {"messageId": "a", "parentMessageId": "00000000-...", "isCreatedByUser": true, "text": "Hi", "children": [
        {"messageId": "b", "parentMessageId": "a", "isCreatedByUser": false, "text": "", "error": false, "unfinished": false,
         "content": [{"type": "think", "think": "Hm."}, {"type": "text", "text": {"value": "Hello!"}}],
         "feedback": {"rating": "thumbsUp", "tag": {"key": "clear_well_written"}, "text": "nice"}, "children": []}]}]}

A flat export has `messages`, linked by `parentMessageId`. Nobody is named, and `exportAt` is a time without a date.
"""

from collections.abc import Iterator
from typing import Any

from service.ingest.importers.items import (
    Entry,
    Format,
    Look,
    Note,
    NotTaken,
    Options,
    Thing,
    each,
    in_order,
    inside,
    moment,
)
from service.ingest.importers.pieces import Notes, dropped, notes_of, steps_of, tag
from service.ingest.importers.thumbs import as_thumb
from service.ingest.importers.turns import Drop, Say, Step, answer_messages
from service.ingest.importers.values import Object, id_of, label_of, list_of, object_of, objects_of, text_of
from service.ingest.wire import ConversationIn, MessageIn, State, VoteIn

# What the page draws and nobody said; `error` is told by the state of its turn.
_SILENT = frozenset({"agent_update", "summary", "activity_label", "error"})


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of an entry with its votes, and what was left out of it."""
    given = object_of(entry.decode(), "conversation")
    name = id_of(given.get("conversationId"), "conversationId")
    flat = list(_flat(given))
    if not flat:
        raise NotTaken("no_messages", "there are no messages in it")
    notes = Notes()
    messages: list[MessageIn] = []
    leaves: dict[str, str] = {}  # what follows an answer that ends with a tool's output follows that output
    for row in flat:
        made = _messages(row, name, leaves, notes)
        leaves[id_of(row.get("messageId"), "messageId")] = str(made[-1].id)
        messages += made
    ordered, orphans = in_order(messages)
    model = label_of(object_of(given.get("options"), "options").get("model"))
    yield ConversationIn(
        id=name,
        user=options.person(None, name),
        messages=ordered,
        votes=tuple(vote for row in flat if (vote := _vote(row, name)) is not None),
        model=model,
        time=next((one.time for one in ordered if one.time is not None), None),
    )
    yield from notes_of(notes)
    if orphans:
        yield Note("orphan", orphans)


def _flat(given: Object) -> Iterator[Object]:
    """Every message, parents before their children."""
    waiting = [(row, None) for row in objects_of(given.get("messages", given.get("messagesTree")), "messages")][::-1]
    while waiting:
        row, parent = waiting.pop()
        yield row if parent is None else {**row, "parentMessageId": parent}
        children = objects_of(row.get("children"), "children")
        waiting += [(child, row.get("messageId")) for child in children][::-1]


def _messages(row: Object, conversation: str, leaves: dict[str, str], notes: Notes) -> list[MessageIn]:
    id = inside(conversation, id_of(row.get("messageId"), "messageId"))
    above = label_of(row.get("parentMessageId")) or ""
    # the root's parent is an id of zeros; one that comes later in a flat file has no leaf yet
    parent = leaves.get(above) or (inside(conversation, above) if above.strip("0-") else None)
    time = moment(row.get("createdAt"))
    steps = [*_steps(row, notes), *(_attached(one, notes) for one in list_of(row.get("files"), "files"))]
    if row.get("isCreatedByUser"):
        text = "".join(step.text for step in steps if isinstance(step, Say))
        parts = tuple(step.part for step in steps if isinstance(step, Drop))
        return [MessageIn("user", text, id, parent, parts=parts, time=time)]
    state = _state(row)
    return list(answer_messages(id, parent, steps, model=label_of(row.get("model")), time=time, state=state)[0])


def _steps(row: Object, notes: Notes) -> Iterator[Step]:
    """What the turn says: `text` is empty, or a copy, where there is `content`."""
    blocks = objects_of(row.get("content"), "content") if not isinstance(row.get("content"), str) else []
    if not blocks:
        yield from steps_of(text_of(row.get("text"), "text") or None, notes)
    for block in blocks:
        kind = label_of(block.get("type"))
        if kind == "steer":
            notes["unknown_part"] += 1  # words of a person in the middle of an answer
        elif kind not in _SILENT:
            yield from steps_of([block], notes)


def _attached(given: Any, notes: Notes) -> Step:
    file = object_of(given, "files")
    kind = str(file.get("type", "")).partition("/")[0]
    return dropped(kind if kind in ("image", "audio", "video") else "file", file, notes)  # type: ignore[arg-type]


def _state(row: Object) -> State:
    failed = any(isinstance(one, dict) and one.get("type") == "error" for one in row.get("content") or ())
    if row.get("error") or failed:
        return "error"
    return "unfinished" if row.get("unfinished") else "complete"


def _vote(row: Object, conversation: str) -> VoteIn | None:
    feedback = object_of(row.get("feedback"), "feedback")
    value = as_thumb(feedback.get("rating"))
    if value is None or row.get("isCreatedByUser"):
        return None
    why = feedback.get("tag")
    return VoteIn(
        message=inside(conversation, id_of(row.get("messageId"), "messageId")),
        value=value,
        reason=tag(why.get("key") if isinstance(why, dict) else why),
        comment=label_of(feedback.get("text")),
        time=moment(feedback.get("date", row.get("updatedAt"))),
    )


def _recognises(look: Look) -> bool:
    return (
        look.kind == "json"
        and "conversationId" in look.first
        and ("messagesTree" in look.first or _is_flat(look.first))
    )


def _is_flat(first: Any) -> bool:
    return isinstance(first.get("messages"), list) and any("isCreatedByUser" in one for one in first["messages"])


FORMAT = Format(
    name="librechat", title="LibreChat: an exported conversation (JSON)", recognises=_recognises, read=each(convert)
)
