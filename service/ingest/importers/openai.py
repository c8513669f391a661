"""OpenAI's fine-tuning files: chats, and pairs of answers; one a line.

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo.", "weight": 0},
                  {"role": "user", "content": "Nicer?"}, {"role": "assistant", "content": "Hello!"}], "tools": []}

    {"input": {"messages": [{"role": "user", "content": "Hi"}], "tools": []},
     "preferred_output": [{"role": "assistant", "content": "Hello!"}],
     "non_preferred_output": [{"role": "assistant", "content": "Yo."}]}

`weight` 0: nothing is learned from that turn. Rows for reinforcement end with a user's turn and have no answer to learn.
"""

from collections.abc import Iterator

from service.ingest.importers.datasets import chat, content_id, pair
from service.ingest.importers.dialect import read_messages, read_tools
from service.ingest.importers.items import Entry, Format, Look, Options, Thing, each
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.values import Object, object_of
from service.ingest.wire import ConversationIn


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a row."""
    given, notes = object_of(entry.decode(), "row"), Notes()
    yield _pair(given, options, notes) if "preferred_output" in given else _chat(given, options, notes)
    yield from notes_of(notes)


def _chat(given: Object, options: Options, notes: Notes) -> ConversationIn:
    id = content_id("chatml", given.get("messages"))
    return chat(id, read_messages(given.get("messages"), notes), options, tools=read_tools(given.get("tools")))


def _pair(given: Object, options: Options, notes: Notes) -> ConversationIn:
    asked = object_of(given.get("input"), "input")
    return pair(
        content_id("dpo", given),
        read_messages(asked.get("messages"), notes, "input.messages"),
        read_messages(given.get("preferred_output"), notes, "preferred_output"),
        read_messages(given.get("non_preferred_output"), notes, "non_preferred_output"),
        options,
        read_tools(asked.get("tools")),
    )


def _recognises(look: Look) -> bool:
    if look.kind not in ("json", "parquet"):
        return False
    messages = look.first.get("messages")
    is_chat = isinstance(messages, list) and bool(messages) and all("role" in one for one in messages)
    return "preferred_output" in look.first or (is_chat and not ({"id", "user"} <= set(look.first)))


FORMAT = Format(
    name="openai",
    title="OpenAI: fine-tuning files, chats or pairs of answers (JSON lines)",
    recognises=_recognises,
    read=each(convert),
)
