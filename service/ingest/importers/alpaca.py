"""Alpaca's shape, as LLaMA-Factory reads it: an instruction and its answer; a list or one a line.

    {"instruction": "Give the time.", "input": "In Ulm", "output": "Nine.", "system": "Be brief.", "history": [["Hi", "Hello!"]]}
    {"instruction": "Give the time.", "input": "", "chosen": "Nine.", "rejected": "Late."}
    {"instruction": "Give the time.", "input": "", "output": "Late.", "kto_tag": false}

The prompt is the instruction and, on a line of its own, the input.
"""

from collections.abc import Iterator
from typing import Any

from service.ingest.importers.datasets import chat, content_id, pair
from service.ingest.importers.dialect import read_tools
from service.ingest.importers.items import Entry, Format, Look, NotTaken, Options, Thing, each
from service.ingest.importers.values import Object, list_of, object_of, text_of
from service.ingest.wire import ConversationIn, MessageIn


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a row."""
    given = object_of(entry.decode(), "row")
    yield _conversation(given, options)


def _conversation(given: Object, options: Options) -> ConversationIn:
    id, prompt, tools = content_id("alpaca", given), list(_prompt(given)), read_tools(given.get("tools"))
    if "chosen" in given and "rejected" in given:
        chosen, rejected = (_answer(given, name) for name in ("chosen", "rejected"))
        return pair(id, prompt, chosen, rejected, options, tools)
    label = given.get("kto_tag")
    if label is not None and not isinstance(label, bool):
        raise NotTaken("unknown_shape", "`kto_tag` is neither true nor false")
    return chat(id, [*prompt, *_answer(given, "output")], options, tools=tools, label=label)


def _prompt(given: Object) -> Iterator[MessageIn]:
    if system := text_of(given.get("system"), "system"):
        yield MessageIn("system", system)
    for turn in list_of(given.get("history"), "history"):
        asked, answered = _both(turn)
        yield MessageIn("user", asked)
        yield MessageIn("assistant", answered)
    texts = (text_of(given.get(name), name) for name in ("instruction", "input"))
    yield MessageIn("user", "\n".join(filter(None, texts)))


def _both(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, list) or len(turn) != 2:
        raise NotTaken("unknown_shape", "an entry of `history` is no pair of a question and an answer")
    return text_of(turn[0], "history"), text_of(turn[1], "history")


def _answer(given: Object, name: str) -> list[MessageIn]:
    text = text_of(given.get(name), name)
    if not text.strip():
        raise NotTaken("no_answer", f"its `{name}` is empty, so there is nothing to learn from it")
    return [MessageIn("assistant", text)]


def _recognises(look: Look) -> bool:
    answers = {"output", "chosen"} & set(look.first)
    return look.kind in ("json", "csv", "parquet") and "instruction" in look.first and bool(answers)


FORMAT = Format(
    name="alpaca",
    title="Alpaca: instructions and answers (a list, JSON lines, CSV or Parquet)",
    recognises=_recognises,
    read=each(convert),
)
