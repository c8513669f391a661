"""GET /healthz: whether conversations are stored and processed, and what stops them. GET /readyz: for load balancers."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from service.web.auth import may_see_all
from service.web.deps import VitalsDep, WriterDep
from service.web.problems import RETRY_AFTER_SECONDS
from service.web.schemas import Health, ObstacleOut, Readiness

router = APIRouter(tags=["health"])
_UNAVAILABLE = "the database does not take writes"
_UNKNOWN = "the database does not say how far the work is"
_NO_KEY_NEEDED: dict[str, Any] = {"security": [{}, {"HTTPBearer": []}, {"APIKeyHeader": []}]}


@router.get(
    "/healthz",
    summary="Is it working, and what stops it?",
    responses={503: {"model": Health}},
    openapi_extra=_NO_KEY_NEEDED,
)
async def health(request: Request, response: Response, vitals: VitalsDep, writer: WriterDep) -> Health:
    """200 while conversations can be stored (a row was changed a second ago or less to find out), else 503.

    `status` is degraded when they are stored and something else does not work: nobody curates, the champion's file is
    gone, the disk is nearly full. Without a key that may read for every app, only `status` and `database` are told.
    """
    writable, progress, _ = await asyncio.gather(vitals.writes(), vitals.progress(), vitals.keys())
    response.status_code = 200 if writable else 503
    obstacles = progress.obstacles if progress else []
    problems = [] if writable else [_UNAVAILABLE]
    problems += [one.sentence for one in obstacles if one.degrades] if progress else [_UNKNOWN]
    told = Health(
        status="down" if not writable else "degraded" if problems else "ok",
        database="writable" if writable else "unavailable",
    )
    if not may_see_all(request):
        return told
    return told.model_copy(
        update={
            "queue": writer.waiting,
            "curation": progress.curation if progress else None,
            "worker_seen_seconds_ago": progress.worker_seen_seconds_ago if progress else None,
            "problems": problems,
            "obstacles": [ObstacleOut(**asdict(one)) for one in obstacles],
        }
    )


@router.get(
    "/readyz",
    summary="May a load balancer send requests here?",
    responses={503: {"model": Readiness}},
    openapi_extra={"security": []},
)
async def ready(response: Response, vitals: VitalsDep) -> Readiness:
    """200 while this process stores what it is sent, else 503. It needs no key and answers within two seconds."""
    if await vitals.writes():
        return Readiness(ready=True)
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Readiness(ready=False, why=_UNAVAILABLE)
