"""The page of a reviewer: one conversation at a time, by buttons or keys, with or without script. Scope `review`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Response
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from pipelines.errors import Conflict, DataError, InputError, NotFound, PerennialError
from service.ingest import NewCorrection, NewVote, Writer
from service.reviewing import discard, drop, keep, look, release
from service.store import people, reviews
from service.store.session import Store
from service.store.tables import Conversation, Message
from service.vault import Vault
from service.web.deps import StoreDep, VaultDep, WriterDep
from service.web.given import store_correction, store_vote
from service.web.pages.reading import STATES, conversation_view
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.pages.words import N_
from service.web.problems import status_of

QUEUES = {"clean": N_("To look at"), "quarantined": N_("Could not be checked")}
# Why a thumb is given: what is stored with it, and what a person reads.
TAGS = {
    "wrong": N_("wrong"),
    "unhelpful": N_("does not help"),
    "incomplete": N_("incomplete"),
    "too_long": N_("too long"),
    "wrong_language": N_("wrong language or tone"),
    "unsafe": N_("unsafe"),
    "helpful": N_("helps"),
}
MAX_TEXT = 200_000
_MANY = 200  # more are counted no further: each costs two look-ups

router = APIRouter(prefix="/review", route_class=PageRoute, include_in_schema=False)
Text = Annotated[str, Form()]
Queue = Annotated[str, Query(max_length=20)]


@router.get("")
def next_one(visit: VisitDep, store: StoreDep, queue: Queue = "clean", before: str | None = None) -> Response:
    """The newest conversation that waits, or the word that none does."""
    visit.require("review")
    queue = queue if queue in QUEUES else "clean"
    with store.read() as session:
        found = reviews.next_unreviewed(session, queue, before) or reviews.next_unreviewed(session, queue)
        waiting = _waiting(session)
    if found is not None:
        return RedirectResponse(f"/review/{found}", 303, dict(HEADERS))
    return visit.page("reviewed.html", here="/review", queue=queue, queues=QUEUES, waiting=waiting, many=_MANY)


@router.get("/{conversation_id}")
def review(conversation_id: str, visit: VisitDep, store: StoreDep, vault: VaultDep) -> Response:
    """One conversation, and what can be done about it."""
    visit.require("review")
    return _show(visit, store, vault, conversation_id)


@router.post("/{conversation_id}")
async def decide(
    conversation_id: str,
    visit: VisitDep,
    store: StoreDep,
    vault: VaultDep,
    writer: WriterDep,
    csrf: Text,
    do: Text = "",
    seen: Annotated[int, Form(ge=-1, lt=1 << 31)] = -1,
    answer: Annotated[str, Form(max_length=64)] = "",
    reason: Annotated[str, Form(max_length=64)] = "",
    content: Annotated[str, Form(max_length=MAX_TEXT)] = "",
) -> Response:
    """Does it, and goes on to the next one."""
    visit.check_token(csrf)
    visit.require("review")
    try:
        if do in ("up", "down", "correct"):
            app, message = await run_in_threadpool(_answer, store, conversation_id, answer)
            if do == "correct":
                seen = await _correct(writer, store, app, message, visit.by, content, seen)
            else:
                value: Literal[1, -1] = 1 if do == "up" else -1
                tag = reason if reason in TAGS else None
                await store_vote(writer, NewVote(app, message.id, visit.by, value, tag, hashed=message.client_hmac))
            await run_in_threadpool(look, store, conversation_id, seen, visit.by)
        else:
            await run_in_threadpool(_settle, store, conversation_id, do, seen, visit.by)
    except NotFound:
        raise
    except PerennialError as error:
        return await run_in_threadpool(_show, visit, store, vault, conversation_id, str(error), status_of(error))
    queue = "quarantined" if do in ("release", "discard") else "clean"
    return RedirectResponse(f"/review?queue={queue}&before={conversation_id}", 303, dict(HEADERS))


def _show(
    visit: Visit, store: Store, vault: Vault, conversation_id: str, problem: str = "", status: int = 200
) -> Response:
    with store.read() as session:
        view = conversation_view(session, vault, conversation_id)
        row: Conversation = view["row"]
        queue = row.state if row.state in QUEUES else "clean"
        answers = [turn.id for turn in view["turns"] if turn.is_answer and turn.pieces is not None]
        return visit.page(
            "review.html",
            status,
            here="/review",
            queue=queue,
            queues=QUEUES,
            waiting=_waiting(session),
            many=_MANY,
            older=reviews.next_unreviewed(session, queue, row.id),
            newer=reviews.newer(session, queue, row.id),
            seen=reviews.last_position(session, row.id),
            chosen=answers[-1] if answers else None,
            tags=TAGS,
            states=STATES,
            problem=problem,
            **view,
        )


def _waiting(session: Session) -> dict[str, int]:
    return {queue: reviews.count_unreviewed(session, queue, _MANY) for queue in QUEUES}


def _answer(store: Store, conversation_id: str, answer: str) -> tuple[str, Message]:
    """The name of the app and the chosen answer of a conversation that may be read."""
    with store.read() as session:
        row, message = session.get(Conversation, conversation_id), session.get(Message, answer)
        if row is None:
            raise NotFound(f"there is no conversation with the id {conversation_id[:80]!r}")
        if row.state != "clean":
            raise Conflict(f"this conversation is {row.state} by now, not checked; look at it again")
        if message is None or message.conversation_id != row.id:
            raise InputError("choose the answer that this is about")
        return dict(people.all_apps(session))[row.app_id], message


async def _correct(writer: Writer, store: Store, app: str, message: Message, by: str, content: str, seen: int) -> int:
    """Stores a better answer; what the reviewer has seen then: their own answer too, if nothing came between."""
    text = content.replace("\r\n", "\n").strip()
    if not text:
        raise DataError("a better answer needs words")
    outcome = await store_correction(writer, NewCorrection(app, message.id, by, text, hashed=message.client_hmac))
    last = await run_in_threadpool(_last, store, message.conversation_id)
    return last if outcome.result == "created" and last == seen + 1 else seen


def _last(store: Store, conversation_id: str) -> int:
    with store.read() as session:
        return reviews.last_position(session, conversation_id)


def _settle(store: Store, conversation_id: str, do: str, seen: int, by: str) -> None:
    if do == "keep":
        keep(store, conversation_id, seen, by)
    elif do == "drop":
        drop(store, conversation_id, seen, by)
    elif do == "release":
        release(store, conversation_id, by)
    elif do == "discard":
        discard(store, conversation_id, by)
    else:
        raise InputError(f"{do[:20]!r} is nothing that a reviewer does")
