"""Requests in the shape of Anthropic's Messages API, one a line or in a list.

    {"system": "Be brief.", "tools": [{"name": "clock", "input_schema": {}}], "messages": [
      {"role": "user", "content": "The time?"},
      {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "clock", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "9:00"}]},
      {"role": "assistant", "content": "Nine."}]}

The answer to a request, where it is kept beside it as `response`, is its last message.
"""

from collections.abc import Iterator

from service.ingest.importers.datasets import chat, content_id
from service.ingest.importers.dialect import read_message, read_messages, read_tools, system_text
from service.ingest.importers.items import Entry, Format, Look, Options, Thing, each
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.values import object_of
from service.ingest.wire import MessageIn

_BLOCKS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking", "document"})


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a request."""
    given, notes = object_of(entry.decode(), "request"), Notes()
    system = system_text(given.get("system"))
    messages = [MessageIn("system", system)] if system else []
    messages += read_messages(given.get("messages"), notes)
    if "response" in given:
        messages += read_message({"role": "assistant", **object_of(given["response"], "response")}, notes)
    id = content_id("anthropic", given.get("system"), given.get("messages"), given.get("response"))
    yield chat(id, messages, options, tools=read_tools(given.get("tools")))
    yield from notes_of(notes)


def _recognises(look: Look) -> bool:
    if look.kind != "json" or not isinstance(look.first.get("messages"), list):
        return False
    contents = [one.get("content") for one in look.first["messages"]]
    blocks = [
        block for content in contents if isinstance(content, list) for block in content if isinstance(block, dict)
    ]
    tools = look.first.get("tools") or ()
    return (
        "system" in look.first
        and "conversations" not in look.first
        or any(block.get("type") in _BLOCKS for block in blocks)
        or any("input_schema" in tool for tool in tools)
    )


FORMAT = Format(
    name="anthropic",
    title="Anthropic: messages in the shape of its API (JSON lines or a list)",
    recognises=_recognises,
    read=each(convert),
)
