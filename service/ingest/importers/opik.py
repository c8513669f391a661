"""Opik's export: one file a trace (trace_<id>.json).

    {"trace": {"id": "tr-1", "start_time": "2026-11-20T10:00:00Z", "input": {"messages": [{"role": "user", "content": "Hi"}]},
       "output": {"choices": [{"message": {"role": "assistant", "content": "Hello!"}}]},
       "feedback_scores": [{"name": "thumb", "value": 0.5, "value_by_author": {
          "ana@x.invalid": {"value": 0.0, "reason": "too short", "source": "ui"},
          "bo@x.invalid": {"value": 1.0, "reason": null, "source": "ui"}}}]},
     "spans": []}

`value` is the mean of what people said, so votes are read from `value_by_author`. Its keys are e-mail addresses: they are
people's ids here, which are stored as keyed hashes only, and stand in no sentence.
"""

from collections.abc import Iterator

from service.ingest.importers.dialect import read_input, read_output, read_tools
from service.ingest.importers.items import Entry, Format, NotTaken, Options, Thing, each, moment
from service.ingest.importers.pieces import Notes, notes_of
from service.ingest.importers.traces import Made, Score, exchange, votes_of
from service.ingest.importers.values import Object, id_of, inner_value, label_of, object_of, objects_of
from service.ingest.wire import ConversationIn, MessageIn

_JUDGES = frozenset({"online_scoring"})


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a trace, and a vote for each person who scored it."""
    given, notes = object_of(entry.decode(), "trace file"), Notes()
    trace = object_of(given.get("trace"), "trace")
    id = id_of(trace.get("id"), "trace.id")
    yield _conversation(id, trace, objects_of(given.get("spans"), "spans"), options, notes)
    yield from notes_of(notes)
    for score in objects_of(trace.get("feedback_scores"), "feedback_scores"):
        for one in _scores(id, score):
            yield from votes_of(one, options)


def _conversation(id: str, trace: Object, spans: list[Object], options: Options, notes: Notes) -> ConversationIn:
    calls = sorted((span for span in spans if span.get("type") == "llm"), key=lambda span: str(span.get("start_time")))
    call, asked, answered = _said([trace, *calls[-1:]], notes)
    metadata = object_of(trace.get("metadata"), "metadata")
    user = label_of(metadata.get("user_id"), metadata.get("user"))
    request = inner_value(call.get("input"))
    made = Made(
        user=options.person(user, id),
        model=label_of(*(span.get("model") for span in calls[::-1]), metadata.get("model")),
        time=moment(trace.get("start_time")),
        state="error" if trace.get("error_info") else "complete",
        tools=read_tools(request.get("tools")) if isinstance(request, dict) else (),
    )
    return exchange(id, asked, answered, made)


def _said(places: list[Object], notes: Notes) -> tuple[Object, list[MessageIn], list[MessageIn]]:
    """What was asked and answered, and where it stands: in the trace itself, else in its last call of a model."""
    for place in places[:-1]:
        try:
            return place, read_input(place.get("input"), notes), read_output(place.get("output"), notes)
        except NotTaken:
            continue
    return places[-1], read_input(places[-1].get("input"), notes), read_output(places[-1].get("output"), notes)


def _scores(id: str, given: Object) -> Iterator[Score]:
    """A score for each person; the one value is of them all, and a person's own where nobody else is named."""
    name, authors = (
        id_of(given.get("name"), "feedback_scores.name"),
        object_of(given.get("value_by_author"), "value_by_author"),
    )
    for author, one in (authors or {label_of(given.get("created_by")) or "": given}).items():
        row = object_of(one, "value_by_author")
        yield Score(
            message=id,
            name=name,
            value=row.get("value"),
            rater=author or None,
            is_judge=label_of(row.get("source"), given.get("source")) in _JUDGES,
            comment=label_of(row.get("reason")),
            at=moment(row.get("last_updated_at")),
        )


FORMAT = Format(
    name="opik",
    title="Opik: exported traces (trace_<id>.json)",
    recognises=lambda look: look.kind == "json" and isinstance(look.first.get("trace"), dict) and "spans" in look.first,
    read=each(convert),
)
