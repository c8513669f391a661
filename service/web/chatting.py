"""A chat with the champion, from a request that was read to a reply that has begun: what both of OpenAI's routes share."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from pipelines import records
from pipelines.errors import Busy, InputError, NotFound, QueueFull
from pipelines.gguf import protocol
from service.api_keys import Caller
from service.chat.openai import ChatRequest
from service.chat.place import Turn, fresh_reply_id, place
from service.chat.reply import Record, Reply
from service.chat.tools import stored_calls, stored_tools
from service.engine.state import engine_view
from service.ingest.body import Body
from service.obstacles import answering
from service.settings import Settings
from service.store import models
from service.store.session import Store
from service.store.tables import now
from service.web.auth import app_of
from service.web.metrics import Tally

ALIAS = "champion"
# OpenAI's own default; clients that leave it out expect answers that vary.
DEFAULT_TEMPERATURE = 1.0
_OURS = ("conversation_id", "consent", "app")
_CONSENT = {"true": True, "false": False}
_WATCH_SECONDS = 0.5
_SILENCING = ("champion_missing", "engine_gone", "engine_refuses")
# A header holds no Hangul and no control characters: what is not in here is percent-encoded, as in a URL.
_HEADER_SAFE = "!#$&'()*+,/:;<=>?@[]^`{|}"


@dataclass(frozen=True)
class Begun:
    """A reply whose first word is on its way. `pieces` gives it and counts it; `whole` waits for all of it."""

    id: str
    created: int
    reply: Reply
    start: protocol.Start
    headers: dict[str, str]
    tally: Tally
    asked_at: float

    async def pieces(self) -> AsyncIterator[protocol.Text | protocol.Thought]:
        """What it says and thinks, as it comes. Raises as `Reply.pieces`."""
        is_first = True
        try:
            async for piece in self.reply.pieces():
                if is_first:
                    self.tally.first_token.observe(time.perf_counter() - self.asked_at)
                    is_first = False
                yield piece
        finally:
            self.reply.cancel()
            self.tally.note(self.start, self.reply.end)

    async def whole(self, request: Request) -> protocol.End:
        """Its end, once all of it is there; given up when the client leaves."""
        watch = asyncio.create_task(self._watch(request))
        try:
            async for _ in self.pieces():
                pass
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        return self.end

    @property
    def end(self) -> protocol.End:
        """Why it ended, once it has."""
        assert self.reply.end is not None
        return self.reply.end

    async def _watch(self, request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(_WATCH_SECONDS)
        self.reply.cancel()


async def begin(request: Request, caller: Caller, body: ChatRequest) -> Begun:
    """The reply to a chat, recorded where that is asked for.

    Raises:
        InputError, Busy, QueueFull, NotFound, Conflict: why there will be none.
    """
    state, asked_at = request.app.state, time.perf_counter()
    store: Store = state.store
    settings: Settings = state.settings
    await run_in_threadpool(check_model, store, settings, body.model)
    record = None
    if body.store:
        app, at = app_of(caller, _ours(body, "app")), now()
        named = _ours(body, "conversation_id")
        placed = await run_in_threadpool(place, store, state.vault, app, _user(body), _turns(body), named, at)
        tools = stored_tools(body.tools or [])
        record = Record(state.writer, app, _user(body), _consent(body, request), _rest(body), placed, at, tools)
    reply = Reply(settings.home, _for_engine(body), record)
    try:
        start = await reply.begin()
    except QueueFull:
        state.tally.refused.inc()
        raise
    except Busy as error:
        raise await run_in_threadpool(_explained, store, settings, error) from error
    if body.model not in (ALIAS, start.model):
        reply.cancel()
        raise Busy(
            f"the engine still serves '{start.model}' and is on its way to '{body.model}'; try again in a moment"
        )
    headers = {"X-Perennial-Model-SHA256": start.sha256, "Cache-Control": "no-store"}
    if record:
        headers["X-Perennial-Conversation"] = quote(record.placement.conversation_id, safe=_HEADER_SAFE)
    reply_id = record.placement.reply_id if record else fresh_reply_id()
    return Begun(reply_id, int(time.time()), reply, start, headers, state.tally, asked_at)


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
