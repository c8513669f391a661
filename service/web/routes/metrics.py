"""GET /metrics: counts and states for Prometheus."""

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from service.engine.client import engine_status
from service.engine.state import engine_view
from service.web.auth import EveryAppReader
from service.web.deps import SettingsDep, VitalsDep, WriterDep
from service.web.metrics import Standing, render

router = APIRouter(tags=["health"])
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    summary="Counts and states for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(
    request: Request, _caller: EveryAppReader, settings: SettingsDep, vitals: VitalsDep, writer: WriterDep
) -> Response:
    """Prometheus' text format. What a database that does not answer would say is left out. Needs the scope read."""
    writable, progress, stand, status = await asyncio.gather(
        vitals.writes(), vitals.progress(), vitals.stand(), run_in_threadpool(engine_status, settings.home)
    )
    champion = stand.champion if stand else None
    view = await run_in_threadpool(engine_view, settings.home, champion)
    standing = Standing(
        is_writable=bool(writable),
        queue=writer.waiting,
        engine=view.state if stand or status is None else "serving" if status.model else "empty",
        chats_active=status.active if status else None,
        chats_waiting=status.waiting if status else None,
        curation_waiting=progress.curation.waiting if progress else None,
        curation_oldest_seconds=progress.curation.oldest_seconds if progress else None,
        worker_seen_seconds_ago=progress.worker_seen_seconds_ago if progress else None,
        rounds=stand.rounds if stand else None,
    )
    return Response(render(request.app.state.tally, standing), media_type=_TEXT)
