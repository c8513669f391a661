"""The shapes that chats have elsewhere, brought into ours (wire.py); only what is not ours already comes here.

    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}   ->  {"role": "system", "content": "Be brief."}
    {"role": "assistant", "content": null, "refusal": null, "tool_calls": [{"id": "t-1", "type": "function",
     "function": {"name": "weather", "arguments": {"city": "Ulm"}}}]}
        ->  {"role": "assistant", "content": "", "tool_calls": [{"id": "t-1", "name": "weather", "arguments": "{\"city\":\"Ulm\"}"}]}
    {"message": 1, "value": "thumbs_up", "rater": "u-4"}                        ->  {"message": 1, "value": "up", "user": "u-4"}

What is dropped on the way is noted, in words that quote nothing of it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from pipelines.errors import DataError
from pipelines.text import find_nearest, shorten
from service.ingest.client_keys import (
    CONVERSATION_KEYS,
    MESSAGE_KEYS,
    NAME_KEYS,
    PART_KINDS,
    REASONING_KEYS,
    REASONING_PARTS,
    ROLES,
    ROLES_MEANT,
    TEXT_PARTS,
    THUMBS,
    TIME_KEYS,
)

Given = dict[str, Any]
_STATES = ("complete", "unfinished", "error")
_SOURCES = ("person", "judge", "implicit")
_BETWEEN_WORDS = re.compile(r"[_\s]|(?<=\w)-")
_MILLISECONDS = 1e11  # a number of seconds that large is in the year 5138


class Natural:
    """Brings one row into our shapes; `notes` gathers what was dropped, each once."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was not kept."""
        return tuple(self._notes)

    def conversation(self, given: Any) -> Any:
        """A conversation, or a comparison that brings its prompt along."""
        if not isinstance(given, dict):
            return given
        row = self._without(given, CONVERSATION_KEYS, "")
        if isinstance(row.get("prompt"), str):
            row["prompt"] = [{"role": "user", "content": row["prompt"]}]
        for name, change in _LISTS.items():
            if isinstance(row.get(name), list):
                row[name] = [change(self, one, f"{name}[{at}]") for at, one in enumerate(row[name])]
        for name in ("chosen", "rejected"):
            if isinstance(row.get(name), dict):
                row[name] = self._answer(row[name], name)
        return self.feedback(row, "")

    def message(self, given: Any, place: str) -> Any:
        """A message of any client that is known."""
        if not isinstance(given, dict):
            return given
        row = self._without(given, MESSAGE_KEYS, place)
        self._move(row, REASONING_KEYS, "reasoning", place)
        self._move(row, TIME_KEYS, "time", place)
        self._move(row, NAME_KEYS, "name", place)
        self._take_pictures(row)
        if isinstance(row.get("content"), list):
            self._take_parts(row, place)
        elif row.get("role") == "tool" and isinstance(row.get("content"), dict):
            row["content"] = _json(row["content"])
        if isinstance(row.get("tool_calls"), list):
            row["tool_calls"] = [
                self._tool_call(one, f"{place}.tool_calls[{n}]") for n, one in enumerate(row["tool_calls"])
            ]
        self._take_old_call(given, row)
        if "content" not in row:
            row["content"] = self._no_content(given, row, place)
        if "role" in row:
            row["role"] = _role(row["role"], f"{place}.role")
        if "state" in row:
            _check_one_of(row["state"], _STATES, f"{place}.state")
        if "weight" in row:
            row["weight"] = _weight(row["weight"], f"{place}.weight")
        return _with_time(row)

    def feedback(self, given: Any, place: str) -> Any:
        """A vote, a correction or a comparison: thumbs in any spelling, a rater called by its older name."""
        if not isinstance(given, dict):
            return given
        row = {name: value for name, value in given.items() if value is not None and (name, value) != ("reason", "")}
        dot = f"{place}." if place else ""
        if "rater" in row and "user" not in row:
            row["user"] = row.pop("rater")
        elif row.get("rater") == row.get("user"):
            row.pop("rater", None)
        if "value" in row:
            row["value"] = thumb(row["value"], f"{dot}value")
        if "source" in row:
            _check_one_of(row["source"], _SOURCES, f"{dot}source")
        return _with_time(row)

    def tool(self, given: Any, place: str) -> Any:
        """A tool's definition, OpenAI's or bare."""
        if not isinstance(given, dict):
            return given
        inner = given.get("function")
        row = dict(inner) if isinstance(inner, dict) else dict(given)
        if "input_schema" in row and "parameters" not in row:
            row["parameters"] = row.pop("input_schema")
        for name in ("type", "strict", "cache_control"):
            row.pop(name, None)
        return {name: value for name, value in row.items() if value is not None}

    def _answer(self, given: Given, place: str) -> Any:
        row: Given = self.message({**given, "role": "assistant"}, place)
        return {name: value for name, value in row.items() if name != "role"}

    def _without(self, given: Given, ignored: frozenset[str], place: str) -> Given:
        """A copy without what is null and without the keys of clients that say nothing here."""
        row: Given = {}
        where = place.partition("[")[0]
        for name, value in given.items():
            if name in ignored:
                if value not in (None, [], {}, ""):
                    self._note(f"`{name}`{f' of {where}' if where else ''} is not kept")
            elif value is not None:
                row[name] = value
        return row

    def _note(self, sentence: str) -> None:
        self._notes[sentence] = None

    def _move(self, row: Given, others: tuple[str, ...], name: str, place: str) -> None:
        """Calls a field by our name; two that say the same thing are one."""
        for other in others:
            if other in row:
                value = row.pop(other)
                if row.setdefault(name, value) != value:
                    raise DataError(
                        f"{place}: `{name}` and `{other}` are two names of one field, and differ; send `{name}`"
                    )

    def _take_parts(self, row: Given, place: str) -> None:
        """Takes a list of parts apart: text, reasoning, tool calls, and what is known by its digest only."""
        texts, reasoning, calls, parts = [], [], [], []
        results = [one for one in row["content"] if isinstance(one, dict) and one.get("type") == "tool_result"]
        if results:
            _take_tool_result(row, results, place)
        for number, part in enumerate(row["content"]):
            here = f"{place}.content[{number}]"
            if isinstance(part, str):
                texts.append(part)
                continue
            kind = part["type"] if isinstance(part, dict) and isinstance(part.get("type"), str) else ""
            if kind in TEXT_PARTS:
                texts.append(_text_of(part, here))
            elif kind in REASONING_PARTS:
                reasoning.append(_text_of(part, here))
            elif kind in ("tool_use", "tool_call"):
                calls.append(_called_part(part))
            elif kind in PART_KINDS:
                parts.append({"type": PART_KINDS[kind], "digest": _digest(part)})
                self._note(f"{_AN[PART_KINDS[kind]]} is not kept, its place is noted")
            else:
                raise DataError(
                    f"{here}.type: {_quoted(kind)} is no kind of part; send text, image_url, input_audio, video or file"
                )
        row["content"] = "".join(texts)
        if reasoning and "reasoning" not in row:
            row["reasoning"] = "\n".join(reasoning)
        _extend(row, "tool_calls", calls)
        _extend(row, "parts", parts)

    def _take_pictures(self, row: Given) -> None:
        """Pictures that a client keeps beside the text."""
        pictures = row.pop("images", None)
        if isinstance(pictures, list) and pictures:
            _extend(row, "parts", [{"type": "image", "digest": _digest({"images": one})} for one in pictures])
            self._note(f"{_AN['image']} is not kept, its place is noted")

    def _tool_call(self, given: Any, place: str) -> Any:
        if not isinstance(given, dict):
            return given
        inner = given.get("function")
        if inner is not None and not isinstance(inner, dict):
            raise DataError(f'{place}.function: must be an object, {{"name": ..., "arguments": ...}}')
        row = {**given, **(inner or {})}
        for name in ("function", "type", "index", "extra_content", "output", "progress"):
            row.pop(name, None)
        if "args" in row and "arguments" not in row:
            row["arguments"] = row.pop("args")
        row = {name: value for name, value in row.items() if value is not None}
        if "arguments" in row:
            row["arguments"] = _arguments(row["arguments"], f"{place}.arguments")
        return row

    def _take_old_call(self, given: Given, row: Given) -> None:
        """OpenAI's `function_call`, from before there were several at once."""
        call = given.get("function_call")
        if isinstance(call, dict) and isinstance(call.get("name"), str) and not row.get("tool_calls"):
            arguments = _arguments(call.get("arguments") or "{}", "function_call.arguments")
            row["tool_calls"] = [{"name": call["name"], "arguments": arguments}]
            self._notes.pop("`function_call` of messages is not kept", None)

    def _no_content(self, given: Given, row: Given, place: str) -> str:
        """The text of a message that has none; a refusal is what people saw instead."""
        if isinstance(given.get("refusal"), str):
            return str(given["refusal"])
        if (
            any(row.get(name) for name in ("tool_calls", "reasoning", "parts"))
            or row.get("state", "complete") != "complete"
        ):
            return ""
        if "content" not in given and (odd := next((name for name in given if find_nearest(name, ["content"])), None)):
            raise DataError(f"unknown field {shorten(odd)!r} in {place}; did you mean 'content'?")
        raise DataError(
            f"{place}: it has neither `content` nor `tool_calls`; send `content` as a text, as a list of parts, or null "
            "beside tool calls"
        )


_LISTS: Mapping[str, Callable[[Natural, Any, str], Any]] = {
    "messages": Natural.message,
    "prompt": Natural.message,
    "votes": Natural.feedback,
    "corrections": Natural.feedback,
    "comparisons": Natural.feedback,
    "tools": Natural.tool,
}
_AN = {"image": "an image", "audio": "a sound", "video": "a video", "file": "a file"}


def thumb(value: Any, place: str) -> str:
    """`up` or `down`.

    Raises:
        DataError: it is neither; the sentence says what to send.
    """
    name = _BETWEEN_WORDS.sub("", value.lower()) if isinstance(value, str) else value
    for side, spellings in THUMBS.items():
        if any(name == one and isinstance(name, bool) == isinstance(one, bool) for one in spellings):
            return side
    hint = "leave a vote out, or take it back with DELETE" if value in (0, "0", "") else "send up or down"
    raise DataError(
        f"{place}: {_quoted(value)} is no thumb (up, down, 1, -1, true, false, thumbs_up, thumbs_down); {hint}"
    )


def _role(value: Any, place: str) -> Any:
    name = value.lower() if isinstance(value, str) else ""
    if name and value in ROLES:
        return ROLES[name]
    meant = ROLES.get(name) or ROLES_MEANT.get(name)
    hint = f"send '{meant}'" if meant else "send one of them"
    raise DataError(f"{place}: {_quoted(value)} is none of {', '.join(ROLES)}; {hint}")


def _check_one_of(value: Any, known: tuple[str, ...], place: str) -> None:
    if value not in known:
        raise DataError(f"{place}: {_quoted(value)} is none of {', '.join(known)}; send one of them")


def _weight(value: Any, place: str) -> Any:
    if value in (0, 1):  # fine-tuning files have 0.0 and true as well
        return int(value)
    raise DataError(f"{place}: {_quoted(value)} is neither 0 nor 1; send 0 where nothing shall be learned from a turn")


def _arguments(value: Any, place: str) -> Any:
    """A call's arguments as a JSON text; what a model wrote that is none stays as it wrote it."""
    if isinstance(value, str):
        return value if value.strip() else "{}"
    if isinstance(value, dict):
        return _json(value)
    raise DataError(f"{place}: {_quoted(value)} is neither a JSON text nor an object; send one of them")


def _extend(row: Given, name: str, more: list[Given]) -> None:
    """Adds to a list of a row; what stands there and is none is left for the check of our own shape."""
    held = row.get(name, [])
    if more and isinstance(held, list):
        row[name] = [*held, *more]


def _called_part(part: Given) -> Given:
    inner = part["tool_call"] if isinstance(part.get("tool_call"), dict) else part
    arguments = next((inner[name] for name in ("input", "args", "arguments") if inner.get(name) is not None), "{}")
    call = {"name": inner.get("name"), "arguments": _arguments(arguments, "arguments"), "id": inner.get("id") or ""}
    return {name: value for name, value in call.items() if value is not None}


def _take_tool_result(row: Given, results: list[Given], place: str) -> None:
    """Anthropic sends a tool's result as a user's message; with more than that in it, it would be two messages."""
    if len(results) != 1 or len(row["content"]) != 1:
        raise DataError(
            f"{place}.content: a tool_result stands with others in one message; send each as a message of the role tool, "
            "with tool_call_id"
        )
    inner = results[0].get("content") or ""
    row["role"], row["tool_call_id"] = "tool", str(results[0].get("tool_use_id") or "")
    row["content"] = inner if isinstance(inner, list) else [str(inner)]


def _text_of(part: Given, place: str) -> str:
    """A part's text, which some keep in an object of its own."""
    for name in ("text", "thinking", "think", "refusal", "reasoning", "content"):
        found = part.get(name)
        found = found.get("value") if isinstance(found, dict) else found
        if isinstance(found, str):
            return found
    raise DataError(f"{place}: this part has no text; send {{'type': 'text', 'text': '...'}}")


def _digest(part: Given) -> str:
    """A hash of what a part holds or names; one that was dropped before keeps the hash that it has."""
    if part.get("dropped") is True and isinstance(part.get("digest"), str):
        return str(part["digest"])
    return sha256(_json({name: value for name, value in part.items() if name != "type"}).encode()).hexdigest()


def _with_time(row: Given) -> Given:
    """Seconds or milliseconds since 1970 as a time; what is none is left for the check of our own shape."""
    at = row.get("time")
    if isinstance(at, int | float) and not isinstance(at, bool):
        seconds = at / 1000 if at > _MILLISECONDS else at
        try:
            row["time"] = datetime.fromtimestamp(seconds, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            row["time"] = str(at)
    return row


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _quoted(value: Any) -> str:
    return repr(shorten(value, 43)) if isinstance(value, str) else shorten(_json(value), 43)
