"""GET /healthz: the truth about whether conversations are stored and processed, and what stops them."""

import asyncio
from dataclasses import asdict
from typing import NamedTuple

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from pipelines.errors import Busy
from service.ingest import Writer
from service.obstacles import Obstacle, find_obstacles
from service.settings import Settings
from service.store.health import backlog, last_beat
from service.store.session import Store
from service.store.tables import now
from service.store.trainable import TrainableWatch
from service.web.deps import SettingsDep, StoreDep, TrainableDep, WriterDep
from service.web.schemas import CurationHealth, Health, ObstacleOut

router = APIRouter(tags=["health"])
PROBE_SECONDS = 5.0
_UNAVAILABLE = "the database does not take writes"


class _Progress(NamedTuple):
    """How far the work behind ingest is."""

    curation: CurationHealth
    worker_seen_seconds_ago: float | None
    obstacles: list[Obstacle]


@router.get("/healthz", summary="Is it working, and what stops it?", responses={503: {"model": Health}})
async def health(
    response: Response, settings: SettingsDep, store: StoreDep, writer: WriterDep, trainable: TrainableDep
) -> Health:
    """200 while conversations can be stored (a row was just written to find out), else 503.

    `status` is degraded when they are stored and something else does not work: nobody curates, the champion's file is
    gone, the disk is nearly full. `obstacles` names everything that stops the wheel, each with its cure.
    """
    writable = await _can_write(writer)
    try:
        progress = await run_in_threadpool(_progress, settings, store, trainable)
    except SQLAlchemyError:
        writable, progress = False, None
    response.status_code = 200 if writable else 503
    obstacles = progress.obstacles if progress else []
    problems = ([] if writable else [_UNAVAILABLE]) + [one.sentence for one in obstacles if one.degrades]
    return Health(
        status="down" if not writable else "degraded" if problems else "ok",
        database="writable" if writable else "unavailable",
        queue=writer.waiting,
        curation=progress.curation if progress else None,
        worker_seen_seconds_ago=progress.worker_seen_seconds_ago if progress else None,
        problems=problems,
        obstacles=[ObstacleOut(**asdict(one)) for one in obstacles],
    )


async def _can_write(writer: Writer) -> bool:
    try:
        await asyncio.wait_for(asyncio.wrap_future(writer.probe()), PROBE_SECONDS)
    except (Busy, TimeoutError, SQLAlchemyError):
        return False
    return True


def _progress(settings: Settings, store: Store, trainable: TrainableWatch) -> _Progress:
    with store.read() as session:
        waiting, seen = backlog(session), last_beat(session)
    at = now()
    oldest = None if waiting.oldest is None else (at - waiting.oldest).total_seconds()
    return _Progress(
        curation=CurationHealth(waiting=waiting.waiting, oldest_seconds=oldest),
        worker_seen_seconds_ago=None if seen is None else (at - seen).total_seconds(),
        obstacles=find_obstacles(settings, store, counts=trainable),
    )
