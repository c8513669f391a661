"""Who calls, and whether the key allows it. Without any key only this machine's own user is served.

A route asks for a scope by its parameter's type: `def ingest(caller: IngestCaller)`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Self

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from pipelines.errors import Busy, DataError
from service.api_keys import LOCAL, Caller, Forbidden, KeyRing
from service.ingest import DEFAULT_APP
from service.web.deps import get_keys
from service.web.own_user import check_own_user
from service.web.problems import Unauthorized

_bearer = HTTPBearer(auto_error=False, description="an API key: perennial keys create LABEL")
_header = APIKeyHeader(name="X-API-Key", auto_error=False)


async def authenticate(
    scopes: SecurityScopes,
    request: Request,
    keys: Annotated[KeyRing, Depends(get_keys)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Caller:
    """The caller, who holds every scope that the route asks for.

    Raises:
        Unauthorized: a key is needed and there is none, or nobody holds this one.
        Forbidden: the key lacks a scope, or an open server was reached through another machine's name.
    """
    return await identify(request, keys, scopes.scopes, bearer.credentials if bearer else header)


async def authenticate_ingest(request: Request) -> Caller:
    """`authenticate` for the scope `ingest`, without FastAPI's dependencies: they cost more than all our own work on
    one conversation. The route documents its security itself (openapi.SECURITY)."""
    return await identify(request, request.app.state.keys, ["ingest"], _key_of(request))


def may_see_all(request: Request) -> bool:
    """Whether whoever asks may see the state of the whole service: the scope `read` for every app. Asks no database."""
    try:
        caller = _allowed(request, request.app.state.keys, ["read"], _key_of(request))
    except (Unauthorized, Forbidden):
        return False
    return caller.app is None


def authenticate_proxied(request: Request, key: str | None) -> Caller:
    """Who sends a request through the proxy: a caller who may chat, by the keys as they were last read.

    Asks no database, as requests pass while it is away. Raises like `authenticate`.
    """
    return _allowed(request, request.app.state.keys, ["chat"], key)


def _key_of(request: Request) -> str | None:
    kind, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key")


IngestCaller = Annotated[Caller, Security(authenticate, scopes=["ingest"])]
ReadCaller = Annotated[Caller, Security(authenticate, scopes=["read"])]


async def _reader_of_every_app(caller: ReadCaller) -> Caller:
    if caller.app is not None:
        raise Forbidden(f"rounds learn from every app, and {caller} belongs to the app {caller.app!r}")
    return caller


EveryAppReader = Annotated[Caller, Depends(_reader_of_every_app)]
PeopleCaller = Annotated[Caller, Security(authenticate, scopes=["people"])]
ChatCaller = Annotated[Caller, Security(authenticate, scopes=["chat"])]
RoundsCaller = Annotated[Caller, Security(authenticate, scopes=["rounds"])]
ModelsCaller = Annotated[Caller, Security(authenticate, scopes=["models"])]
AdminCaller = Annotated[Caller, Security(authenticate, scopes=["admin"])]


def app_of(caller: Caller, named: str | None) -> str:
    """The app that a request is about: the key's own, else the one it names, else the default.

    Raises:
        Forbidden: the key belongs to another app than the request names.
        DataError: a name that cannot be stored.
    """
    if named is not None and "\0" in named:
        raise DataError("the name of an app holds no NUL character")
    if caller.app is None:
        return named or DEFAULT_APP
    if named is not None and named != caller.app:
        raise Forbidden(f"{caller} belongs to the app {caller.app!r}, not to {named[:80]!r}")
    return caller.app


async def identify(
    request: Request, keys: KeyRing, scopes: Sequence[str], key: str | None, *, has_token: bool = False
) -> Caller:
    """As `authenticate`, for a key from anywhere. `has_token`: a form of our pages, whose token they check."""
    if keys.is_stale:
        await run_in_threadpool(keys.refresh)
    return _allowed(request, keys, scopes, key, has_token=has_token)


def _allowed(
    request: Request, keys: KeyRing, scopes: Sequence[str], key: str | None, *, has_token: bool = False
) -> Caller:
    """The caller by the keys as they were last read."""
    if keys.is_open:
        check_own_user(request, has_token=has_token)
    caller = LOCAL if keys.is_open else _holder(keys, key)
    for scope in scopes:
        caller.require(scope)
    return caller


def _holder(keys: KeyRing, key: str | None) -> Caller:
    if not key:
        raise Unauthorized("this needs an API key: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
    caller = keys.find(key)
    if caller is None:
        raise Unauthorized("this API key is unknown or revoked; make one with `perennial keys create`")
    return caller


class KeyWatch:
    """Keeps the keys fresh, so that no request that passes waits for the database; while that is away the last read count."""

    def __init__(self, keys: KeyRing, seconds: float = 0.2) -> None:
        self._keys, self._seconds = keys, seconds
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        await run_in_threadpool(self._keys.refresh)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            if self._keys.is_stale:
                with suppress(SQLAlchemyError, Busy):
                    await run_in_threadpool(self._keys.refresh)
