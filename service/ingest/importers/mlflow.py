r"""MLflow's traces, one a line or in a list.

    {"info": {"trace_id": "tr-1", "request_time": "2026-11-20T10:00:00Z", "state": "OK", "request_preview": "H...",
       "trace_metadata": {"mlflow.trace.user": "u-1"},
       "assessments": [
         {"assessment_id": "as-1", "assessment_name": "thumb", "source": {"source_type": "HUMAN", "source_id": "u-1"},
          "feedback": {"value": false}, "rationale": "too short", "valid": true, "overrides": null},
         {"assessment_id": "as-2", "assessment_name": "expected_response", "source": {"source_type": "HUMAN"},
          "expectation": {"value": "Hello, Ana!"}, "valid": true}]},
     "data": {"spans": [{"span_id": "a", "parent_span_id": null, "attributes": {
         "mlflow.spanType": "\"CHAT_MODEL\"", "mlflow.spanInputs": "{\"messages\": [...]}", "mlflow.spanOutputs": "\"Hello!\""}}]}}

Previews are cut, so the root span is read; its attributes are JSON in texts. What is not valid, or overridden, was taken
back. An expectation that is a text is a correction.
"""

import json
from collections.abc import Iterator
from typing import Any

from service.ingest.importers.dialect import read_input, read_output, read_tools
from service.ingest.importers.items import Entry, Format, Look, Note, NotTaken, Options, Thing, each, moment
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.traces import EARLIEST, Made, Score, exchange, votes_of
from service.ingest.importers.values import Object, first_row, id_of, inner_value, label_of, object_of, objects_of
from service.ingest.prepare import NewCorrection
from service.ingest.wire import ConversationIn, MessageIn, State

_STATES: dict[str, State] = {"ERROR": "error", "IN_PROGRESS": "unfinished"}
_MODELS = ("CHAT_MODEL", "LLM")


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a trace, its votes and corrections as they stand."""
    given, notes = object_of(entry.decode(), "trace"), Notes()
    info = object_of(given.get("info"), "info")
    id = id_of(info.get("trace_id") or info.get("request_id"), "info.trace_id")
    spans = [_Span(span) for span in objects_of(object_of(given.get("data"), "data").get("spans"), "data.spans")]
    conversation, answer = _conversation(id, info, spans, options, notes)
    yield conversation
    yield from notes_of(notes)
    assessments = objects_of(info.get("assessments"), "assessments")
    replaced = {one["overrides"] for one in assessments if isinstance(one.get("overrides"), str)}
    for one in assessments:
        if one.get("valid") is False or label_of(one.get("assessment_id")) in replaced:
            yield Note("withdrawn")
        elif label_of(one.get("span_id")) not in (None, answer, _root(spans)):
            yield Note("not_a_chat")  # it is about a step, such as what was looked up
        else:
            yield from _assessed(id, one, options)


class _Span:
    """A span; its attributes are JSON texts."""

    def __init__(self, given: Object) -> None:
        self.id = label_of(given.get("span_id"))
        self.is_root = not given.get("parent_span_id") and not given.get("parent_id")
        self.began = moment(given.get("start_time_unix_nano") or given.get("start_time_ns")) or EARLIEST
        self._attributes = object_of(given.get("attributes"), "attributes")

    def attribute(self, name: str) -> Any:
        """What an attribute says."""
        value = self._attributes.get(f"mlflow.{name}")
        try:
            return json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            return value


def _conversation(
    id: str, info: Object, spans: list[_Span], options: Options, notes: Notes
) -> tuple[ConversationIn, str | None]:
    span, asked, answered = _said(spans, notes)
    metadata = {**object_of(info.get("tags"), "tags"), **object_of(info.get("trace_metadata"), "trace_metadata")}
    request = span.attribute("spanInputs")
    made = Made(
        user=options.person(label_of(metadata.get("mlflow.trace.user")), id),
        model=label_of(request.get("model") if isinstance(request, dict) else None),
        time=moment(info.get("request_time", info.get("timestamp_ms"))),
        state=_STATES.get(str(info.get("state", info.get("status"))), "complete"),
        tools=read_tools(span.attribute("chat.tools") or (request.get("tools") if isinstance(request, dict) else None)),
    )
    return exchange(id, asked, answered, made), span.id


def _said(spans: list[_Span], notes: Notes) -> tuple[_Span, list[MessageIn], list[MessageIn]]:
    """What was asked and answered, and in which span: the root, else the last call of a model."""
    calls = sorted((span for span in spans if span.attribute("spanType") in _MODELS), key=lambda span: span.began)
    places = [*(span for span in spans if span.is_root), *calls[-1:]]
    if not places:
        raise NotTaken("no_span", "it has no root span, and its previews are cut: export traces with their spans")
    for place in places[:-1]:
        try:
            return place, *_both(place, notes)
        except NotTaken:
            continue
    return places[-1], *_both(places[-1], notes)


def _both(span: _Span, notes: Notes) -> tuple[list[MessageIn], list[MessageIn]]:
    return read_input(span.attribute("spanInputs"), notes), read_output(span.attribute("spanOutputs"), notes)


def _root(spans: list[_Span]) -> str | None:
    return next((span.id for span in spans if span.is_root), None)


def _assessed(id: str, given: Object, options: Options) -> Iterator[Thing]:
    source = object_of(given.get("source"), "source")
    rater, is_judge = label_of(source.get("source_id")), source.get("source_type") != "HUMAN"
    at = moment(given.get("last_update_time", given.get("create_time")))
    if "expectation" in given:
        expected = inner_value(object_of(given["expectation"], "expectation").get("value"))
        if is_judge or not isinstance(expected, str) or not expected.strip():
            yield Note("judge" if is_judge else "not_a_text")
        else:
            yield NewCorrection(options.app, id, options.person(rater, id), expected, at)
        return
    value = object_of(given.get("feedback"), "feedback").get("value")
    name = id_of(given.get("assessment_name"), "assessment_name")
    yield from votes_of(Score(id, name, value, rater, is_judge, label_of(given.get("rationale")), at), options)


def _recognises(look: Look) -> bool:
    info = first_row(look.first, "traces").get("info")
    return look.kind == "json" and isinstance(info, dict) and bool({"trace_id", "request_id"} & set(info))


FORMAT = Format(
    name="mlflow",
    title="MLflow: traces with their spans and assessments (JSON or JSON lines)",
    recognises=_recognises,
    read=each(convert),
    members=frozenset({"traces"}),
)
