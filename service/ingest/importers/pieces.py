"""Pieces that many programs' files have in common: times, tags, blocks of content, calls of tools, reasoning in a text."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from service.ingest.client_keys import PART_KINDS, REASONING_PARTS, TEXT_PARTS
from service.ingest.importers.items import Note, NotTaken, drop_part
from service.ingest.importers.turns import Call, Drop, Result, Say, Step, Think
from service.ingest.importers.values import Object, label_of, list_of, object_of
from service.ingest.wire import PartIn, PartKind

Notes = Counter[str]
_THOUGHTS = REASONING_PARTS | {"summary_text", "reasoning_text"}
_CALLS = frozenset({"tool_use", "tool_call", "function_call", "server_tool_use", "mcp_tool_use", "toolCallRequest"})
_RESULTS = frozenset(
    {"tool_result", "function_call_output", "mcp_tool_result", "web_search_tool_result", "toolCallResult"}
)
_RESULT_IDS = ("tool_use_id", "tool_call_id", "call_id", "toolCallId")
_CALL_IDS = ("call_id", "callId", "toolCallId", "id")
_LONGEST_TAG = 64
_THOUGHT = re.compile(
    r"\s*(?:<think(?:ing)?>(?P<tags>.*?)</think(?:ing)?>|<details type=\"reasoning\"[^>]*>\s*(?:<summary>.*?</summary>)?(?P<details>.*?)</details>)\s*",
    re.DOTALL,
)


def tag(value: Any) -> str | None:
    """A reason as a short tag of letters, digits and plain signs; None where nothing of it is left."""
    if not isinstance(value, str):
        return None
    return re.sub(r"[^\w .:/&+'-]+", " ", value).strip()[:_LONGEST_TAG].strip() or None


def notes_of(notes: Notes) -> Iterator[Note]:
    """What was left out, counted."""
    yield from (Note(reason, count) for reason, count in sorted(notes.items()) if count)


def think_apart(text: str) -> tuple[str, str]:
    """Reasoning that a text begins with, in tags, and the rest of it."""
    thoughts = []
    while found := _THOUGHT.match(text):
        inner = found["tags"] if found["tags"] is not None else _unquoted(found["details"])
        thoughts.append(inner.strip())
        text = text[found.end() :]
    return "\n\n".join(filter(None, thoughts)), text


def _unquoted(text: str) -> str:
    """Reasoning in <details> stands there as a quotation."""
    return re.sub(r"^(?:&gt;|>) ?", "", text.strip(), flags=re.MULTILINE)


# ---- blocks of content ----------------------------------------------------------------------------------------


def steps_of(content: Any, notes: Notes, name: str = "content") -> Iterator[Step]:
    """The steps in a message's content: a text, nothing, or a list of blocks in the spelling of OpenAI, Anthropic,
    LibreChat or the Responses API. What is dropped is counted in `notes`.

    Raises:
        NotTaken: it is none of these.
    """
    if content is None:
        return
    if isinstance(content, str):
        yield Say(content)
        return
    blocks = [content] if isinstance(content, dict) else list_of(content, name)
    for at, block in enumerate(blocks):
        if isinstance(block, str):
            yield Say(block)
        else:
            yield from _block(object_of(block, f"{name}[{at}]"), notes)


def joined(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps with texts that follow one another made one: in an API's message they are pieces of one text."""
    for is_text, group in groupby(steps, key=lambda step: isinstance(step, Say)):
        if is_text:
            yield Say("".join(step.text for step in group if isinstance(step, Say)))
        else:
            yield from group


def text_and_parts(content: Any, notes: Notes) -> tuple[str, tuple[PartIn, ...]]:
    """The text of a message's content, and what stands for the rest. Raises NotTaken."""
    steps = list(steps_of(content, notes))
    text = "".join(step.text for step in steps if isinstance(step, Say))
    return text, tuple(step.part for step in steps if isinstance(step, Drop))


def _block(block: Object, notes: Notes) -> Iterator[Step]:
    kind = block.get("type")
    if not isinstance(kind, str | None):
        raise NotTaken("unknown_shape", "the `type` of a block in it is no text")
    if kind in TEXT_PARTS or (kind is None and "text" in block):
        yield Say(block_text(block))
    elif kind in _THOUGHTS:
        yield Think(_thought(block))
    elif kind in _CALLS:
        yield from _call_and_result(block, notes)
    elif kind in _RESULTS:
        id = label_of(*(block.get(name) for name in _RESULT_IDS)) or ""
        yield result(id, block.get("content", block.get("output")), notes)
    elif kind is not None and kind in PART_KINDS:
        yield dropped(PART_KINDS[kind], block, notes)  # type: ignore[arg-type]
    else:
        notes["unknown_part"] += 1


def block_text(block: Object) -> str:
    """A block's text, which some keep in an object of its own."""
    for name in ("text", "refusal", "thinking", "think", "reasoning", "content"):
        found = block.get(name)
        found = found.get("value") if isinstance(found, dict) else found
        if isinstance(found, str):
            return found
    return ""


def _thought(block: Object) -> str:
    """The text of a block of reasoning; the Responses API has lists of them."""
    inner = [one for name in ("content", "summary") for one in _list(block.get(name)) if isinstance(one, dict)]
    return block_text(block) or "\n".join(filter(None, map(block_text, inner)))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _call_and_result(block: Object, notes: Notes) -> Iterator[Step]:
    """A call, and its answer where the same block has it."""
    inner = object_of(block.get("tool_call"), "tool_call") or block
    found = call(inner)
    yield found
    if inner.get("output") is not None:
        yield result(found.id, inner["output"], notes, found.name)


def call(given: Object) -> Call:
    """A call in OpenAI's shape (`function`), Anthropic's, LibreChat's or a bare one. Raises NotTaken: it names no tool."""
    inner = {**given, **object_of(given.get("function"), "function")}
    name = label_of(inner.get("name"))
    if name is None:
        raise NotTaken("unknown_shape", "a call in it names no tool")
    found = (inner[one] for one in ("arguments", "input", "args", "parameters") if inner.get(one) is not None)
    value: Any = next(found, {})
    text = (value if value.strip() else "{}") if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Call(label_of(*(inner.get(one) for one in _CALL_IDS)) or "", name, text)


def result(id: str, given: Any, notes: Notes, name: str | None = None) -> Result:
    """A tool's answer as text: of blocks what is text, of other values their JSON."""
    if isinstance(given, list) and all(
        isinstance(one, str) or isinstance(one, dict) and "type" in one for one in given
    ):
        return Result(id, text_and_parts(given, notes)[0], name)
    if given is None or isinstance(given, str):
        return Result(id, given or "", name)
    return Result(id, json.dumps(given, ensure_ascii=False), name)


def dropped(kind: PartKind, given: Any, notes: Notes) -> Drop:
    """The step that stands for something that is not kept, and counts it."""
    notes[f"{kind}_dropped"] += 1
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, sort_keys=True, default=str)
    return Drop(drop_part(kind, text))
