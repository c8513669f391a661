"""Pages of one round: how it goes as it goes, what it came to, its files, cancelling it, and two rounds side by side."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse

from pipelines.errors import Refused
from service.rounds.files import find_file, log_tail
from service.rounds.requests import cancel_round
from service.settings import Settings
from service.store import rounds, snapshots
from service.store.session import Store
from service.web.deps import SettingsDep, StoreDep
from service.web.pages.comparison import compare_rounds
from service.web.pages.rounds import round_view
from service.web.pages.session import HEADERS
from service.web.pages.streams import stream_parts
from service.web.pages.visit import PageRoute, Visit, VisitDep
from service.web.problems import status_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
PARTS = ("state", "verdict", "stages", "curves", "result", "earlier")
_ITEMS = 100
Text = Annotated[str, Form()]
Number = Annotated[int, Query(ge=1, lt=1 << 31)]


@router.get("/rounds/compare")
def compare(visit: VisitDep, store: StoreDep, settings: SettingsDep, a: Number, b: Number) -> Response:
    """Two rounds side by side."""
    with store.read() as session:
        values = compare_rounds(session, settings, a, b)
    return visit.page("compare.html", here="/rounds", **values)


@router.get("/rounds/{round_id}")
def round_(round_id: int, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """One round."""
    return _page(visit, store, settings, round_id)


@router.get("/rounds/{round_id}/events")
def events(round_id: int, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """The parts of a round's page as they change."""
    with store.read() as session:
        rounds.get_round(session, round_id)
    return stream_parts(visit.request, partial(_look, visit, store, settings, round_id))


@router.post("/rounds/{round_id}/cancel")
def cancel(round_id: int, visit: VisitDep, store: StoreDep, settings: SettingsDep, csrf: Text) -> Response:
    """Cancels the round, and shows it."""
    visit.check_token(csrf)
    visit.require("rounds")
    try:
        cancel_round(store, round_id, visit.by)
    except Refused as error:
        return _page(visit, store, settings, round_id, str(error), status_of(error))
    return RedirectResponse(f"/rounds/{round_id}", 303, dict(HEADERS))


@router.get("/rounds/{round_id}/attempts/{attempt}/log")
def log(round_id: int, attempt: int, visit: VisitDep, store: StoreDep, settings: SettingsDep) -> Response:
    """What training said last, as plain text."""
    visit.require("operate")
    with store.read() as session:
        rounds.get_round(session, round_id)
    text = log_tail(settings, round_id, attempt)
    return visit.page("log.html", here="/rounds", round_id=round_id, attempt=attempt, text=text)


@router.get("/rounds/{round_id}/attempts/{attempt}/files/{name:path}")
async def file(
    round_id: int, attempt: int, name: str, visit: VisitDep, store: StoreDep, settings: SettingsDep
) -> Response:
    """A file of the round to take away."""
    path, scope = await run_in_threadpool(find_file, settings, round_id, attempt, name)
    visit.require(scope)
    if "/adapter/" in name:
        await run_in_threadpool(_check_untainted, store, round_id, attempt)
    kept = f"round-{round_id}-attempt-{attempt}-{path.name}"
    return FileResponse(path, filename=kept, headers=dict(HEADERS))


@router.get("/rounds/{round_id}/conversations")
def conversations(
    round_id: int,
    visit: VisitDep,
    store: StoreDep,
    outcome: Annotated[str, Query(max_length=20)] = "used",
    after: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Which conversations the round used, held out and left out, by their ids."""
    visit.require("operate")
    with store.read() as session:
        row = rounds.get_round(session, round_id)
        counts = snapshots.count_items(session, round_id)
        items = snapshots.page_of_items(session, round_id, outcome, after, _ITEMS)
    following = items[-1].conversation_id if len(items) == _ITEMS else None
    shown: dict[str, Any] = {"round": row, "counts": counts, "outcome": outcome, "items": items, "following": following}
    return visit.page("round_items.html", here="/rounds", **shown)


def _page(
    visit: Visit, store: Store, settings: Settings, round_id: int, problem: str = "", status: int = 200
) -> Response:
    with store.read() as session:
        values = round_view(session, settings, round_id)
        others = [one for one in rounds.list_rounds(session, 30) if one.id != round_id]
    return visit.page("round.html", status, here="/rounds", parts=PARTS, others=others, problem=problem, **values)


def _look(visit: Visit, store: Store, settings: Settings, round_id: int) -> tuple[Mapping[str, str], bool]:
    with store.read() as session:
        values: dict[str, Any] = round_view(session, settings, round_id)
    values["csrf"] = visit.cookies.token(visit.session)
    return {name: visit.render(f"round_{name}.html", **values) for name in PARTS}, values["is_open"]


def _check_untainted(store: Store, round_id: int, attempt: int) -> None:
    """Raise Refused where the adapter learned from somebody who asked to be forgotten since."""
    with store.read() as session:
        made = rounds.models_of(session, round_id)
    if any(one.tainted_at is not None and one.id.endswith(f"-a{attempt}") for one in made):
        raise Refused("this adapter learned from a person who was erased since, so it is not given out any more")
