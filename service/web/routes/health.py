"""GET /healthz: the truth about whether conversations are stored and processed."""

import asyncio

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from pipelines.errors import Busy
from service.ingest import Writer
from service.store.health import backlog, last_beat
from service.store.session import Store
from service.store.tables import now
from service.web.deps import StoreDep, WriterDep
from service.web.schemas import CurationHealth, Health

router = APIRouter(tags=["health"])
PROBE_SECONDS = 5.0
LATE_SECONDS = 300.0  # a conversation that waits longer than this for curation
SILENT_SECONDS = 60.0  # a worker that did not say for this long that it is alive


@router.get("/healthz", summary="Is it working?", responses={503: {"model": Health}})
async def health(_request: Request, response: Response, store: StoreDep, writer: WriterDep) -> Health:
    """200 while conversations can be stored (a row was just written to find out), else 503. `status` is degraded, with
    reasons, when they are stored but not processed."""
    found = await look(store, writer)
    response.status_code = 503 if found.status == "down" else 200
    return found


async def look(store: Store, writer: Writer) -> Health:
    """What /healthz says."""
    writable = await _can_write(writer)
    try:
        backlog, seen = await run_in_threadpool(_progress, store)
    except SQLAlchemyError:
        writable, backlog, seen = False, None, None
    problems = [] if writable else ["the database does not take writes"]
    late = backlog is not None and (backlog.oldest_seconds or 0) > LATE_SECONDS
    if backlog is not None and late:
        problems.append(
            f"{backlog.waiting} conversations wait for curation, the oldest for {backlog.oldest_seconds:.0f} s"
        )
    if seen is None:
        problems.append("no worker was ever seen; start one with `perennial worker`")
    elif seen > SILENT_SECONDS:
        problems.append(f"no worker was seen for {seen:.0f} s")
    return Health(
        status="down" if not writable else "degraded" if problems else "ok",
        database="writable" if writable else "unavailable",
        queue=writer.waiting,
        curation=backlog,
        worker_seen_seconds_ago=seen,
        problems=problems,
    )


async def _can_write(writer: Writer) -> bool:
    try:
        await asyncio.wait_for(asyncio.wrap_future(writer.probe()), PROBE_SECONDS)
    except (Busy, TimeoutError, SQLAlchemyError):
        return False
    return True


def _progress(store: Store) -> tuple[CurationHealth, float | None]:
    with store.read() as session:
        waiting, seen = backlog(session), last_beat(session)
    at = now()
    oldest = None if waiting.oldest is None else (at - waiting.oldest).total_seconds()
    health = CurationHealth(waiting=waiting.waiting, oldest_seconds=oldest)
    return health, None if seen is None else (at - seen).total_seconds()
