"""Parts of a page as they change, by server-sent events: whoever connects, or comes back, gets every part once.

    event: parts    data: {"stages": "<ol class=...", "curves": "<figure ..."}     those that changed
    event: beat     data: {}                                                       nothing did, and the service is there
    event: end      data: {}                                                       nothing will change any more

A stream ends by itself after some minutes: the browser comes back, and is asked again who it is.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.web.pages.session import HEADERS

LOOK_SECONDS = 1.0
_LIFE_SECONDS = 300.0
_BACK_MILLISECONDS = 2000
# what passes by itself: the script counts it on, so it is no change
_ELAPSED = re.compile(r'(data-since="[^"]*")>[^<]*<')

Look = Callable[[], tuple[Mapping[str, str], bool]]
"""Gives the parts by name as they are now, and whether they may still change."""


def stream_parts(request: Request, look: Look) -> StreamingResponse:
    """The answer that sends what `look` sees."""
    headers = dict(HEADERS) | {"X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, look), media_type="text/event-stream", headers=headers)


async def _events(request: Request, look: Look) -> AsyncIterator[bytes]:
    sent: dict[str, str] = {}
    ends = time.monotonic() + _LIFE_SECONDS
    yield f"retry: {_BACK_MILLISECONDS}\n\n".encode()
    while time.monotonic() < ends and not _is_ending(request) and not await request.is_disconnected():
        try:
            parts, is_open = await run_in_threadpool(look)
        except SQLAlchemyError:  # the page says that it waits, and comes back
            return
        changed = {name: html for name, html in parts.items() if sent.get(name) != _lasting(html)}
        sent |= {name: _lasting(html) for name, html in changed.items()}
        yield _event("parts", changed) if changed else _event("beat", {})
        if not is_open:
            yield _event("end", {})
            return
        await asyncio.sleep(LOOK_SECONDS)


def _is_ending(request: Request) -> bool:
    """Whether the web process was told to end."""
    server = getattr(request.app.state, "server", None)
    return server is not None and server.should_exit


def _lasting(html: str) -> str:
    return _ELAPSED.sub(r"\1><", html)


def _event(name: str, data: Mapping[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
