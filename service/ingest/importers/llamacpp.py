"""The chats of llama.cpp's web page: a line for each chat, and a line for each of its messages behind it.

    {"type": "session", "id": "k", "name": "Time", "lastModified": 1795000020000, "currNode": "b"}
    {"type": "message", "message": {"convId": "k", "id": "a", "parent": "root", "role": "user", "type": "text",
       "content": "The time?", "timestamp": 1795000000000, "extra": []}}
    {"type": "message", "message": {"convId": "k", "id": "b", "parent": "a", "role": "assistant", "content": "Nine.", ...}}

The message that all others come from has no line. Nobody is named, and nothing is rated.
"""

from collections.abc import Iterable, Iterator

from service.ingest.importers.dialect import role_of
from service.ingest.importers.items import (
    Entry,
    Format,
    NotTaken,
    Options,
    Place,
    Placed,
    Refusal,
    Thing,
    in_order,
    inside,
    moment,
    refusal_of,
)
from service.ingest.importers.pieces import Notes, call, dropped, notes_of, steps_of
from service.ingest.importers.turns import Drop, Say, Step, Think, answer_messages
from service.ingest.importers.values import Object, id_of, inner_value, label_of, object_of, objects_of
from service.ingest.wire import ConversationIn, MessageIn, PartKind

_KINDS: dict[str, PartKind] = {"imageFile": "image", "audioFile": "audio", "videoFile": "video"}


def read(entries: Iterable[Entry], options: Options) -> Iterator[Placed]:
    """The conversation of each chat; one chat at a time is held."""
    place: Place | None = None
    rows: list[Object] = []
    for entry in entries:
        try:
            given = object_of(entry.decode(), "line")
            if given.get("type") == "session":
                yield from _finish(place, rows, options)
                place, rows = entry.place, [given]
            elif place is None:
                raise NotTaken("no_chat", "it is a message before the first chat")
            else:
                rows.append(object_of(given.get("message"), "message"))
        except Exception as error:  # whatever is wrong with one must not fail the others
            yield entry.place, refusal_of(error)
    yield from _finish(place, rows, options)


def _finish(place: Place | None, rows: list[Object], options: Options) -> Iterator[Placed]:
    if place is None:
        return
    try:
        for thing in _chat(rows[0], rows[1:], options):
            yield place, thing
    except Exception as error:  # whatever is wrong with one must not fail the others
        yield place, refusal_of(error)


def _chat(session: Object, rows: list[Object], options: Options) -> Iterator[Thing]:
    name, notes = id_of(session.get("id"), "id"), Notes()
    others = [row for row in rows if row.get("convId") not in (None, name)]
    if others:
        yield Refusal("no_chat", f"{len(others)} messages behind it name another chat than this one")
    own = [row for row in rows if row not in others and row.get("type") != "root"]
    if not own:
        raise NotTaken("no_messages", "there are no messages in it")
    messages: list[MessageIn] = []
    leaves: dict[str, str] = {}
    ids = [id_of(row.get("id"), "id") for row in own]
    known = set(ids)
    for row, id in zip(own, ids, strict=True):
        above = label_of(row.get("parent"))
        parent = (leaves.get(above) or inside(name, above)) if above in known and above is not None else None
        messages += _messages(row, inside(name, id), parent, notes)
        leaves[id] = str(messages[-1].id)
    ordered, _ = in_order(messages)
    yield ConversationIn(
        id=name,
        user=options.person(None, name),
        messages=ordered,
        model=next((message.model for message in ordered[::-1] if message.model), None),
        time=ordered[0].time or moment(session.get("lastModified")),
    )
    yield from notes_of(notes)


def _messages(row: Object, id: str, parent: str | None, notes: Notes) -> list[MessageIn]:
    role, time, steps = role_of(row.get("role")), moment(row.get("timestamp")), list(_steps(row, notes))
    if role == "assistant":
        return list(answer_messages(id, parent, steps, model=label_of(row.get("model")), time=time)[0])
    text = "".join(step.text for step in steps if isinstance(step, Say))
    if role == "tool":
        return [MessageIn("tool", text, id, parent, tool_call_id=label_of(row.get("toolCallId")), time=time)]
    parts = tuple(step.part for step in steps if isinstance(step, Drop))
    return [MessageIn(role, text, id, parent, parts=parts, time=time)]


def _steps(row: Object, notes: Notes) -> Iterator[Step]:
    yield from [Think(text)] if (text := label_of(row.get("reasoningContent"), row.get("thinking"))) else []
    yield from steps_of(row.get("content"), notes)
    yield from map(call, objects_of(inner_value(row.get("toolCalls") or None), "toolCalls"))
    for one in objects_of(row.get("extra"), "extra"):
        yield dropped(_KINDS.get(str(one.get("type")), "file"), one, notes)


FORMAT = Format(
    name="llamacpp",
    title="llama.cpp: chats of its web page (JSON lines)",
    recognises=lambda look: look.kind == "json" and look.first.get("type") == "session" and "id" in look.first,
    read=read,
    alone=False,
)
