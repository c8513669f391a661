"""The dataset shapes of Hugging Face's TRL: chats, prompts with completions, pairs, labelled answers; JSON lines or Parquet.

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    {"prompt": "Hi", "completion": " Hello!"}                                    with "label": true or false it is a thumb
    {"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
    {"chosen": [{"role": "user", ...}, {"role": "assistant", ...}], "rejected": [...]}      the prompt is what both begin with

`tools` may be a list or its JSON text. Of a prompt with a completion only the completion is learnt.
"""

from collections.abc import Iterator
from os.path import commonprefix
from typing import Any

import msgspec

from service.ingest.importers.datasets import chat, content_id, pair
from service.ingest.importers.dialect import read_messages, read_tools
from service.ingest.importers.items import Entry, Format, Look, NotTaken, Options, Thing, each
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.values import Object, object_of
from service.ingest.wire import ConversationIn, MessageIn, Role


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a row."""
    given, notes = object_of(entry.decode(), "row"), Notes()
    given = {name: value for name, value in given.items() if value is not None}  # columns that a row leaves empty
    yield _conversation(given, options, notes)
    yield from notes_of(notes)


def _conversation(given: Object, options: Options, notes: Notes) -> ConversationIn:
    id, tools = content_id("trl", given), read_tools(given.get("tools"))
    if "chosen" in given and "rejected" in given:
        prompt, chosen, rejected = _sides(given, notes)
        return pair(id, prompt, chosen, rejected, options, tools)
    if "completion" in given:
        prompt = [_unlearnt(one) for one in _said(given.get("prompt"), "user", notes)]
        completion = _said(given["completion"], "assistant", notes)
        return chat(id, [*prompt, *completion], options, tools=tools, label=_label(given.get("label")))
    if "messages" in given:
        return chat(
            content_id("chatml", given["messages"]), read_messages(given["messages"], notes), options, tools=tools
        )
    raise NotTaken("unknown_shape", "it has neither `messages`, nor a `completion`, nor `chosen` and `rejected`")


def _sides(given: Object, notes: Notes) -> tuple[list[MessageIn], list[MessageIn], list[MessageIn]]:
    """The prompt and the two answers; of two texts without a prompt it is what both begin with, up to a word's end."""
    chosen, rejected = given["chosen"], given["rejected"]
    if "prompt" not in given and isinstance(chosen, str) and isinstance(rejected, str):
        begin = commonprefix([chosen, rejected])
        begin = begin[: begin.rfind(" ")] if " " in begin else ""
        given = {"prompt": begin, "chosen": chosen[len(begin) :], "rejected": rejected[len(begin) :]}
    prompt = _said(given["prompt"], "user", notes) if given.get("prompt") else []
    return prompt, _said(given["chosen"], "assistant", notes), _said(given["rejected"], "assistant", notes)


def _said(value: Any, role: Role, notes: Notes) -> list[MessageIn]:
    """Messages, or one text; a completion begins with the blank that parts it from its prompt."""
    if isinstance(value, str):
        return [MessageIn(role, value.removeprefix(" ") if role == "assistant" else value)]
    return read_messages(value, notes)


def _unlearnt(message: MessageIn) -> MessageIn:
    return msgspec.structs.replace(message, weight=0) if message.role == "assistant" else message


def _label(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise NotTaken("unknown_shape", "`label` is neither true nor false")


def _recognises(look: Look) -> bool:
    keys = {name for name, value in look.first.items() if value is not None}
    if {"conversations", "instruction"} & keys:
        return False
    return look.kind in ("json", "parquet") and ({"chosen", "rejected"} <= keys or {"prompt", "completion"} <= keys)


FORMAT = Format(
    name="trl",
    title="TRL: chats, completions, pairs and labelled answers (JSON lines or Parquet)",
    recognises=_recognises,
    read=each(convert),
)
