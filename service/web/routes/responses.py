"""POST /v1/responses: OpenAI's Responses on the champion; recorded when `store` is true, as chat completions are.

The response's id is its message's: PUT /v1/votes/{id} takes it at once.
"""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

from pipelines.errors import PerennialError
from pipelines.gguf import protocol
from service.chat.responses import ResponseWriter, parse_response_request
from service.ingest.stream import parse_aside
from service.web.auth import ChatCaller
from service.web.chatting import Begun, begin
from service.web.openapi import CHAT_ANSWERS, RESPONSES_BODY
from service.web.problems import OpenAIRoute, openai_shape

router = APIRouter(route_class=OpenAIRoute, tags=["chat"])


@router.post("/v1/responses", summary="Chat, as responses", openapi_extra=RESPONSES_BODY, responses=CHAT_ANSWERS)
async def respond(request: Request, caller: ChatCaller) -> Response:
    """One response, whole or streamed, in OpenAI's format."""
    asked, chat = await parse_aside(parse_response_request, await request.body())
    begun = await begin(request, caller, chat)
    writer = ResponseWriter(begun.id, begun.created, asked, begun.start, bool(chat.logprobs))
    if asked.stream:
        headers = {**begun.headers, "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(begun, writer), media_type="text/event-stream", headers=headers)
    end, reply = await begun.whole(request), begun.reply
    for _ in writer.think(reply.reasoning) if reply.reasoning else ():
        pass
    for _ in writer.say(reply.text, tuple(reply.tokens)) if reply.text or not reply.calls else ():
        pass
    for _ in writer.end(end, reply.calls):
        pass
    return JSONResponse(writer.whole(end), headers=begun.headers)


async def _events(begun: Begun, writer: ResponseWriter) -> AsyncIterator[bytes]:
    for event in writer.begin():
        yield event
    try:
        async for piece in begun.pieces():
            if isinstance(piece, protocol.Thought):
                told = writer.think(piece.text)
            else:
                told = writer.say(piece.text, piece.tokens)
            for event in told:
                yield event
    except PerennialError as error:
        shape = openai_shape(error, str(error))[1]["error"]
        assert isinstance(shape, dict)
        yield writer.fail(shape["code"], shape["message"])
        return
    finally:
        begun.reply.cancel()
    for event in writer.end(begun.end, begun.reply.calls):
        yield event
