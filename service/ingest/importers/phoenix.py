"""Phoenix: spans in OpenInference's keys, and annotations of them; two lists of its API, together or in files of their own.

    {"spans": [{"context": {"trace_id": "tr-1", "span_id": "sp-1"}, "span_kind": "LLM", "parent_id": null, "attributes": {
        "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Hi",
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Hello!"}}],
     "annotations": [{"span_id": "sp-1", "name": "thumb", "annotator_kind": "HUMAN", "identifier": "u-1",
                      "result": {"label": "thumbs_down", "score": 0, "explanation": "too short"}}]}

Messages are ordered by the numbers in their keys, of which 10 comes after 9. LLM and CODE annotate too, and are no people.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.ingest.importers.dialect import read_input, read_messages, read_output, read_tools
from service.ingest.importers.items import Entry, Format, Look, Note, NotTaken, Options, Placed, Thing, each, moment
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.traces import Answers, Made, Score, exchange, votes_of
from service.ingest.importers.values import Object, first_row, id_of, label_of, object_of
from service.ingest.wire import MessageIn

_MEMBERS = ("spans", "annotations", "data")
_MOST_MESSAGES = 10_000  # a number in a key says nothing of how many there are


def read(entries: Iterable[Entry], options: Options) -> Iterator[Placed]:
    """The conversations of LLM spans, and the votes of annotations."""
    answers = Answers()
    yield from each(lambda entry, _: _things(object_of(entry.decode(), "row"), options, answers))(entries, options)


def _things(row: Object, options: Options, answers: Answers) -> Iterator[Thing]:
    if "annotator_kind" in row:
        yield from _annotation(row, options, answers)
    elif row.get("span_kind") == "LLM":
        yield from _span(row, options, answers)
    else:
        yield Note("not_a_chat")


def _span(row: Object, options: Options, answers: Answers) -> Iterator[Thing]:
    context, given, notes = object_of(row.get("context"), "context"), nested(row.get("attributes")), Notes()
    id = id_of(context.get("span_id"), "context.span_id")
    llm = object_of(given.get("llm"), "llm")
    asked = _messages(llm.get("input_messages"), notes) or read_input(_at(given, "input", "value"), notes)
    answered = _messages(llm.get("output_messages"), notes) or read_output(_at(given, "output", "value"), notes)
    if not any(message.role == "assistant" for message in answered):
        raise NotTaken("no_answer", "its output has no answer of the assistant")
    user, time = label_of(_at(given, "user", "id")), moment(row.get("start_time"))
    for key in (id, label_of(context.get("trace_id"))):
        if key is not None:
            answers.note(key, id, is_root=row.get("parent_id") is None, time=time, user=user)
    state = "error" if row.get("status_code") == "ERROR" else "complete"
    tools = read_tools([_at(one, "tool", "json_schema") for one in _ordered(llm.get("tools"))])
    made = Made(options.person(user, id), label_of(llm.get("model_name")), time, state, tools)  # type: ignore[arg-type]
    yield exchange(id, asked, answered, made)
    yield from notes_of(notes)


def _messages(value: Any, notes: Notes) -> list[MessageIn]:
    return read_messages([_message(object_of(_at(one, "message"), "message")) for one in _ordered(value)], notes)


def _message(given: Object) -> Object:
    """A message in the dialect of OpenAI."""
    blocks = [_block(object_of(_at(one, "message_content"), "contents")) for one in _ordered(given.get("contents"))]
    calls = [object_of(_at(one, "tool_call"), "tool_call") for one in _ordered(given.get("tool_calls"))]
    return {**given, "content": blocks or given.get("content"), "tool_calls": calls}


def _block(given: Object) -> Object:
    return {"type": "image", **given} if "image" in given and given.get("type") is None else given


def _annotation(row: Object, options: Options, answers: Answers) -> Iterator[Thing]:
    found = label_of(row.get("span_id"), row.get("trace_id"))
    if found is None:
        raise NotTaken("no_chat", "it is about no span and no trace")
    known = answers.of(found)
    if known is None and row.get("span_id") is None:
        raise NotTaken("no_chat", "it is about a trace whose spans are not in what is imported: import both at once")
    given = object_of(row.get("result"), "result")
    rater = label_of(row.get("user_id"), row.get("identifier"), known.user if known else None)
    name = id_of(row.get("name"), "name")
    value = next((v for key in ("label", "score") if options.thumb(name, v := given.get(key)) is not None), None)
    yield from votes_of(
        Score(
            message=known.id if known else found,
            name=name,
            value=value,
            rater=rater,
            is_judge=row.get("annotator_kind") != "HUMAN",
            comment=label_of(given.get("explanation")),
            at=moment(row.get("created_at")),
        ),
        options,
    )


# ---- keys with points -----------------------------------------------------------------------------------------


def nested(attributes: Any) -> Object:
    """Attributes as objects in objects, whose keys had points between them; those that are so already stay so.

    Raises:
        NotTaken: one key is both a value and an object.
    """
    found: Object = {}
    for key, value in object_of(attributes, "attributes").items():
        inner, names = found, key.split(".")
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise NotTaken("unknown_shape", "an attribute is a value and an object at once")
        inner[names[-1]] = value
    return found


def _ordered(value: Any) -> list[Any]:
    """What stands under the keys 0, 1, 2, ... in the order of these numbers; a list as it is."""
    if not isinstance(value, Mapping):
        return value if isinstance(value, list) else []
    numbers = sorted((key for key in value if key.isascii() and key.isdigit()), key=lambda key: (len(key), key))
    return [value[key] for key in numbers[:_MOST_MESSAGES]]


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _recognises(look: Look) -> bool:
    row = first_row(look.first, *_MEMBERS)
    return look.kind == "json" and (
        "annotator_kind" in row or ("span_kind" in row and isinstance(row.get("context"), dict))
    )


FORMAT = Format(
    name="phoenix",
    title="Phoenix: spans and annotations (JSON or JSON lines)",
    recognises=_recognises,
    read=read,
    alone=False,
    members=frozenset(_MEMBERS),
    rank=lambda look: int("annotator_kind" in first_row(look.first, *_MEMBERS)),
)
