"""POST /v1/conversations, POST /v1/conversations/import, GET /v1/conversations/{id}."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from pipelines.errors import NotFound, PerennialError
from pipelines.text import shorten
from service.ingest import Arrivals, Incoming, Outcome, Writer, split_list
from service.ingest.stream import Read, Summary, parse_aside, reader, store_stream
from service.store import conversations
from service.store.people import all_apps, app_id
from service.store.tables import Conversation
from service.vault import Vault
from service.web.auth import IngestCaller, ReadCaller, app_of, authenticate_ingest
from service.web.deps import SettingsDep, StoreDep, VaultDep, WriterDep
from service.web.fates import decided, feedback_on
from service.web.openapi import CONVERSATIONS_BODY, NDJSON_BODY, SECURITY
from service.web.problems import problem, status_of
from service.web.schemas import ConversationStatus, ImportSummary, ItemStatus, LineProblem, VoteCounts

_NO_CONSENT = "stored without consent, so nothing will be learned from it; send it again with `consent`: true once this user agreed"
_CONSENT_REFUSED = "stored with `consent`: false, so nothing will be learned from it"
router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.post(
    "",
    summary="Store one conversation, or a list of up to 1,000",
    response_model=ItemStatus | list[ItemStatus],
    responses={201: {"model": ItemStatus, "description": "stored"}},
    openapi_extra=CONVERSATIONS_BODY | SECURITY,
)
async def store_conversations(request: Request) -> Response:
    """Answers after COMMIT. A list is answered with one status per conversation, in its order; a bad one does not
    fail the others. The same conversation again is 200, with further messages 200, with changed text 409."""
    caller = await authenticate_ingest(request)
    writer: Writer = request.app.state.writer
    arrivals: Arrivals = request.app.state.arrivals
    body = await request.body()
    read = reader(lambda named: app_of(caller, named))
    if body.lstrip()[:1] == b"[":
        return await _store_list(body, read, writer, arrivals)
    given = await parse_aside(read, body)
    [outcome] = await arrivals.of(writer.submit([given]))
    return _json(_item(outcome, given), outcome.status) if outcome.status < 400 else _refusal(outcome)


@router.post("/import", summary="Store a stream of conversations, one JSON object per line", openapi_extra=NDJSON_BODY)
async def import_conversations(
    request: Request, caller: IngestCaller, writer: WriterDep, settings: SettingsDep
) -> ImportSummary:
    """Takes a body of any size in bounded memory. Bad lines are counted and named by their number; sending the same
    stream again stores nothing twice."""
    read = reader(lambda named: app_of(caller, named))
    summary = await store_stream(request.stream(), read, writer, settings.max_body_bytes)
    return _import_summary(summary)


@router.get("/{conversation_id:path}", summary="Where a conversation stands, and what used it")
def get_conversation(
    conversation_id: str, caller: ReadCaller, store: StoreDep, vault: VaultDep, app: str | None = None
) -> ConversationStatus:
    """By the id that the app gave it. `app` is for keys of every app; without it that of the default app is meant."""
    name = app_of(caller, app)
    with store.read() as session:
        id = app_id(session, name)
        row = None if id is None else conversations.find(session, id, vault.conversation_hash(id, conversation_id))
        if row is None:
            raise NotFound(
                f"the app {shorten(name)!r} never sent a conversation with the id {shorten(conversation_id)!r}"
                + (_elsewhere(session, vault, conversation_id) if caller.app is None and app is None else "")
            )
        messages = feedback_on(session, row.app_id, row.id)
        rejection, quarantine = (
            conversations.rejection_of(session, row.id),
            conversations.quarantine_of(session, row.id),
        )
        status = ConversationStatus(
            **_facts(conversation_id, row),
            satisfaction=conversations.satisfaction_of(session, row.id),
            votes=VoteCounts(up=sum(one.up for one in messages), down=sum(one.down for one in messages)),
            messages=messages,
            rounds=decided(session, row.id),
        )
    if row.state == "rejected" and rejection is not None:
        return status.model_copy(update={"rule": rejection.rule, "detail": rejection.detail})
    if row.state == "quarantined" and quarantine is not None:
        return status.model_copy(update={"reason": quarantine.reason})
    return status


def _elsewhere(session: Session, vault: Vault, conversation_id: str) -> str:
    """Which apps did send it, for whom may ask about all of them."""
    sent = [
        name
        for id, name in all_apps(session)
        if conversations.find(session, id, vault.conversation_hash(id, conversation_id)) is not None
    ]
    return f"; ask for it with ?app={shorten(sent[0])}: that app did" if sent else ""


async def _store_list(body: bytes, read: Read, writer: Writer, arrivals: Arrivals) -> Response:
    rows = await run_in_threadpool(_read_list, body, read)
    good = [given for given in rows if isinstance(given, Incoming)]
    outcomes = await arrivals.of(writer.submit(good)) if good else []
    stored = iter(outcomes)
    return _json([_item(next(stored), given) if isinstance(given, Incoming) else given for given in rows], 200)


def _read_list(body: bytes, read: Read) -> list[Incoming | dict[str, Any]]:
    """Each row, or the answer to it if it is refused."""
    rows: list[Incoming | dict[str, Any]] = []
    for row in split_list(body):
        try:
            rows.append(read(row))
        except PerennialError as error:
            rows.append({"id": _id_of(row), "status": status_of(error), "result": "invalid", "detail": str(error)})
    return rows


def _id_of(raw: bytes) -> str | None:
    """The id of a row that could not be read, if it at least has one."""
    try:
        id = msgspec.json.decode(raw, type=dict[str, Any]).get("id")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return id[:256] if isinstance(id, str) else None


def _item(outcome: Outcome, given: Incoming) -> dict[str, Any]:
    item: dict[str, Any] = {"id": outcome.id, "status": outcome.status, "result": outcome.result}
    if outcome.detail is not None:
        item["detail"] = outcome.detail
    elif notes := _notes(outcome, given):
        item["notes"] = notes
    return item


def _notes(outcome: Outcome, given: Incoming) -> list[str]:
    """What whoever sent it should know, though it is stored."""
    unheard = outcome.result == "created" and given.consent is not True
    return [*([_NO_CONSENT if given.consent is None else _CONSENT_REFUSED] if unheard else ()), *given.notes]


def _refusal(outcome: Outcome) -> Response:
    return problem(outcome.status, outcome.detail or outcome.result)


def _json(body: Any, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _facts(conversation_id: str, row: Conversation) -> dict[str, Any]:
    clean = row.state == "clean"
    return {
        "id": conversation_id,
        "state": row.state,
        "revision": row.revision,
        "consent": row.consent,
        "language": row.language if clean else None,
        "topic": row.topic if clean else None,
        "part": row.part if clean else None,
        "received_at": row.received_at,
        "curated_at": row.curated_at,
    }


def _import_summary(summary: Summary) -> ImportSummary:
    problems = [LineProblem(line=line, status=status, detail=detail) for line, status, detail in summary.problems]
    return ImportSummary(
        **summary.counts,
        lines=summary.lines,
        without_consent=summary.without_consent,
        notes=summary.notes,
        problems=problems,
    )
