"""What was said in an exchange, whichever API it went through: turns in the shape of OpenAI's messages, answers likewise.

data: {"id": "chatcmpl-9c", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
data: {"id": "chatcmpl-9c", "choices": [{"index": 0, "delta": {"content": "lo!"}, "finish_reason": "stop"}]}
    ->  Reading(answer_id="chatcmpl-9c", answers=[{"role": "assistant", "content": "Hello!", "state": "complete"}], ...)
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipelines.errors import DataError

Given = dict[str, Any]
_MOST_BYTES = 64 << 20  # unpacked
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_LINE_ENDS = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Reading:
    """A chat as it was asked and answered. `previous` is the answer that it goes on from, where it brings no history.

    `is_elsewhere`: its history is kept by the upstream only, so that the turns alone would not say what was answered.
    """

    turns: list[Given]
    answers: list[Given]
    answer_id: str | None
    model: str | None
    tools: list[Given] = field(default_factory=list)
    user: str | None = None
    metadata: Given = field(default_factory=dict)
    previous: str | None = None
    is_elsewhere: bool = False


def unpack(body: bytes, encoding: str) -> bytes:
    """A body without its content coding; what a broken one held up to its end.

    Raises:
        DataError: a coding that cannot be read here, or more than 64 MiB.
    """
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _WINDOWS:
        raise DataError(f"the content coding {coding[:40]!r} cannot be read")
    try:
        return _inflate(body, _WINDOWS[coding])
    except zlib.error:
        if coding != "deflate":
            raise DataError("a compressed body is damaged") from None
    try:
        return _inflate(body, -15)  # what some servers call deflate
    except zlib.error:
        raise DataError("a compressed body is damaged") from None


def parse_object(body: bytes) -> Given:
    """The JSON object in a body.

    Raises:
        DataError: there is none.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"a body is no JSON ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise DataError("a body is no JSON object")
    return found


def stream_events(body: bytes) -> Iterator[Given]:
    """The JSON objects of a stream's events, in order; comments, [DONE] and an event that is cut off are passed over."""
    lines: list[bytes] = []
    for line in _LINE_ENDS.split(body.removeprefix(b"\xef\xbb\xbf")):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            yield from _event(lines)
            lines = []
    yield from _event(lines)


def asker(request: Given) -> str | None:
    """The person that a request's body names."""
    metadata = request.get("metadata")
    inner = metadata if isinstance(metadata, dict) else {}
    named = (request.get("user"), inner.get("user"), inner.get("user_id"), request.get("safety_identifier"))
    return next((one for one in named if isinstance(one, str) and one), None)


def objects(value: Any) -> list[Given]:
    """The objects of a list; nothing of anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """A value if it is a text, else nothing."""
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> int:
    """A value if it is a whole number, else 0."""
    return value if isinstance(value, int) else 0


def is_something(answer: Given) -> bool:
    """Whether an answer says anything."""
    return bool(text_of(answer.get("content")).strip() or answer.get("tool_calls") or answer.get("reasoning"))


def tools_of(request: Given) -> list[Given]:
    """The functions that a request lets the model call; tools that the upstream runs itself have no definition."""
    tools = objects(request.get("tools"))
    functions = [one["function"] if isinstance(one.get("function"), dict) else one for one in tools]
    return [
        {key: one[key] for key in ("name", "description", "parameters") if one.get(key) is not None}
        for one in functions
        if isinstance(one.get("name"), str)
    ]


def _inflate(body: bytes, window: int) -> bytes:
    unpacked = zlib.decompressobj(window).decompress(body, _MOST_BYTES + 1)
    if len(unpacked) > _MOST_BYTES:
        raise DataError(f"a compressed body unpacks to more than {_MOST_BYTES >> 20} MiB")
    return unpacked


def _event(lines: Iterable[bytes]) -> Iterator[Given]:
    try:
        yield parse_object(b"\n".join(lines))
    except DataError:
        return
