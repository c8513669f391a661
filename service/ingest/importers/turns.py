"""An answer that other programs keep as one message, made the messages that it is: thought, call, result, text.

answer_messages("k:a", "k:q", [Think("Hm."), Call("t", "clock", "{}"), Result("t", "9:00"), Say("Nine.")])
->  assistant k:a:0 (reasoning, tool_calls), tool k:a:1 "9:00", assistant k:a "Nine."
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.ingest.importers.items import inside
from service.ingest.wire import MessageIn, PartIn, Role, ToolCallIn


class Think(NamedTuple):
    """What the model thought."""

    text: str


class Say(NamedTuple):
    """What it said to the person."""

    text: str


class Call(NamedTuple):
    """A tool that it called; `arguments` is a JSON text, or a value that becomes one."""

    id: str
    name: str
    arguments: Any


class Result(NamedTuple):
    """What a tool said: a text, or a value that becomes one."""

    call: str
    content: Any
    name: str | None = None


class Drop(NamedTuple):
    """Something beside the text that is not kept."""

    part: PartIn


Step = Think | Say | Call | Result | Drop


@dataclass
class _Draft:
    """A message of the assistant while it gathers, or a tool's, which is whole at once (`answered`)."""

    answered: Result | None = None
    thoughts: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[ToolCallIn] = field(default_factory=list)
    parts: list[PartIn] = field(default_factory=list)

    @property
    def role(self) -> Role:
        return "tool" if self.answered else "assistant"

    def take(self, step: Think | Say | Call | Drop) -> None:
        if isinstance(step, Call):
            self.calls.append(ToolCallIn(name=step.name, arguments=_as_text(step.arguments) or "{}", id=step.id))
        elif isinstance(step, Drop):
            self.parts.append(step.part)
        else:
            (self.thoughts if isinstance(step, Think) else self.texts).append(step.text)

    def message(self, id: str, parent: str | None, fields: dict[str, Any]) -> MessageIn:
        if self.answered:
            call, content, name = self.answered
            return MessageIn("tool", _as_text(content), id, parent, tool_call_id=call or None, name=name)
        return MessageIn(
            "assistant",
            "\n\n".join(self.texts),
            id,
            parent,
            reasoning="\n\n".join(self.thoughts),
            tool_calls=tuple(self.calls),
            parts=tuple(self.parts),
            **fields,
        )


def answer_messages(
    id: str, parent: str | None, steps: Iterable[Step], **fields: Any
) -> tuple[tuple[MessageIn, ...], str]:
    """The messages of one answer, and the id that what follows it must name as its parent.

    The assistant's last message has the id of the answer itself, so that votes find it; those before it have it with a
    number. `fields` are those of each of the assistant's messages (model, time, state). An answer without steps is one
    empty message.
    """
    drafts = _drafts(steps)
    if not any(draft.role == "assistant" for draft in drafts):
        drafts.append(_Draft())
    last = max(at for at, draft in enumerate(drafts) if draft.role == "assistant")
    names = [id if at == last else inside(id, str(at)) for at in range(len(drafts))]
    rows = zip(drafts, names, [parent, *names], strict=False)
    return tuple(draft.message(name, above, fields) for draft, name, above in rows), names[-1]


def _drafts(steps: Iterable[Step]) -> list[_Draft]:
    drafts: list[_Draft] = []
    for step in steps:
        if isinstance(step, Result):
            drafts.append(_Draft(answered=step))
        elif not isinstance(step, Think | Say) or step.text.strip():
            if not drafts or drafts[-1].answered:
                drafts.append(_Draft())
            drafts[-1].take(step)
    return drafts


def _as_text(value: Any) -> str:
    """A text as it is, anything else as JSON; nothing for null."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
