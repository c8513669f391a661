"""What apps send, parsed and checked at once; what is wrong with it is said in one sentence with its place.

{"id": "c-1", "user": "u", "messages": [{"role": "usr", "content": "Hi"}]}
->  DataError("messages[0].role: 'usr' is none of system, developer, user, assistant, tool; send 'user'")
"""

import re
import unicodedata
from typing import Any, TypeVar

import msgspec

from pipelines.errors import DataError
from pipelines.text import find_nearest, shorten
from service.ingest.client_keys import INSTEAD
from service.ingest.natural import Natural
from service.ingest.nesting import refuse_deep, rows_of, strings_in
from service.ingest.wire import (
    MAX_BATCH,
    AnswerIn,
    ComparisonChangeIn,
    ComparisonIn,
    ConversationIn,
    CorrectionChangeIn,
    CorrectionIn,
    HintsIn,
    MessageIn,
    PartIn,
    PromptMessageIn,
    RetractionIn,
    ToolCallIn,
    ToolIn,
    VoteChangeIn,
    VoteIn,
    WholeComparisonIn,
)

Kind = TypeVar("Kind")
_TAG = "a reason is a tag of at most 64 letters, digits and . : / & + ' -; send what people wrote as `comment`"
_ALIKE = 0.75  # below that a hint misleads: `images` has most letters of `time`
# what to send in a field, by its name, where its kind is wrong, and where it is missing
_SHAPES = {
    "content": "a text, a list of parts, or null beside tool calls",
    "tool_calls": 'a list of {"id": ..., "name": ..., "arguments": ...}',
    "tools": 'a list of {"name": ..., "description": ..., "parameters": {...}}',
    "parameters": 'a JSON Schema, e.g. {"type": "object", "properties": {...}}',
    "messages": 'a list of {"role": ..., "content": ...}',
    "prompt": 'a text, or a list of {"role": ..., "content": ...}',
    "chosen": 'the answer as {"content": ...}, or without `prompt` its id',
    "rejected": 'the answer as {"content": ...}, or without `prompt` its id',
    "votes": 'a list of {"message": 1, "value": "up"}',
    "corrections": 'a list of {"message": 1, "content": ...}',
    "comparisons": 'a list of {"chosen": 2, "rejected": 1}',
    "time": "e.g. 2026-11-20T12:00:00Z, or seconds since 1970",
    "consent": "true or false",
    "satisfaction": "1, 2, 3, 4 or 5",
    "metadata": "an object",
    "hints": '{"language": "en", "topic": ...}',
}
_MISSING = {
    "id": "an id of your own, which makes sending the same again harmless",
    "user": "the id of the person whose it is, as your app knows them",
    "messages": _SHAPES["messages"],
    "role": "system, user, assistant or tool",
    "message": "the id of an answer, or its position in `messages` from 0",
    "value": "up or down",
    "name": "the name of the tool",
}
_NO_NOTES: tuple[str, ...] = ()


class Malformed(DataError):
    """What was sent is not JSON at all."""


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (ConversationIn, VoteChangeIn, RetractionIn, CorrectionChangeIn, ComparisonChangeIn, WholeComparisonIn)
}
_any = msgspec.json.Decoder()
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
# A list of ten million rows would be decoded, into a gigabyte, before its length is looked at; a struct ends at its last field.
_Rows = msgspec.defstruct(
    "_Rows",
    [(f"row_{number}", msgspec.Raw, msgspec.Raw()) for number in range(MAX_BATCH)],
    array_like=True,
    forbid_unknown_fields=True,
)
_rows = msgspec.json.Decoder(_Rows)


def parse_conversation(body: bytes) -> ConversationIn:
    """One conversation from JSON.

    Raises:
        Malformed: not JSON; the sentence names the byte.
        DataError: JSON of another shape; the sentence names the field, what it may be and what to send instead.
    """
    return _parse(ConversationIn, body)[0]


def parse_noted(body: bytes) -> tuple[ConversationIn, tuple[str, ...]]:
    """One conversation from JSON, and sentences about what of it is not kept; raises like parse_conversation."""
    return _parse(ConversationIn, body)


def parse_vote(body: bytes) -> VoteChangeIn:
    """A vote from JSON; raises like parse_conversation."""
    return _parse(VoteChangeIn, body)[0]


def parse_retraction(body: bytes) -> RetractionIn:
    """Whose vote to take back, from JSON; raises like parse_conversation."""
    return _parse(RetractionIn, body)[0]


def parse_correction(body: bytes) -> CorrectionChangeIn:
    """A correction from JSON; raises like parse_conversation."""
    found, _ = _parse(CorrectionChangeIn, body)
    refuse_blank(found.content, "content")
    return found


def parse_comparison(body: bytes) -> tuple[ComparisonChangeIn | WholeComparisonIn, tuple[str, ...]]:
    """A comparison from JSON, with its prompt if there is one, and what of it is not kept; raises like parse_conversation."""
    refuse_deep(body)
    if b'"prompt"' not in body or "prompt" not in _decoded(_keys, body):
        return _parse(ComparisonChangeIn, body)
    whole, notes = _parse(WholeComparisonIn, body)
    for name, one in (("prompt", whole.prompt[-1]), ("chosen", whole.chosen), ("rejected", whole.rejected)):
        if not one.tool_calls:
            refuse_blank(one.content, name)
    return whole, notes


def refuse_blank(text: str, place: str) -> None:
    """Refuses a text in which nothing can be seen: spaces, zero-width and control characters only.

    Raises:
        DataError: it is one; the sentence begins with `place`.
    """
    if not any(unicodedata.category(character)[0] not in "ZC" for character in text):
        raise DataError(f"{place}: there is no visible character in it; write the text that people would read")


def split_list(body: bytes) -> list[bytes]:
    """The rows of a JSON list, each still to be parsed: whatever is wrong with one is not the others' fault.

    Raises:
        Malformed: not a list of JSON rows.
        DataError: more than 1,000 rows; it is not read beyond them.
    """
    try:
        rows = [bytes(row) for row in msgspec.structs.astuple(_rows.decode(body)) if bytes(row)]
    except msgspec.ValidationError:
        raise _too_long() from None
    except (msgspec.DecodeError, RecursionError) as error:  # of one row, perhaps: half a character, or far too deep
        rows = rows_of(body, MAX_BATCH + 1) or []
        if not rows:
            raise _malformed(error, body) from None
    if len(rows) > MAX_BATCH:
        raise _too_long()
    return rows


def _too_long() -> DataError:
    return DataError(
        f"a list of more than {MAX_BATCH:,} conversations is too long: send at most {MAX_BATCH} at a time, or stream them "
        "to /v1/conversations/import"
    )


def _parse(kind: type[Kind], body: bytes) -> tuple[Kind, tuple[str, ...]]:
    """What is sent in our own shape is read at once; the rest is brought into it first (natural.py)."""
    refuse_deep(body)
    try:
        found, notes = _decoded(_decoders[kind], body), _NO_NOTES
    except msgspec.ValidationError:
        found, notes = _parse_natural(kind, body)
    # the decoders accept escaped NULs, which PostgreSQL cannot store; the raw bytes show cheaply whether to look
    if b"\\u0000" in body and any("\0" in text for text in strings_in(msgspec.json.decode(body))):
        raise DataError("the text holds a NUL character (\\u0000), which cannot be stored; remove it")
    return found, notes


def _parse_natural(kind: type[Kind], body: bytes) -> tuple[Kind, tuple[str, ...]]:
    value, natural = _decoded(_any, body), Natural()
    if kind in (ConversationIn, WholeComparisonIn):
        value = natural.conversation(value)
    else:
        value = natural.feedback(value, "")
    try:
        return msgspec.convert(value, kind), natural.notes
    except msgspec.ValidationError as error:
        raise DataError(_sentence(str(error), kind, value)) from None


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except UnicodeDecodeError:
        raise Malformed(f"this is not valid JSON: {_where_not_utf8(body)}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error, body) from None


def _malformed(error: Exception, body: bytes) -> DataError:
    if isinstance(error, RecursionError):
        return DataError(f"the JSON is nested too deeply, and does not end ({len(body)} bytes)")
    reason = _lower_first(str(error).removeprefix("JSON is malformed: "))
    return Malformed(f"this is not valid JSON: {reason} (of {len(body)} bytes)")


def _sentence(message: str, kind: type, value: Any) -> str:
    """msgspec's complaint with the path in plain words, the length of what is too long or too short, and for an unknown
    field the nearest known one."""
    unknown = re.match(r"Object contains unknown field `(.*?)`(?: - at `(.*)`)?$", message, re.DOTALL)
    if unknown:
        name, path = unknown.group(1), _path(unknown.group(2))
        known = _known_fields(kind, path)
        near = None if name in INSTEAD else find_nearest(name, known, _ALIKE)
        hint = INSTEAD.get(name) or (f"did you mean {near!r}?" if near else f"known are {', '.join(sorted(known))}")
        where = f" in {path}" if path else ""
        return f"unknown field {shorten(name)!r}{where}; {hint}"
    text, _, at = message.partition(" - at ")
    path = shorten(_path(at.strip("`")))
    if "matching regex" in text:
        return f"{path}: {_TAG}"
    missing = re.search(r"missing required field `(\w+)`", text)
    field = missing[1] if missing else re.sub(r"\[\d+\]$", "", path.rpartition(".")[2])
    hint = (_MISSING if missing else _SHAPES).get(field, "")
    text = shorten(text, 200) + (_length(text, path, value) or (hint and f"; send {hint}"))
    return f"{path}: {_lower_first(text)}" if path else _lower_first(text)


def _length(text: str, path: str, value: Any) -> str:
    """How long a value of the wrong length is, and what to do about it; nothing about other complaints."""
    wrong = re.match(r"Expected `(str|array)` of length (<=|>=)", text)
    found = _value_at(value, path) if wrong else None
    if wrong is None or not isinstance(found, str | list):
        return ""
    has = f"{len(found)} {'characters' if isinstance(found, str) else 'entries'}"
    return f", and this has {has}: {'shorten it' if wrong.group(2) == '<=' else 'fill it in'}"


def _value_at(value: Any, path: str) -> Any:
    """What stands at a path such as `messages[0].content`; None where the path does not say."""
    for name, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if number and isinstance(value, list):
            value = value[int(number)]
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def checked_id(name: str) -> str:
    """An id from the URL.

    Raises:
        DataError: it is empty, too long, or holds a NUL.
    """
    if not 1 <= len(name) <= 256 or "\0" in name:
        raise DataError(f"ids have 1 to 256 characters and no NUL; this one has {len(name)}: {shorten(name, 43)!r}")
    return name


def _known_fields(kind: type, path: str) -> list[str]:
    inner = {
        "messages": MessageIn,
        "votes": VoteIn,
        "hints": HintsIn,
        "corrections": CorrectionIn,
        "comparisons": ComparisonIn,
        "tools": ToolIn,
        "prompt": PromptMessageIn,
        "chosen": AnswerIn,
        "rejected": AnswerIn,
    }
    inside = {"tool_calls": ToolCallIn, "parts": PartIn}
    names = re.split(r"[.\[]", path)
    found = inner.get(names[0], kind) if path else kind
    found = next((inside[name] for name in names[1:] if name in inside), found)
    return [field.name for field in msgspec.structs.fields(found)] if hasattr(found, "__struct_fields__") else []


def _where_not_utf8(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start})"
    return "a text is not valid Unicode"


def _path(at: str | None) -> str:
    return (at or "").removeprefix("$").removeprefix(".")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
