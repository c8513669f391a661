"""What a chat is made of: messages as apps send them, and the turns that models read.

Turn(role="assistant", content="", tool_calls=(ToolCall(id="t-1", name="weather", arguments='{"city": "Ulm"}'),))
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Role = Literal["system", "user", "assistant", "tool"]
State = Literal["complete", "unfinished", "error"]
FeedbackSource = Literal["person", "judge", "implicit"]
Review = Literal["", "kept", "dropped"]  # what a reviewer decided, "" where nobody has seen it


class Record(BaseModel):
    """Immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Record):
    """A tool that the assistant calls; `arguments` is a JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


class Extras(Record):
    """What a turn holds beside its text. `tool_call_id` is of the call that a tool's turn answers, `name` the tool's.

    `tools`, on the first turn of a chat, is a JSON list of those that the model could call.
    """

    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    tools: str = ""

    @property
    def extras(self) -> dict[str, Any]:
        """The fields of it that say something."""
        values = ((name, getattr(self, name)) for name in Extras.model_fields)
        return {name: value for name, value in values if value}


class MessageExtras(Extras):
    """What a message holds beside its text; `parts` are `kind:digest` of pictures and the like, which are not kept.

    `weight` 0: whoever sent it wants nothing learned from this turn.
    """

    parts: tuple[str, ...] = ()
    weight: int = 1


class Message(MessageExtras):
    """One chat message as the app sent it. `parent` is None for a root."""

    id: str
    role: Role
    content: str
    parent: str | None = None
    state: State = "complete"


class Turn(Extras):
    """One turn of an example. `trained` marks the assistant turns that get loss, but on the words `masked`."""

    role: Role
    content: str
    trained: bool = False
    masked: tuple[str, ...] = ()


class Body(Extras):
    """What a clean message says, and the words in it that stand for others."""

    content: str
    masked: tuple[str, ...] = ()

    def turn(self, role: Role, trained: bool = False) -> Turn:
        """The turn that this message is."""
        return Turn(role=role, content=self.content, trained=trained, masked=self.masked, **self.extras)
