"""Langfuse: observations and scores, as its API gives them and as its exports have them (snake case; JSON, lines, CSV, Parquet).

    {"id": "ob-1", "traceId": "tr-1", "isRootObservation": true, "type": "GENERATION", "userId": "u-1", "model": "m",
     "startTime": "2026-11-20T10:00:00Z", "input": [{"role": "user", "content": "Hi"}], "output": "Hello!"}
    {"id": "s-1", "name": "thumb", "dataType": "BOOLEAN", "value": false, "source": "API",
     "subject": {"kind": "observation", "id": "ob-1", "traceId": "tr-1"}}                                    v3
    {"id": "s-2", "name": "fix", "dataType": "CORRECTION", "value": 0, "stringValue": "Hello, Ana!",
     "traceId": "tr-1", "observationId": "ob-1"}                                                             v2

A score of a whole trace is about its root's answer. One of the source EVAL was given by a model.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from service.ingest.importers.dialect import read_input, read_output, read_tools
from service.ingest.importers.items import (
    Entry,
    Format,
    Look,
    Note,
    NotTaken,
    Options,
    Placed,
    Thing,
    each,
    inside,
    moment,
)
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.traces import Answers, Made, Score, exchange, votes_of
from service.ingest.importers.values import Object, first_row, id_of, inner_value, label_of, object_of
from service.ingest.prepare import NewCorrection

_MEMBERS = ("data", "observations", "scores")


def read(entries: Iterable[Entry], options: Options) -> Iterator[Placed]:
    """The conversations of generations, then votes and corrections; a trace's root answer is remembered for its scores."""
    answers = Answers()
    yield from each(lambda entry, _: _things(object_of(entry.decode(), "row"), options, answers))(entries, options)


def _things(row: Object, options: Options, answers: Answers) -> Iterator[Thing]:
    if _is_score(row):
        yield from _score(row, options, answers)
    elif _of(row, "type") == "GENERATION":
        yield from _generation(row, options, answers)
    else:
        yield Note("not_a_chat")  # a span, a tool, an event: its generations say what was said


def _generation(row: Object, options: Options, answers: Answers) -> Iterator[Thing]:
    trace, notes = id_of(_of(row, "traceId"), "traceId"), Notes()
    id = inside(trace, id_of(row.get("id"), "id"))
    user = label_of(_of(row, "userId"))
    asked, answered = read_input(row.get("input"), notes), read_output(row.get("output"), notes)
    time = moment(_of(row, "startTime"))
    is_root = _of(row, "isRootObservation") in (True, "true") or _of(row, "parentObservationId") in (None, "")
    answers.note(trace, id, is_root=is_root, time=time, user=user)
    model = label_of(_of(row, "model"), _of(row, "providedModelName"))
    state = "error" if row.get("level") == "ERROR" else "complete"
    yield exchange(
        id,
        asked,
        answered,
        Made(options.person(user, id), model, time, state, _tools(row.get("input"))),  # type: ignore[arg-type]
    )
    yield from notes_of(notes)


def _tools(value: Any) -> Any:
    found = inner_value(value)
    return read_tools(found.get("tools")) if isinstance(found, dict) else ()


def _score(row: Object, options: Options, answers: Answers) -> Iterator[Thing]:
    subject = object_of(inner_value(row.get("subject")), "subject")
    trace = label_of(subject.get("traceId"), _of(row, "traceId"))
    if subject.get("kind") == "trace":
        trace = trace or label_of(subject.get("id"))
    observation = label_of(
        subject.get("id") if subject.get("kind") == "observation" else None, _of(row, "observationId")
    )
    if trace is None:
        raise NotTaken("no_chat", "it is a score of a session or a run, and not of one answer")
    known = answers.of(trace)
    if observation is None and known is None:
        raise NotTaken(
            "no_chat", "it is about a trace whose generations are not in what is imported: import both at once"
        )
    message = inside(trace, observation) if observation is not None else known.id if known is not None else ""
    rater = label_of(_of(row, "authorUserId"), known.user if known else None)
    is_judge = row.get("source") == "EVAL"
    at = moment(row.get("timestamp"))
    if _of(row, "dataType") != "CORRECTION":
        comment = label_of(row.get("comment"))
        score = Score(message, id_of(row.get("name"), "name"), _value(row), rater, is_judge, comment, at)
        yield from votes_of(score, options)
    elif is_judge:
        yield Note("judge")
    else:
        text = label_of(_of(row, "stringValue"), row.get("value"))
        if text is None:
            raise NotTaken("unknown_shape", "it is a correction without a text")
        yield NewCorrection(options.app, message, options.person(rater, message), text, at)


def _value(row: Object) -> Any:
    """What a score says: v2 has a number for all kinds, and words beside it."""
    kind, value, words = _of(row, "dataType"), row.get("value"), _of(row, "stringValue")
    if kind == "CATEGORICAL":
        return words if isinstance(words, str) and words else value
    if kind == "BOOLEAN" and isinstance(value, int | float | str):
        return str(value).lower() in ("1", "1.0", "true")
    return value


def _of(row: Object, name: str) -> Any:
    """A field by its name in camel case, or in snake case as exports have it."""
    if name in row:
        return row[name]
    return row.get("".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name))


def _is_score(row: Object) -> bool:
    return _of(row, "dataType") is not None or ("name" in row and "value" in row and "type" not in row)


def _recognises(look: Look) -> bool:
    row = first_row(look.first, *_MEMBERS)
    names_trace = _of(row, "traceId") is not None or "subject" in row or "observationId" in row
    return names_trace and (_is_score(row) or (_of(row, "startTime") is not None and "type" in row))


FORMAT = Format(
    name="langfuse",
    title="Langfuse: observations and scores (JSON, JSON lines, CSV or Parquet)",
    recognises=_recognises,
    read=read,
    alone=False,
    members=frozenset(_MEMBERS),
    rank=lambda look: int(_is_score(first_row(look.first, *_MEMBERS))),
)
