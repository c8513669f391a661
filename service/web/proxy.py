"""The proxy's surface: whose request it is, whether it may pass, and what its headers say of the chat.

    X-API-Key: pk_...                 a key of ours, where there are keys (as `Authorization: Bearer pk_...` too); never passed on
    Authorization: Bearer sk-...      the upstream's own, passed on and neither stored nor logged
    X-Perennial-User                  whose chat it is; else `user` or `metadata.user` in the body, else PERENNIAL_PROXY_USER
    X-Perennial-Consent               "true" or "false"; else `metadata.consent`; missing = never trained on
    X-Perennial-Conversation          the conversation's id; without it the stored one is found by its turns
    X-Perennial-Answer                what the answer is to be called; else it is called as the upstream calls it
    X-Perennial-App                   for keys that speak for every app

Pure ASGI: requests that pass do not see the framework.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from pipelines.errors import DataError, PerennialError
from service.proxy.exchange import RECORDED, Who
from service.proxy.passage import ClientLeft, Passage, Recording
from service.proxy.recorder import Recorder
from service.proxy.upstream import our_key, parse_upstream
from service.settings import Settings
from service.web.auth import KeyWatch, app_of, authenticate_proxied
from service.web.limits import PROXY_PREFIX
from service.web.problems import problem, refuse_as_openai

_CONSENT = {"true": True, "false": False}
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# Open WebUI names its user so, where it is told to (ENABLE_FORWARD_USER_INFO_HEADERS)
_USER_HEADERS = ("x-perennial-user", "x-openwebui-user-id")


async def answer_proxied(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request with what the upstream says, or with why it does not pass."""
    request = Request(scope, receive)
    try:
        await _pass_on(request, scope, receive, send)
    except PerennialError as error:
        await refuse_as_openai(request, error)(scope, receive, send)
    except HTTPException as error:  # the Guard's: too large, or too many at once
        await problem(error.status_code, str(error.detail))(scope, receive, send)
    except ClientLeft:  # nobody is there to be answered
        return


@asynccontextmanager
async def open_passage(app: FastAPI) -> AsyncIterator[None]:
    """The proxy of an application whose settings name an upstream, until the block ends; nothing where they name none."""
    settings: Settings = app.state.settings
    if settings.upstream is None:
        yield
        return
    upstream = parse_upstream(settings.upstream)
    with Recorder(settings, app.state.vault) as recorder:
        passage = Passage(upstream, recorder, settings.upstream_silence_seconds, settings.max_body_bytes)
        async with passage, KeyWatch(app.state.keys):
            app.state.passage = passage
            yield


async def _pass_on(request: Request, scope: Scope, receive: Receive, send: Send) -> None:
    caller = authenticate_proxied(request, our_key(scope["headers"]))
    if request.method not in _METHODS:
        await problem(405, f"{request.method[:20]} is not passed on", {"Allow": ", ".join(_METHODS)})(
            scope, receive, send
        )
        return
    path, raw_path = scope["path"], scope["raw_path"]
    if path.startswith(f"{PROXY_PREFIX}/"):
        prefix = PROXY_PREFIX.encode()
        if not raw_path.startswith(prefix + b"/"):
            raise DataError(
                f"the path {path[:80]!r} is written in another way than it reads; write {PROXY_PREFIX} plainly"
            )
        path, raw_path = path[len(PROXY_PREFIX) :], raw_path[len(prefix) :]
    kind = RECORDED.get(path) if request.method == "POST" else None
    who = _who(request, app_of(caller, _named(request, "x-perennial-app")))
    passage: Passage = request.app.state.passage
    await passage.carry(scope, raw_path, receive, send, Recording(kind, who) if kind else None)


def _who(request: Request, app: str) -> Who:
    """What the headers say of the chat.

    Raises:
        DataError: one of them cannot be; the sentence names it.
    """
    consent = request.headers.get("x-perennial-consent")
    if consent is not None and consent not in _CONSENT:
        raise DataError(f"X-Perennial-Consent must be 'true' or 'false', and is {consent[:40]!r}")
    users = (_named(request, name) for name in _USER_HEADERS)
    return Who(
        app=app,
        user=next((user for user in users if user is not None), None),
        consent=None if consent is None else _CONSENT[consent],
        conversation=_named(request, "x-perennial-conversation"),
        answer=_named(request, "x-perennial-answer"),
    )


def _named(request: Request, header: str) -> str | None:
    """The id in a header, which may be percent-encoded, as a header holds plain ASCII only."""
    value = request.headers.get(header)
    if value is None:
        return None
    try:
        name = unquote(value.encode("latin-1").decode(), errors="strict")
    except UnicodeError:
        raise DataError(f"the header {header} is not UTF-8; percent-encode what is not plain ASCII") from None
    if not 1 <= len(name) <= 256 or "\0" in name:
        raise DataError(f"the header {header} must have 1 to 256 characters and no NUL; this one has {len(name)}")
    return name
