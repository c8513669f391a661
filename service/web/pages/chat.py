"""The page that chats with the champion, by the code of /v1/chat/completions: streamed, recorded, and all that is said of it kept.

One form holds everything; each button says what it does and to which answer (`do`). Without script an answer comes whole.
What is shown is one's own: the person is whoever signed in, in an app of its own. Scope `chat`.
"""

import re
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, RedirectResponse

from pipelines.errors import DataError, InputError, NotFound, PerennialError
from service.chat.openai import ChatMessage, ChatRequest
from service.ingest import NewComparison, NewCorrection, NewVote, Writer
from service.settings import Settings
from service.store.session import Store
from service.vault import Vault
from service.web.chatting import ALIAS, check_model
from service.web.deps import SettingsDep, StoreDep, VaultDep, WriterDep
from service.web.given import store_comparison, store_correction, store_vote
from service.web.pages.beside import answer_beside, form_of, in_any_order, others
from service.web.pages.own_chats import CHAT_APP, OwnChat, own_chat, recent_chats
from service.web.pages.review import MAX_TEXT, TAGS
from service.web.pages.session import HEADERS
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.problems import status_of
from service.web.routes.chat import answer

router = APIRouter(prefix="/chat", route_class=PageRoute, include_in_schema=False)
MAX_TOKENS = 1_024
_NAME = re.compile(r"chat-[0-9a-f]{32}")


@router.get("")
def begin(visit: VisitDep, store: StoreDep, vault: VaultDep, settings: SettingsDep) -> Response:
    """A chat that holds nothing yet, and the newest ones."""
    visit.require("chat")
    return _show(visit, store, vault, settings, f"chat-{uuid4().hex}")


@router.get("/{name}")
def chat(
    name: str, visit: VisitDep, store: StoreDep, vault: VaultDep, settings: SettingsDep, blind: bool = False
) -> Response:
    """A chat of one's own; `blind` hides who gave which of several answers until one of them is preferred."""
    visit.require("chat")
    return _show(visit, store, vault, settings, _checked(name), blind=blind)


@router.post("/{name}")
async def act(
    name: str,
    request: Request,
    visit: VisitDep,
    store: StoreDep,
    vault: VaultDep,
    settings: SettingsDep,
    writer: WriterDep,
) -> Response:
    """Says something, asks again, or says what an answer is worth; shows the chat, or streams the answer to a script."""
    form = await request.form(max_fields=2_000, max_part_size=4 * MAX_TEXT)
    visit.check_token(_text(form, "csrf"))
    visit.require("chat")
    streams = "text/event-stream" in request.headers.get("accept", "")
    try:
        said = await _act(_checked(name), form, request, visit, store, vault, settings, writer, streams)
    except PerennialError as error:
        sentence, status = settings.without_paths(str(error)), status_of(error)
        if streams:
            return JSONResponse({"error": {"message": sentence}}, status, dict(HEADERS))
        draft = _text(form, "text")
        return await run_in_threadpool(
            _show, visit, store, vault, settings, name, sentence, status, draft, blind=_is_blind(form)
        )
    back = f"/chat/{name}{'?blind=1' if _is_blind(form) else ''}#end"
    return said if streams and said is not None else RedirectResponse(back, 303, dict(HEADERS))


async def _act(
    name: str,
    form: FormData,
    request: Request,
    visit: Visit,
    store: Store,
    vault: Vault,
    settings: Settings,
    writer: Writer,
    streams: bool,
) -> Response | None:
    """Does what the pressed button says; the answer where it asks for one."""
    do, _, subject = _text(form, "do").partition(" ")
    held = await run_in_threadpool(own_chat, store, vault, visit.by, name)
    if do in ("say", "again"):
        messages = _history(held, do, subject, form)
        consent = "true" if _text(form, "consent") == "yes" else "false"
        metadata = {"conversation_id": name, "consent": consent, "app": CHAT_APP}
        body = ChatRequest(
            model=ALIAS,
            messages=messages,
            stream=streams,
            store=True,
            user=visit.by,
            metadata=metadata,
            max_tokens=MAX_TOKENS,
        )
        assert visit.caller is not None
        beside = None if streams else _text(form, "beside") or None
        second = None if beside is None else await run_in_threadpool(form_of, store, beside)
        said = await answer(request, body, visit.caller)
        if second is not None:
            own = (settings, store, vault, writer, second, visit.by, name)
            await answer_beside(*own, messages, consent == "true", MAX_TOKENS)
        return said
    hashed = held.hashes.get(subject)
    if hashed is None:
        raise NotFound("there is no such answer in this chat")
    if do in ("up", "down"):
        tag = _text(form, f"reason {subject}")
        vote = NewVote(
            CHAT_APP, subject, visit.by, 1 if do == "up" else -1, tag if tag in TAGS else None, hashed=hashed
        )
        await store_vote(writer, vote)
    elif do == "better":
        text = _text(form, f"better {subject}").strip()
        if not text:
            raise DataError("a better answer needs words")
        await store_correction(writer, NewCorrection(CHAT_APP, subject, visit.by, text, hashed=hashed))
    elif do == "prefer":
        for other in held.siblings(subject):
            pair = (hashed, held.hashes[other])
            await store_comparison(writer, NewComparison(CHAT_APP, subject, other, visit.by, hashed=pair))
    else:
        raise InputError(f"{do[:20]!r} is nothing that this page does")
    return None


def _history(held: OwnChat, do: str, subject: str, form: FormData) -> list[ChatMessage]:
    """The messages that the champion answers: the way to the chosen answer and what is said now, or to a question again."""
    if do == "again":
        path = held.path_to(held.parents.get(subject))
        if not path:
            raise NotFound("there is no such answer in this chat")
        return path
    text = _text(form, "text").strip()
    if not text:
        raise DataError("say something first")
    return [*held.path_to(_text(form, "after") or None), ChatMessage(role="user", content=text)]


def _show(
    visit: Visit,
    store: Store,
    vault: Vault,
    settings: Settings,
    name: str,
    problem: str = "",
    status: int = 200,
    draft: str = "",
    blind: bool = False,
) -> Response:
    held = own_chat(store, vault, visit.by, name)
    turns = in_any_order(held.turns, held.parents) if blind else held.turns
    values: dict[str, Any] = {"turns": turns, "consent": held.consent, "state": held.state}
    return visit.page(
        "chat.html",
        status,
        here="/chat",
        name=name,
        problem=problem or _silence(store, settings),
        draft=draft,
        last=held.last_answer,
        siblings={turn.id: held.siblings(turn.id) for turn in held.turns},
        others=others(store),
        blind=blind,
        hidden=_hidden(held) if blind else frozenset(),
        recent=recent_chats(store, vault, visit.by),
        tags=TAGS,
        **values,
    )


def _hidden(held: OwnChat) -> frozenset[str]:
    """Answers whose model is not told yet: several to one message, none of them preferred."""
    judged = {turn.id for turn in held.turns if turn.feedback is not None and turn.feedback.preferred}
    answers = [turn.id for turn in held.turns if turn.is_answer]
    groups = {answer: {answer, *held.siblings(answer)} for answer in answers}
    return frozenset(answer for answer, group in groups.items() if len(group) > 1 and not group & judged)


def _is_blind(form: FormData) -> bool:
    return _text(form, "blind") == "yes"


def _silence(store: Store, settings: Settings) -> str:
    """Why nobody would answer now; empty where somebody does."""
    try:
        check_model(store, settings, ALIAS)
    except PerennialError as error:
        return settings.without_paths(str(error))
    return ""


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NotFound("there is no such chat")
    return name


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    text = value.replace("\r\n", "\n") if isinstance(value, str) else ""
    if len(text) > MAX_TEXT:
        raise InputError(f"this is longer than {MAX_TEXT:,} characters")
    return text
