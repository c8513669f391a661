"""What apps send, parsed and checked at once; what is wrong with it is said in one sentence with its place.

{"id": "c-1", "user": "u", "messages": [{"role": "usr", "content": "Hi"}]}
->  DataError("messages.0.role: 'usr' is not one of system, user, assistant, tool")
"""

import re
import unicodedata
from typing import Any

import msgspec

from pipelines.errors import DataError
from pipelines.text import find_nearest, shorten
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
    PromptMessageIn,
    RetractionIn,
    VoteChangeIn,
    VoteIn,
    WholeComparisonIn,
)


class Malformed(DataError):
    """What was sent is not JSON at all."""


_conversation = msgspec.json.Decoder(ConversationIn)
_vote = msgspec.json.Decoder(VoteChangeIn)
_retraction = msgspec.json.Decoder(RetractionIn)
_correction = msgspec.json.Decoder(CorrectionChangeIn)
_comparison = msgspec.json.Decoder(ComparisonChangeIn)
_whole_comparison = msgspec.json.Decoder(WholeComparisonIn)
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
        DataError: JSON of another shape; the sentence names the field.
    """
    found = _parse(_conversation, body, ConversationIn)
    assert isinstance(found, ConversationIn)
    return found


def parse_vote(body: bytes) -> VoteChangeIn:
    """A vote from JSON; raises like parse_conversation."""
    found = _parse(_vote, body, VoteChangeIn)
    assert isinstance(found, VoteChangeIn)
    return found


def parse_retraction(body: bytes) -> RetractionIn:
    """Whose vote to take back, from JSON; raises like parse_conversation."""
    found = _parse(_retraction, body, RetractionIn)
    assert isinstance(found, RetractionIn)
    return found


def parse_correction(body: bytes) -> CorrectionChangeIn:
    """A correction from JSON; raises like parse_conversation."""
    found = _parse(_correction, body, CorrectionChangeIn)
    assert isinstance(found, CorrectionChangeIn)
    refuse_blank(found.content, "content")
    return found


def parse_comparison(body: bytes) -> ComparisonChangeIn | WholeComparisonIn:
    """A comparison from JSON, with its prompt if there is one; raises like parse_conversation."""
    is_whole = "prompt" in _parse(_keys, body, dict)
    if is_whole:
        whole = _parse(_whole_comparison, body, WholeComparisonIn)
        assert isinstance(whole, WholeComparisonIn)
        for name, text in (
            ("prompt", whole.prompt[-1].content),
            ("chosen", whole.chosen.content),
            ("rejected", whole.rejected.content),
        ):
            refuse_blank(text, name)
        return whole
    found = _parse(_comparison, body, ComparisonChangeIn)
    assert isinstance(found, ComparisonChangeIn)
    return found


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


def _parse(decoder: msgspec.json.Decoder[Any], body: bytes, kind: type) -> Any:
    refuse_deep(body)
    try:
        found = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise DataError(_sentence(str(error), kind, body)) from None
    except UnicodeDecodeError:
        raise Malformed(f"this is not valid JSON: {_where_not_utf8(body)}") from None
    except msgspec.DecodeError as error:
        raise _malformed(error, body) from None
    # the decoders accept escaped NULs, which PostgreSQL cannot store; the raw bytes show cheaply whether to look
    if b"\\u0000" in body and any("\0" in text for text in strings_in(msgspec.json.decode(body))):
        raise DataError("the text holds a NUL character (\\u0000), which cannot be stored; remove it")
    return found


def _malformed(error: Exception, body: bytes) -> DataError:
    if isinstance(error, RecursionError):
        return DataError(f"the JSON is nested too deeply, and does not end ({len(body)} bytes)")
    reason = _lower_first(str(error).removeprefix("JSON is malformed: "))
    return Malformed(f"this is not valid JSON: {reason} (of {len(body)} bytes)")


def _sentence(message: str, kind: type, body: bytes) -> str:
    """msgspec's complaint with the path in plain words, the length of what is too long or too short, and for an unknown
    field the nearest known one."""
    unknown = re.match(r"Object contains unknown field `(.*?)`(?: - at `(.*)`)?$", message, re.DOTALL)
    if unknown:
        name, path = unknown.group(1), _path(unknown.group(2))
        known = _known_fields(kind, path)
        near = find_nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"known are {', '.join(sorted(known))}"
        where = f" in {path}" if path else ""
        return f"unknown field {shorten(name)!r}{where}; {hint}"
    text, _, at = message.partition(" - at ")
    path = shorten(_path(at.strip("`")))
    text = shorten(text, 200) + _length(text, path, body)
    return f"{path}: {_lower_first(text)}" if path else _lower_first(text)


def _length(text: str, path: str, body: bytes) -> str:
    """How long a value of the wrong length is, and what to do about it; nothing about other complaints."""
    wrong = re.match(r"Expected `(str|array)` of length (<=|>=)", text)
    try:
        found = _value_at(msgspec.json.decode(body), path) if wrong else None
    except (msgspec.MsgspecError, UnicodeDecodeError):  # what stands behind the value is wrong as well
        return ""
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
        "prompt": PromptMessageIn,
        "chosen": AnswerIn,
        "rejected": AnswerIn,
    }
    found = inner.get(re.split(r"[.\[]", path)[0], kind) if path else kind
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
