"""Lists of messages in the dialects of OpenAI, Anthropic, LangChain and the Responses API, and tools' definitions.

{"role": "assistant", "content": null, "tool_calls": [{"id": "t", "function": {"name": "oven", "arguments": "{}"}}]}
{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "220"}]}       a tool's message
{"type": "function_call_output", "call_id": "t", "output": "220"}
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from service.ingest.client_keys import REASONING_KEYS, ROLES, ROLES_MEANT
from service.ingest.importers.items import NotTaken
from service.ingest.importers.pieces import Notes, call, joined, result, steps_of
from service.ingest.importers.turns import Call, Drop, Result, Say, Step, Think, answer_messages
from service.ingest.importers.values import Object, inner_value, label_of, list_of, object_of, objects_of
from service.ingest.wire import MessageIn, Role, ToolIn

_ITEMS = frozenset({"reasoning", "function_call", "function_call_output"})  # of the Responses API, which have no role
_QUESTION_KEYS = ("question", "query", "prompt", "input", "text", "message", "user_input")
_ANSWER_KEYS = ("content", "answer", "response", "completion", "output", "text", "result", "generated_text")


def role_of(value: Any) -> Role:
    """A role in any spelling. Raises NotTaken: it is none."""
    name = value.lower() if isinstance(value, str) else ""
    found = ROLES.get(name) or ROLES_MEANT.get(name)
    if found is None:
        raise NotTaken("unknown_role", f"{str(value)[:40]!r} is no role of a chat (system, user, assistant, tool)")
    return found  # type: ignore[return-value]


def read_messages(values: Any, notes: Notes, name: str = "messages") -> list[MessageIn]:
    """The messages of a list, without ids and one after the other.

    Raises:
        NotTaken: one of them is no message, or its role is unknown.
    """
    found: list[MessageIn] = []
    head: list[Step] = []  # of the Responses API: what a model thought and called belongs to what it says next
    for value in objects_of(_flat(values), name):
        if label_of(value.get("type")) in _ITEMS and "role" not in value:
            head += steps_of([value], notes)
        elif head and _role_of_message(value) == "assistant":
            found += _message(value, notes, head)
            head = []
        else:
            found += [*(_assistant(head) if head else []), *_message(value, notes)]
            head = []
    return [*found, *(_assistant(head) if head else [])]


def read_message(value: Object, notes: Notes) -> list[MessageIn]:
    """The messages that one is: results of tools in a user's message are messages of their own. Raises NotTaken."""
    return _message(value, notes)


def _role_of_message(value: Object) -> Role:
    """The role of a message; LangChain calls it `type`."""
    return role_of(next((value[key] for key in ("role", "from", "type") if value.get(key) is not None), None))


def _message(value: Object, notes: Notes, head: Iterable[Step] = ()) -> list[MessageIn]:
    """A message behind steps that belong to it."""
    value = {**value, **object_of(value.get("kwargs"), "kwargs")}
    role = _role_of_message(value)
    content = next((value[key] for key in ("content", "value") if value.get(key) is not None), value.get("refusal"))
    name = label_of(value.get("name"))
    if role == "tool":
        answered = result(label_of(value.get("tool_call_id"), value.get("call_id")) or "", content, notes, name)
        return [_tool(answered)]
    steps = list(joined(steps_of(content, notes)))
    if role != "assistant":
        return list(_of_person(role, steps, name))
    thoughts = [Think(text) for key in ("reasoning", *REASONING_KEYS) if isinstance(text := value.get(key), str)]
    weight = 0 if value.get("weight") in (0, "0") and value.get("weight") is not False else 1
    fields = {"weight": weight, "model": label_of(value.get("model")), "name": name}
    return _assistant([*head, *thoughts[:1], *steps, *_calls(value)], **fields)


def _assistant(steps: Iterable[Step], **fields: Any) -> list[MessageIn]:
    made, _ = answer_messages("", None, steps, **fields)
    return [msgspec.structs.replace(message, id=None, parent=None) for message in made]


def _of_person(role: Role, steps: Iterable[Step], name: str | None) -> Iterator[MessageIn]:
    """A user's or system's message, and before it the results of tools that Anthropic sends as a user's."""
    answered = [step for step in steps if isinstance(step, Result)]
    text = "".join(step.text for step in steps if isinstance(step, Say))
    parts = tuple(step.part for step in steps if isinstance(step, Drop))
    yield from map(_tool, answered)
    if text or parts or not answered:
        yield MessageIn(role, text, parts=parts, name=name)


def _tool(answered: Result) -> MessageIn:
    return MessageIn("tool", answered.content, tool_call_id=answered.call or None, name=answered.name)


def _calls(value: Object) -> Iterator[Call]:
    calls = objects_of(value.get("tool_calls"), "tool_calls")
    yield from map(call, calls)
    old = value.get("function_call")
    if isinstance(old, dict) and not calls:
        yield call(old)


def _flat(values: Any) -> Any:
    """LangChain keeps a batch of one: a list in a list."""
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], list) else values


def read_tools(value: Any) -> tuple[ToolIn, ...]:
    """Tools' definitions: OpenAI's, Anthropic's or bare ones, as a list or as JSON text of one. Those without a name are left out.

    Raises:
        NotTaken: it is no list of definitions.
    """
    if value in (None, ""):
        return ()
    found = inner_value(value)
    return tuple(tool for one in objects_of(list_of(found, "tools"), "tools") if (tool := _definition(one)) is not None)


def _definition(given: Object) -> ToolIn | None:
    inner = inner_value(given.get("function", given))
    inner = inner if isinstance(inner, dict) else given
    name = label_of(inner.get("name"))
    schema = inner_value(inner.get("parameters", inner.get("input_schema")))
    if name is None:
        return None
    return ToolIn(name, label_of(inner.get("description")) or "", schema if isinstance(schema, dict) else None)


# ---- what a trace has as input and output ---------------------------------------------------------------------


def read_input(value: Any, notes: Notes) -> list[MessageIn]:
    """The turns before an answer: a text, messages, a request with messages in it, or an object with one question.

    Raises:
        NotTaken: nothing in it is a turn of a chat.
    """
    found = inner_value(value)
    if isinstance(found, str):
        return [MessageIn("user", found)] if found.strip() else _no_chat("input")
    if isinstance(found, list) and _is_chat(found):
        return read_messages(found, notes, "input")
    if isinstance(found, dict):
        for name in ("messages", "input", "contents"):
            if _is_chat(found.get(name)):
                return [*_instructions(found), *read_messages(found[name], notes, name)]
        if "role" in found:
            return read_message(found, notes)
        question = label_of(*(found.get(name) for name in _QUESTION_KEYS))
        if question:
            return [*_instructions(found), MessageIn("user", question)]
    return _no_chat("input")


def read_output(value: Any, notes: Notes) -> list[MessageIn]:
    """The answer, with the calls before it: a text, a message, a completion, or a list whose end it is.

    Raises:
        NotTaken: there is no answer in it.
    """
    found = inner_value(value)
    if isinstance(found, str):
        return [MessageIn("assistant", found)] if found.strip() else _no_chat("output")
    if isinstance(found, list) and _is_chat(found):
        return _answer(read_messages(found, notes, "output"))
    if isinstance(found, dict):
        choices = found.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            inner = choices[0].get("message", choices[0])
            return read_output(inner if inner is not found else None, notes)
        for name in ("messages", "output"):
            if _is_chat(found.get(name)):
                return _answer(read_messages(found[name], notes, name))
        if any(key in found for key in ("role", "tool_calls")) or isinstance(found.get("content"), list):
            return _answer(read_message({"role": "assistant", **found}, notes))
        answer = label_of(*(found.get(name) for name in _ANSWER_KEYS))
        if answer:
            return [MessageIn("assistant", answer)]
    return _no_chat("output")


def _answer(messages: list[MessageIn]) -> list[MessageIn]:
    """What follows the last turn of a user; some programs give the whole chat as output."""
    last = max((at for at, message in enumerate(messages) if message.role in ("user", "system")), default=-1)
    tail = messages[last + 1 :]
    return tail if any(message.role == "assistant" for message in tail) else _no_chat("output")


def _instructions(request: Object) -> list[MessageIn]:
    """What a request says beside its messages."""
    text = system_text(request.get("system")) or system_text(request.get("instructions"))
    return [MessageIn("system", text)] if text else []


def system_text(value: Any) -> str:
    """The instructions that stand beside the messages of a request: a text, or blocks of it."""
    if isinstance(value, list):
        return "".join(step.text for step in steps_of(value, Notes()) if isinstance(step, Say))
    return value if isinstance(value, str) else ""


def _is_chat(value: Any) -> bool:
    found = _flat(value)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        return False
    return all(any(key in one for key in ("role", "from", "type", "kwargs")) for one in found)


def _no_chat(name: str) -> list[MessageIn]:
    raise NotTaken("not_a_chat", f"its {name} is no text and no messages of a chat")
