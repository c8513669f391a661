"""Claude.ai's export (conversations.json).

    [{"uuid": "k", "account": {"uuid": "u-1"}, "chat_messages": [
       {"uuid": "a", "sender": "human", "text": "Hi", "content": [{"type": "text", "text": "Hi"}], "attachments": [], "files": []},
       {"uuid": "b", "sender": "assistant", "text": "", "parent_message_uuid": "a", "content": [
         {"type": "thinking", "thinking": "Hm."}, {"type": "tool_use", "id": "t", "name": "clock", "input": {}},
         {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "9:00"}]},
         {"type": "text", "text": "Nine."}]}]}]

`text` is empty or a copy where there are blocks; a tool's result stands in the assistant's own message.
"""

from collections.abc import Iterator

from service.ingest.importers.dialect import role_of
from service.ingest.importers.items import Entry, Format, Note, NotTaken, Options, Thing, each, in_order, inside, moment
from service.ingest.importers.pieces import Notes, dropped, notes_of, steps_of
from service.ingest.importers.turns import Drop, Say, Step, answer_messages
from service.ingest.importers.values import Object, id_of, label_of, list_of, object_of, objects_of, text_of
from service.ingest.wire import ConversationIn, MessageIn

_NOBODY = "00000000-0000-4000-8000-000000000000"  # the parent of the first message


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of an entry, and what was left out of it."""
    given = object_of(entry.decode(), "conversation")
    name = id_of(given.get("uuid"), "uuid")
    rows = objects_of(given.get("chat_messages"), "chat_messages")
    if not rows:
        raise NotTaken("no_messages", "there are no messages in it")
    notes, messages = Notes(), list[MessageIn]()
    leaves: dict[str, str] = {}
    before: str | None = None
    for row in rows:
        id = id_of(row.get("uuid"), "chat_messages.uuid")
        messages += _messages(row, inside(name, id), _parent(row, name, leaves, before), notes)
        before = leaves[id] = str(messages[-1].id)
    ordered, orphans = in_order(messages)
    account = label_of(object_of(given.get("account"), "account").get("uuid"))
    yield ConversationIn(
        id=name,
        user=options.person(account, name),
        messages=ordered,
        model=label_of(given.get("model")),
        time=moment(given.get("created_at")),
    )
    yield Note("provider_terms")
    yield from notes_of(notes)
    if orphans:
        yield Note("orphan", orphans)


def _parent(row: Object, conversation: str, leaves: dict[str, str], before: str | None) -> str | None:
    """The message that this one follows: the one it names, where files name any, else the one before it."""
    named = label_of(row.get("parent_message_uuid"))
    if named is None:
        return before
    return None if named == _NOBODY else leaves.get(named) or inside(conversation, named)


def _messages(row: Object, id: str, parent: str | None, notes: Notes) -> list[MessageIn]:
    role = role_of(row.get("sender"))
    steps = list(_steps(row, notes))
    time = moment(row.get("created_at"))
    if role != "assistant":
        text = "\n\n".join(step.text for step in steps if isinstance(step, Say))
        parts = tuple(step.part for step in steps if isinstance(step, Drop))
        return [MessageIn(role, text, id, parent, parts=parts, time=time)]
    return list(answer_messages(id, parent, steps, time=time)[0])


def _steps(row: Object, notes: Notes) -> Iterator[Step]:
    blocks = list_of(row.get("content"), "content")
    yield from steps_of(blocks or text_of(row.get("text"), "text") or None, notes)
    for name in ("attachments", "files"):
        yield from (dropped("file", one, notes) for one in list_of(row.get(name), name))


FORMAT = Format(
    name="claude",
    title="Claude.ai: the export (conversations.json)",
    recognises=lambda look: look.kind == "json" and {"uuid", "chat_messages"} <= set(look.first),
    read=each(convert),
)
