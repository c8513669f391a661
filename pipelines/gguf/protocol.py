"""How the service talks to the engine: HTTP over a local socket, JSON in, JSON or JSON lines out.

    GET  /status                          -> Status
    POST /load    LoadRequest             -> Status      (after the swap; the old form answers until then)
    POST /chat    ChatRequest             -> one Event per line: start, thought and text..., calls if any, end; or error after a start
    POST /tokens  {"text": "..."}         -> {"tokens": 12}

    {"event":"start","model":"m3","sha256":"ab..","prompt_tokens":26}
    {"event":"text","text":"Hello"}
    {"event":"end","reason":"stop","completion_tokens":7}

A refusal before the start is a Failure with status 400 (InputError), 429 (QueueFull), 503 (Busy: nothing loaded) or 500.
A client that closes its connection cancels its chat. This module imports no llama.cpp: clients use it too.
"""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipelines.errors import Refused
from pipelines.records import Record, ServedForm, ToolCall, Turn

# A unix socket's path has 108 bytes on Linux and 104 on macOS, its final zero included.
_LONGEST_SOCKET_PATH = 100

Reason = Literal["stop", "length", "cancelled"]


class ChatRequest(Record):
    """One chat to continue; its first turn has the tools that may be called. Without `max_tokens` the answer may fill the context; `temperature` 0 is greedy.

    `logprobs` is how many of the likeliest tokens are told beside each, None for nothing of it. `json_schema` is the text of a
    schema that the answer keeps to. `must_call` names the tool that has to be called, "" any of them, None none.
    """

    messages: Annotated[tuple[Turn, ...], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] = 0.0
    repeat_penalty: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0
    stop: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    seed: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    json_schema: str | None = None
    must_call: str | None = None


class LoadRequest(Record):
    """Serve this form from now on; `model` is the id that statuses and chats then report."""

    model: str
    form: ServedForm


class Status(Record):
    """What the engine serves now. `state` is empty until the first load; `loading` names a model on its way in."""

    state: Literal["empty", "ready"]
    model: str | None = None
    form: ServedForm | None = None
    loading: str | None = None
    context: int = 0
    active: int = 0
    waiting: int = 0
    retiring: int = 0
    pid: int


class Start(Record):
    """The first line of an answer: which model gives it."""

    event: Literal["start"] = "start"
    model: str
    sha256: str
    prompt_tokens: int


class Chance(Record):
    """A token's bytes and the logarithm of its share, and the likeliest ones that might have stood in its place."""

    piece: tuple[int, ...]
    logprob: float
    others: tuple[tuple[tuple[int, ...], float], ...] = ()


class Text(Record):
    """A piece of an answer, as it is generated; with its tokens where they are asked for."""

    event: Literal["text"] = "text"
    text: str
    tokens: tuple[Chance, ...] = ()


class Thought(Record):
    """A piece of what the model thinks before it answers."""

    event: Literal["thought"] = "thought"
    text: str


class Calls(Record):
    """The tools that the model calls, behind all of its text."""

    event: Literal["calls"] = "calls"
    calls: tuple[ToolCall, ...]


class End(Record):
    """The last line of an answer: why it ended and how many tokens it took."""

    event: Literal["end"] = "end"
    reason: Reason
    completion_tokens: int


class Failure(Record):
    """An error: the class name in pipelines.errors and its sentence."""

    event: Literal["error"] = "error"
    error: str
    message: str


Event = Annotated[Start | Text | Thought | Calls | End | Failure, Field(discriminator="event")]


def socket_path(home: Path) -> Path:
    """Where the engine of this PERENNIAL_HOME listens: inside it, or in the temporary folder if the path is long.

    Raises:
        Refused: somebody else made that folder first, to hear what is chatted.
    """
    inside = home.resolve() / "engine.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"perennial-{os.getuid()}-{digest}"
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISDIR(found.st_mode):
            raise Refused(
                f"{folder}, where the engine of {home} listens, is not a folder of this user alone: delete it, or choose a "
                "PERENNIAL_HOME with a shorter path"
            )
    return folder / "engine.sock"
