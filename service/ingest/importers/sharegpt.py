"""ShareGPT's shape, as LLaMA-Factory reads it: chats, pairs of answers and labelled chats; a list or one a line.

    {"conversations": [{"from": "human", "value": "The time?"}, {"from": "function_call", "value": "{\"name\": \"clock\"}"},
                       {"from": "observation", "value": "9:00"}, {"from": "gpt", "value": "Nine."}],
     "system": "Be brief.", "tools": "[{\"name\": \"clock\"}]"}
    {"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Hello!"}, "rejected": {...}}
    {"conversations": [...], "kto_tag": false}

`tools` is a text. Some files of that name have `role` and `content` instead.
"""

import json
from collections.abc import Iterator
from typing import Any

from service.ingest.importers.datasets import chat, content_id, pair
from service.ingest.importers.dialect import read_messages, read_tools
from service.ingest.importers.items import Entry, Format, NotTaken, Options, Thing, each
from service.ingest.importers.pieces import Notes, notes_of, think_apart
from service.ingest.importers.values import Object, list_of, object_of, objects_of, text_of
from service.ingest.wire import ConversationIn, MessageIn

# Who speaks, beyond what is a role in any spelling.
_SPEAKERS = {
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "function_response": "tool",
    "tool_response": "tool",
}
_CALLS = ("function_call", "tool_call")


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a row."""
    given, notes = object_of(entry.decode(), "row"), Notes()
    yield _conversation(given, options, notes)
    yield from notes_of(notes)


def _conversation(given: Object, options: Options, notes: Notes) -> ConversationIn:
    system = text_of(given.get("system"), "system")
    head = [MessageIn("system", system)] if system else []
    messages = [*head, *_turns(given.get("conversations"), notes)]
    id, tools = content_id("sharegpt", given), read_tools(given.get("tools"))
    if "chosen" in given and "rejected" in given:
        chosen, rejected = (_turns([given[name]], notes) for name in ("chosen", "rejected"))
        return pair(id, messages, chosen, rejected, options, tools)
    return chat(id, messages, options, tools=tools, label=_label(given.get("kto_tag")))


def _turns(values: Any, notes: Notes) -> list[MessageIn]:
    rows = objects_of(list_of(values, "conversations"), "conversations")
    return read_messages([_row(row) for row in rows], notes, "conversations")


def _row(row: Object) -> Object:
    """The turn in the dialect of messages."""
    speaker = row.get("from", row.get("role"))
    if speaker in _CALLS:
        return _call(text_of(row.get("value", row.get("content")), "value"))
    return {**row, "from": _SPEAKERS.get(str(speaker).lower(), speaker)}


def _call(text: str) -> Object:
    """The message of a call, or of several: JSON, which reasoning may stand before."""
    reasoning, rest = think_apart(text)
    try:
        found = json.loads(rest)
    except (ValueError, RecursionError):
        raise NotTaken("unknown_shape", "a `function_call` in it is no JSON of a name and arguments") from None
    calls = [object_of(one, "function_call") for one in (found if isinstance(found, list) else [found])]
    return {"role": "assistant", "content": None, "reasoning": reasoning, "tool_calls": calls}


def _label(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise NotTaken("unknown_shape", "`kto_tag` is neither true nor false")


FORMAT = Format(
    name="sharegpt",
    title="ShareGPT: chats, pairs and labelled chats (a list, JSON lines or Parquet)",
    recognises=lambda look: look.kind in ("json", "parquet") and isinstance(look.first.get("conversations"), list),
    read=each(convert),
)
