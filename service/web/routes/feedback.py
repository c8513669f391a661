"""What people give: thumbs, better answers of their own, and one answer preferred to another.

PUT, DELETE /v1/votes/{message id}       POST, DELETE /v1/messages/{message id}/corrections       POST, DELETE /v1/comparisons

A vote and a comparison may come before their messages are known.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from msgspec.structs import replace

from pipelines.errors import DataError
from service.api_keys import Caller
from service.ingest import (
    ComparisonChangeIn,
    NewComparison,
    NewCorrection,
    NewVote,
    WholeComparisonIn,
    Writer,
    checked_id,
    in_utc,
    parse_comparison,
    parse_correction,
    parse_retraction,
    parse_vote,
    prepare_comparison,
    prepare_correction,
    prepare_vote,
)
from service.ingest.reused import refuse_reused
from service.ingest.stream import parse_aside
from service.settings import Settings
from service.store.tables import now
from service.web.auth import IngestCaller, app_of
from service.web.deps import WriterDep
from service.web.given import accepted, store_comparison, store_correction, store_vote
from service.web.openapi import COMPARISON_BODY, CORRECTION_BODY, RETRACTION_BODY, VOTE_BODY
from service.web.schemas import ComparisonStatus, CorrectionStatus, VoteStatus

router = APIRouter(prefix="/v1")
_VOTES = "/votes/{message_id:path}"
_CORRECTIONS = "/messages/{message_id:path}/corrections"


@router.put(_VOTES, summary="Vote on an assistant's message", tags=["votes"], openapi_extra=VOTE_BODY)
async def vote(message_id: str, request: Request, caller: IngestCaller, writer: WriterDep) -> VoteStatus:
    """One vote per message and user; a second replaces the first. Answers after COMMIT."""
    given = parse_vote(await request.body())
    prepared = prepare_vote(given, checked_id(message_id), app_of(caller, given.app), now())
    _refuse_reused(request, prepared.app, message_id)
    changed = await store_vote(writer, prepared)
    return VoteStatus(message=message_id, value=given.value, changed=changed)


@router.delete(_VOTES, summary="Retract a vote", tags=["votes"], openapi_extra=RETRACTION_BODY)
async def retract(
    message_id: str,
    request: Request,
    caller: IngestCaller,
    writer: WriterDep,
    user: str | None = None,
    app: str | None = None,
) -> VoteStatus:
    """Takes a user's vote back; `changed` is false if there was none. `user` and `app` may come in a body as well."""
    body = await request.body()
    if body:
        given = parse_retraction(body)
        user, app = user or given.user, app or given.app
    if user is None:
        raise DataError("user: say whose vote this takes back, as ?user=ID or in the body")
    changed = await store_vote(writer, NewVote(app_of(caller, app), checked_id(message_id), checked_id(user), 0))
    return VoteStatus(message=message_id, value=None, changed=changed)


@router.post(
    _CORRECTIONS,
    summary="Write a better answer in place of an assistant's",
    tags=["corrections"],
    openapi_extra=CORRECTION_BODY,
    responses={201: {"model": CorrectionStatus, "description": "stored"}},
)
async def correct(
    message_id: str, request: Request, response: Response, caller: IngestCaller, writer: WriterDep
) -> CorrectionStatus:
    """A user's newest correction of a message counts; the same text again is 200. It is sealed, anonymized with the
    surrogates of its conversation, and may be voted on and compared by the id that is answered. After COMMIT."""
    given = await parse_aside(parse_correction, await request.body())
    correction = prepare_correction(given, checked_id(message_id), app_of(caller, given.app), now())
    _refuse_reused(request, correction.app, message_id)
    outcome = await store_correction(writer, correction)
    response.status_code = outcome.status
    return CorrectionStatus(id=outcome.id, message=message_id, changed=outcome.result == "created")


@router.delete(_CORRECTIONS, summary="Take a correction back", tags=["corrections"])
async def take_back(
    message_id: str,
    caller: IngestCaller,
    writer: WriterDep,
    user: Annotated[str, Query(min_length=1, max_length=256)],
    app: str | None = None,
) -> CorrectionStatus:
    """`changed` is false where none of this user stands. An earlier one does not come back."""
    correction = NewCorrection(app_of(caller, app), checked_id(message_id), checked_id(user), None)
    outcome = await store_correction(writer, correction)
    return CorrectionStatus(id=None, message=message_id, changed=outcome.result == "created")


@router.post(
    "/comparisons",
    summary="Prefer one answer to another",
    tags=["comparisons"],
    openapi_extra=COMPARISON_BODY,
    responses={201: {"model": ComparisonStatus, "description": "stored"}},
)
async def compare(request: Request, response: Response, caller: IngestCaller, writer: WriterDep) -> ComparisonStatus:
    """Of two answers to one message, by their ids, also before they are stored; or with prompt and answers in the
    body, which are stored as a conversation. One comparison per user and pair; a second replaces the first."""
    given, notes = await parse_aside(parse_comparison, await request.body())
    comparison = _comparison(given, caller)
    stored = isinstance(given, WholeComparisonIn) and await _store_conversation(given, comparison.app, writer)
    outcome = await store_comparison(writer, comparison)
    changed = stored or outcome.result == "created"
    response.status_code = 201 if changed else 200
    return ComparisonStatus(
        chosen=comparison.chosen,
        rejected=comparison.rejected,
        changed=changed,
        pending=list(outcome.pending),
        notes=list(notes),
    )


@router.delete("/comparisons", summary="Take a comparison back", tags=["comparisons"], openapi_extra=COMPARISON_BODY)
async def take_comparison_back(request: Request, caller: IngestCaller, writer: WriterDep) -> ComparisonStatus:
    """With the body that stored it, whichever answer is called the chosen one; a conversation stored with it stays."""
    given, _ = await parse_aside(parse_comparison, await request.body())
    comparison = replace(_comparison(given, caller), stands=False)
    outcome = await store_comparison(writer, comparison)
    return ComparisonStatus(chosen=None, rejected=None, changed=outcome.result == "created")


def _refuse_reused(request: Request, app: str, message_id: str) -> None:
    settings: Settings = request.app.state.settings
    refuse_reused(settings.spool, request.app.state.vault, app, message_id)


def _comparison(given: ComparisonChangeIn | WholeComparisonIn, caller: Caller) -> NewComparison:
    app = app_of(caller, given.app)
    if isinstance(given, WholeComparisonIn):
        return prepare_comparison(given, app, now()).comparisons[0]
    at = None if given.time is None else in_utc(given.time, now())
    return NewComparison(app, given.chosen, given.rejected, given.user, at=at, source=given.source)


async def _store_conversation(given: WholeComparisonIn, app: str, writer: Writer) -> bool:
    """Stores prompt and answers; whether they are new. What broke off before the comparison is mended by sending again."""
    incoming = replace(prepare_comparison(given, app, now()), comparisons=())
    return accepted((await asyncio.wrap_future(writer.submit([incoming])))[0]).status == 201
