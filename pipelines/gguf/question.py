"""A chat as the served model is asked it: the prompt, the form that its answer has to keep, and the parts it comes apart in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pipelines.chat import Escape, render
from pipelines.errors import InputError, ModelError
from pipelines.gguf.chats import Form
from pipelines.gguf.grammar import call_grammar
from pipelines.gguf.protocol import Calls, ChatRequest, End, Event, Text, Thought
from pipelines.messages import as_prompt
from pipelines.thoughts import ThoughtFormat, ThoughtReader, thought_format
from pipelines.tool_calls import PLAIN, CallFormat, CallReader, call_format


@dataclass
class Question:
    """A rendered chat. `part` takes the answer apart: thoughts in front, calls behind."""

    prompt: str
    marks: tuple[str, ...]
    form: Form | None
    thoughts: ThoughtReader | None
    calls: CallReader | None

    def part(self, event: Event) -> Iterator[Event]:
        """The event as those that a client is sent."""
        if isinstance(event, Text):
            yield from self._parted(event)
            return
        if isinstance(event, End):
            for is_thought, text in self.thoughts.end() if self.thoughts else ():
                yield from (Thought(text=text),) if is_thought else self._said(text)
            rest, calls = self.calls.end() if self.calls else ("", ())
            if rest:
                yield Text(text=rest)
            if calls:
                yield Calls(calls=calls)
        yield event

    def _parted(self, event: Text) -> Iterator[Event]:
        """The parts of a text; its tokens go with the last one."""
        if self.thoughts is None:
            yield from self._said(event.text, event)
            return
        parts = list(self.thoughts.push(event.text))
        for is_thought, text in parts:
            yield from (Thought(text=text),) if is_thought else self._said(text)
        if event.tokens and not self.thoughts.is_thinking:
            yield Text(text="", tokens=event.tokens)

    def _said(self, text: str, event: Text | None = None) -> Iterator[Event]:
        said = self.calls.push(text) if self.calls else text
        tokens = event.tokens if event else ()
        if said or tokens:
            yield Text(text=said, tokens=tokens)


def question_of(
    template: str | None, escape: Escape | None, request: ChatRequest, model: str, grammar: str | None = None
) -> Question:
    """The chat under the served template; `grammar` is that of its JSON schema.

    Raises:
        InputError: there is no template, it refuses the chat or its tools, or no answer can be held to the form.
    """
    if template is None or escape is None:
        raise InputError(f"model {model} has no chat template; it cannot chat")
    write = partial(render, template, escape=escape, generate=True, today=datetime.now())
    messages, tools = as_prompt(request.messages), request.messages[0].tools
    must = request.must_call is not None
    try:
        prompt = write(messages)
        bare = write(_without_tools(messages)) if tools else None
    except ModelError as error:
        raise InputError(str(error)) from error
    takes_tools = bare != prompt
    if tools and not takes_tools and not must:
        raise InputError(f"the chat template of model {model} takes no `tools`; leave them out, or require a call")
    calls = (call_format(template) if takes_tools else PLAIN) if tools else None
    thoughts = thought_format(template, prompt)
    definitions = json.loads(tools) if tools else []
    return Question(
        prompt=prompt,
        marks=(*(calls.marks if calls else ()), *((thoughts.begin, thoughts.end) if thoughts else ())),
        form=_form(request, calls, definitions, thoughts, grammar),
        thoughts=ThoughtReader(thoughts) if thoughts else None,
        calls=CallReader(calls, definitions) if calls else None,
    )


def _without_tools(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key != "tools"} for one in messages]


def _form(
    request: ChatRequest,
    calls: CallFormat | None,
    tools: Sequence[Mapping[str, Any]],
    thoughts: ThoughtFormat | None,
    grammar: str | None,
) -> Form | None:
    """What the answer has to keep to, behind its thought if the prompt opens one."""
    after = thoughts.end if thoughts and thoughts.is_open else ""
    if request.must_call is not None:
        wanted = [tool for tool in tools if request.must_call in ("", tool.get("name"))]
        if calls is None or calls.key is None:
            raise InputError(
                "the served model writes calls in a form that no grammar here holds it to; set `tool_choice` to auto"
            )
        return Form(call_grammar(calls.opening, calls.key, calls.closing, wanted), after)
    return None if grammar is None else Form(grammar, after)
