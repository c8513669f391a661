"""POST /v1/chat/completions: OpenAI-compatible, answered by the champion, recorded when `store` is true.

    person            `user`
    consent           metadata.consent or the header X-Perennial-Consent, "true" or "false"; missing = never trained on
    conversation      metadata.conversation_id; without it the stored conversation is found by its turns (placing.py)
    app               metadata.app, for keys that speak for every app

The header X-Perennial-Conversation names the conversation, percent-encoded.

The reply's id (chatcmpl-...) is its message id: PUT /v1/votes/{id} takes it at once, even while it is being written.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from pipelines import records
from pipelines.errors import Busy, InputError, NotFound, PerennialError, QueueFull
from pipelines.gguf import protocol
from service.chat import openai, replies
from service.chat.openai import ChatRequest
from service.chat.place import Turn, fresh_reply_id, place
from service.chat.reply import Record, Reply
from service.chat.tools import as_openai, stored_calls, stored_tools
from service.engine.state import engine_view
from service.ingest.body import Body
from service.ingest.stream import parse_aside
from service.obstacles import answering
from service.settings import Settings
from service.store import models
from service.store.session import Store
from service.store.tables import now
from service.web.auth import ChatCaller, app_of
from service.web.deps import SettingsDep, StoreDep, VaultDep, WriterDep
from service.web.openapi import CHAT_ANSWERS, CHAT_BODY
from service.web.problems import OpenAIRoute, openai_shape

ALIAS = "champion"
# OpenAI's own default; clients that leave it out expect answers that vary.
DEFAULT_TEMPERATURE = 1.0
_OURS = ("conversation_id", "consent", "app")
_CONSENT = {"true": True, "false": False}
_WATCH_SECONDS = 0.5
_SILENCING = ("champion_missing", "engine_gone", "engine_refuses")
# A header holds no Hangul and no control characters: what is not in here is percent-encoded, as in a URL.
_HEADER_SAFE = "!#$&'()*+,/:;<=>?@[]^`{|}"

router = APIRouter(route_class=OpenAIRoute, tags=["chat"])


@router.post("/v1/chat/completions", summary="Chat with the champion", openapi_extra=CHAT_BODY, responses=CHAT_ANSWERS)
async def complete(
    request: Request, caller: ChatCaller, store: StoreDep, vault: VaultDep, writer: WriterDep, settings: SettingsDep
) -> Response:
    """One reply, whole or streamed, in OpenAI's format."""
    body = await parse_aside(openai.parse_request, await request.body())
    await run_in_threadpool(check_model, store, settings, body.model)
    record = None
    if body.store:
        app, at = app_of(caller, _ours(body, "app")), now()
        placed = await run_in_threadpool(
            place, store, vault, app, _user(body), _turns(body), _ours(body, "conversation_id"), at
        )
        tools = stored_tools(body.tools or [])
        record = Record(writer, app, _user(body), _consent(body, request), _rest(body), placed, at, tools)
    reply = Reply(settings.home, _for_engine(body), record)
    try:
        start = await reply.begin()
    except QueueFull:
        raise
    except Busy as error:
        raise await run_in_threadpool(_explained, store, settings, error) from error
    if body.model not in (ALIAS, start.model):
        reply.cancel()
        raise Busy(
            f"the engine still serves '{start.model}' and is on its way to '{body.model}'; try again in a moment"
        )
    answer = _Answer(body, reply, start, record)
    return answer.stream() if body.stream else await answer.whole(request)


def check_model(store: Store, settings: Settings, name: str) -> None:
    """Pass if the name means the champion, or what the engine serves until it has swapped.

    Raises:
        Busy: there is no champion yet; the sentence says why.
        NotFound: it means nothing here; the sentence says what does.
    """
    with store.read() as session:
        champion = models.champion_id(session)
        if name == ALIAS and champion is None:
            raise Busy(next(answering(settings, session)).line())
    if name not in (ALIAS, champion, engine_view(settings.home, champion).model_id):
        known = f"'{ALIAS}' or its id '{champion}'" if champion else f"'{ALIAS}', once there is one"
        raise NotFound(f"the model '{name[:80]}' does not answer here; ask for {known}")


def _explained(store: Store, settings: Settings, error: Busy) -> Busy:
    """The error with what keeps the champion from answering, where that will not pass by itself."""
    with store.read() as session:
        found = [one for one in answering(settings, session) if one.name in _SILENCING]
    return Busy(found[0].line()) if found else error


class _Answer:
    """A reply that has begun, in OpenAI's words."""

    def __init__(self, body: ChatRequest, reply: Reply, start: protocol.Start, record: Record | None) -> None:
        self._body, self._reply, self._start = body, reply, start
        reply_id = record.placement.reply_id if record else fresh_reply_id()
        self._head = replies.Head(reply_id, int(time.time()), start.model, bool(body.logprobs))
        self._headers = {"X-Perennial-Model-SHA256": start.sha256, "Cache-Control": "no-store"}
        if record:
            self._headers["X-Perennial-Conversation"] = quote(record.placement.conversation_id, safe=_HEADER_SAFE)

    def stream(self) -> Response:
        headers = {**self._headers, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(), media_type="text/event-stream", headers=headers)

    async def whole(self, request: Request) -> Response:
        """The reply in one piece; given up when the client leaves."""
        watch = asyncio.create_task(self._watch(request))
        try:
            async for _ in self._reply.pieces():
                pass
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        finish, usage = self._end()
        reply = self._reply
        body = self._head.completion(
            reply.text, finish, usage, calls=reply.calls, reasoning=reply.reasoning, tokens=reply.tokens
        )
        return JSONResponse(body, headers=self._headers)

    async def _events(self) -> AsyncIterator[bytes]:
        head = self._head
        yield head.chunk({"role": "assistant", "content": ""})
        try:
            async for piece in self._reply.pieces():
                if isinstance(piece, protocol.Thought):
                    yield head.chunk({"reasoning_content": piece.text})
                else:
                    yield head.chunk({"content": piece.text}, tokens=piece.tokens)
        except PerennialError as error:
            yield replies.event(openai_shape(error, str(error))[1])
            return
        finally:
            self._reply.cancel()
        finish, usage = self._end()
        if self._reply.calls:
            yield head.chunk({"tool_calls": as_openai(self._reply.calls, indexed=True)})
        yield head.chunk({}, finish)
        if self._body.with_usage:
            yield head.chunk(None, usage=usage)
        yield replies.DONE

    async def _watch(self, request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(_WATCH_SECONDS)
        self._reply.cancel()

    def _end(self) -> tuple[str, dict[str, int]]:
        end = self._reply.end
        assert end is not None
        finish = "tool_calls" if self._reply.calls else end.reason
        return finish, replies.usage_of(self._start.prompt_tokens, end.completion_tokens)


def _for_engine(body: ChatRequest) -> protocol.ChatRequest:
    return protocol.ChatRequest(
        messages=tuple(body.turns()),
        max_tokens=body.token_limit,
        temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        min_p=body.min_p or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        repeat_penalty=1.0 if body.repeat_penalty is None else body.repeat_penalty,
        stop=tuple(body.stops),
        seed=body.seed,
        logprobs=body.alternatives,
        json_schema=body.response_format.schema_text if body.response_format else None,
        must_call=body.must_call,
    )


def _turns(body: ChatRequest) -> list[Turn]:
    return [Turn(turn.role, turn.content, _stored(turn)) for turn in body.turns()]


def _stored(turn: records.Turn) -> Body | None:
    """All that a turn says, where that is more than its text."""
    calls = stored_calls(turn.tool_calls)
    whole = Body(turn.content, turn.reasoning, calls, turn.tool_call_id, turn.name)
    return None if whole.is_plain else whole


def _user(body: ChatRequest) -> str:
    if body.user is None:
        raise InputError("`store` needs `user`: the id of the person whose conversation this is")
    return body.user


def _consent(body: ChatRequest, request: Request) -> bool | None:
    """The person's consent to training; a body and a header that disagree are an error, not a guess."""
    given = {text for text in (_ours(body, "consent"), request.headers.get("x-perennial-consent")) if text is not None}
    if not given:
        return None
    if len(given) > 1 or not given <= _CONSENT.keys():
        raise InputError("consent must be 'true' or 'false', the same in metadata.consent and X-Perennial-Consent")
    return _CONSENT[given.pop()]


def _ours(body: ChatRequest, name: str) -> str | None:
    value = (body.metadata or {}).get(name)
    if value is not None and not 0 < len(value) <= 256:
        raise InputError(f"metadata.{name} must have 1 to 256 characters")
    return value


def _rest(body: ChatRequest) -> dict[str, str]:
    return {name: value for name, value in (body.metadata or {}).items() if name not in _OURS}
