"""PUT and DELETE /v1/votes/{message id}: thumbs, changed and retracted, also before the message is known."""

import asyncio

from fastapi import APIRouter, Request

from pipelines.errors import Conflict, DataError
from service.ingest import NewVote, Writer, checked_id, parse_retraction, parse_vote
from service.web.auth import IngestCaller, app_of
from service.web.deps import WriterDep
from service.web.openapi import PROBLEMS, VOTE_BODY
from service.web.schemas import VoteStatus

router = APIRouter(prefix="/v1/votes", tags=["votes"], responses=PROBLEMS)


@router.put("/{message_id:path}", summary="Vote on an assistant's message", openapi_extra=VOTE_BODY)
async def vote(message_id: str, request: Request, caller: IngestCaller, writer: WriterDep) -> VoteStatus:
    """One vote per message and user; a second replaces the first. Answers after COMMIT."""
    given = parse_vote(await request.body())
    name = app_of(caller, given.app)
    changed = await _record(writer, NewVote(name, checked_id(message_id), given.user, 1 if given.value == "up" else -1))
    return VoteStatus(message=message_id, value=given.value, changed=changed)


@router.delete("/{message_id:path}", summary="Retract a vote")
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
    changed = await _record(writer, NewVote(app_of(caller, app), checked_id(message_id), checked_id(user), 0))
    return VoteStatus(message=message_id, value=None, changed=changed)


async def _record(writer: Writer, vote: NewVote) -> bool:
    outcome = (await asyncio.wrap_future(writer.submit_votes([vote])))[0]
    if outcome.result == "conflict":
        raise Conflict(outcome.detail or "")
    if outcome.result == "invalid":
        raise DataError(f"message {vote.message[:80]!r}: {outcome.detail}")
    return outcome.result == "created"
