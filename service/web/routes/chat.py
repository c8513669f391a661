"""POST /v1/chat/completions: OpenAI-compatible, answered by the champion, recorded when `store` is true.

    person            `user`
    consent           metadata.consent or the header X-Perennial-Consent, "true" or "false"; missing = never trained on
    conversation      metadata.conversation_id; without it the stored conversation is found by its turns (placing.py)
    app               metadata.app, for keys that speak for every app

The header X-Perennial-Conversation names the conversation, percent-encoded.

The reply's id (chatcmpl-...) is its message id: PUT /v1/votes/{id} takes it at once, even while it is being written.
"""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

from pipelines.errors import PerennialError
from pipelines.gguf import protocol
from service.api_keys import Caller
from service.chat import openai, replies
from service.chat.openai import ChatRequest
from service.chat.tools import as_openai
from service.ingest.stream import parse_aside
from service.web.auth import ChatCaller
from service.web.chatting import Begun, begin
from service.web.openapi import CHAT_ANSWERS, CHAT_BODY
from service.web.problems import OpenAIRoute, openai_shape

router = APIRouter(route_class=OpenAIRoute, tags=["chat"])


@router.post("/v1/chat/completions", summary="Chat with the champion", openapi_extra=CHAT_BODY, responses=CHAT_ANSWERS)
async def complete(request: Request, caller: ChatCaller) -> Response:
    """One reply, whole or streamed, in OpenAI's format."""
    return await answer(request, await parse_aside(openai.parse_request, await request.body()), caller)


async def answer(request: Request, body: ChatRequest, caller: Caller) -> Response:
    """One reply to a request that was read, from the API or from the page of chats.

    Raises:
        InputError, NotFound, Busy, Conflict: why there will be no reply.
    """
    begun = await begin(request, caller, body)
    head = replies.Head(begun.id, begun.created, begun.start.model, bool(body.logprobs))
    if body.stream:
        headers = {**begun.headers, "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(begun, head, body), media_type="text/event-stream", headers=headers)
    await begun.whole(request)
    reply, (finish, usage) = begun.reply, _end(begun)
    whole = head.completion(
        reply.text, finish, usage, calls=reply.calls, reasoning=reply.reasoning, tokens=reply.tokens
    )
    return JSONResponse(whole, headers=begun.headers)


async def _events(begun: Begun, head: replies.Head, body: ChatRequest) -> AsyncIterator[bytes]:
    yield head.chunk({"role": "assistant", "content": ""})
    try:
        async for piece in begun.pieces():
            if isinstance(piece, protocol.Thought):
                yield head.chunk({"reasoning_content": piece.text})
            else:
                yield head.chunk({"content": piece.text}, tokens=piece.tokens)
    except PerennialError as error:
        yield replies.event(openai_shape(error, str(error))[1])
        return
    finally:
        begun.reply.cancel()
    finish, usage = _end(begun)
    if begun.reply.calls:
        yield head.chunk({"tool_calls": as_openai(begun.reply.calls, indexed=True)})
    yield head.chunk({}, finish)
    if body.with_usage:
        yield head.chunk(None, usage=usage)
    yield replies.DONE


def _end(begun: Begun) -> tuple[str, dict[str, int]]:
    finish = "tool_calls" if begun.reply.calls else begun.end.reason
    return finish, replies.usage_of(begun.start.prompt_tokens, begun.end.completion_tokens)
