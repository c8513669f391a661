"""Rounds are rows: ask for one, claim one, cancel one, look at one. Executing a claimed one is service/rounds/execution.py.

requested ── claim (lease, fence + 1) ──> running ── finish under the fence ──> passed | failed | inconclusive
    └── cancel ──> cancelled                 ├── too few examples ──> skipped
                                             ├── cancel, erasure ──> cancelled
                                             └── error ──> error;  worker or child killed: claimed again, goes on
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlmodel import Session

from pipelines.errors import Refused
from pipelines.progress import PROGRESS_FILE, read_progress
from pipelines.recipe import Recipe
from pipelines.recipe_file import parse_recipe
from pipelines.stages import STAGES
from service.liveness import another_lives
from service.rounds.leases import LeaseWatch
from service.rounds.left import TimeLeft, time_left
from service.rounds.library import get_recipe
from service.settings import Settings
from service.store import audit, rounds
from service.store.clock import database_seconds
from service.store.session import Store
from service.store.tables import Attempt, Round, Stage

_RECIPE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class AttemptView:
    """One try at a round, with the stages that finished and the reports that exist."""

    attempt: Attempt
    stages: tuple[Stage, ...]
    reports: tuple[Path, ...]


@dataclass(frozen=True)
class RoundView:
    """A round as people see it.

    `counts` is the funnel's counts, empty before the snapshot; `progress` the newest line of the running stage's
    progress.jsonl, if any, and `left` how much longer it takes.
    """

    round: Round
    attempts: tuple[AttemptView, ...]
    counts: Mapping[str, Any]
    models: tuple[str, ...]
    progress: Mapping[str, Any] | None
    left: TimeLeft | None = None


class Claim:
    """The right to work on a round until the lease runs out or somebody else claims it."""

    def __init__(self, store: Store, round_id: int, fence: int) -> None:
        self.store, self.round_id, self.fence = store, round_id, fence

    def check(self) -> None:
        """Raise Cancelled if the round was cancelled or is no longer ours. Cheap: it only reads."""
        with self.store.read() as session:
            rounds.check_claim(session, self.round_id, self.fence)

    @contextmanager
    def writing(self, lock: str | None = None) -> Iterator[Session]:
        """A write transaction in which the claim is known to hold, under a named lock of the store if one is given.

        Raises:
            Cancelled: it does not; nothing is written.
        """
        with self.store.begin() as session:
            if lock is not None:
                self.store.lock(session, lock)
            rounds.check_claim(session, self.round_id, self.fence, lock=True)
            yield session

    def renew(self, lease_seconds: float) -> None:
        """Extend the lease. Raises Cancelled as `check` does."""
        with self.writing() as session:
            rounds.renew_lease(session, self.round_id, self.fence, database_seconds(session) + lease_seconds)

    def ended_by_us(self) -> bool:
        """Whether the work under this claim has recorded the round's end."""
        with self.store.read() as session:
            row = rounds.get_round(session, self.round_id)
            return row.fence == self.fence and row.state not in (*rounds.OPEN_STATES, "cancelled")

    def release(self) -> None:
        """Let the next worker take the round at once."""
        with self.store.begin() as session:
            rounds.release(session, self.round_id, self.fence)

    def put_back(self, why: str, wait_seconds: float = 0.0) -> None:
        """Let the round wait and say why; it goes on from its last finished stage, after so many seconds or later."""
        with self.store.begin() as session:
            not_before = database_seconds(session) + wait_seconds if wait_seconds else None
            rounds.put_back(session, self.round_id, self.fence, why, not_before)
        _log.warning("round_waits", round=self.round_id, why=why)

    def count_crash(self) -> int:
        """Note that the round's process crashed, and give how often it has in a row without finishing a stage.

        Raises Cancelled as `check` does.
        """
        with self.writing() as session:
            row = rounds.get_round(session, self.round_id)
            done = rounds.count_stages(session, self.round_id)
            crashes = int(row.counts.get("crashes", 0)) + 1 if row.counts.get("stages_at_crash") == done else 1
            row.counts = {**row.counts, "crashes": crashes, "stages_at_crash": done}
            session.add(row)
        return crashes

    def finish(self, state: str, message: str, finished_at: datetime) -> bool:
        """End the round; False if it was no longer ours to end. Why somebody cancelled it stays as they said it."""
        with self.store.begin() as session:
            told = rounds.get_round(session, self.round_id).message if state == "cancelled" else ""
            values = {"state": state, "message": told or message, "finished_at": finished_at, "lease_until": None}
            ended = rounds.change_round(session, self.round_id, self.fence, **values)
            if ended:
                rounds.end_open_attempts(session, self.round_id, state, told or message)
            return ended


def request_round(
    store: Store,
    recipe_text: str,
    by: str,
    schedule: str | None = None,
    slot: datetime | None = None,
    key: str | None = None,
) -> int | None:
    """Ask for a round and give its number; None if this slot of the schedule already has one.

    `key` is the id of the API key that asks: its right to promote is looked at again when the round passed.

    Raises:
        RecipeError: the text is not a recipe of this version.
    """
    with store.begin() as session:
        return add_round(session, recipe_text, by, schedule, slot, key)


def add_round(
    session: Session,
    recipe_text: str,
    by: str,
    schedule: str | None = None,
    slot: datetime | None = None,
    key: str | None = None,
) -> int | None:
    """Like `request_round`, in the caller's transaction."""
    recipe = parse_recipe(recipe_text, schedule or "given")
    values = {
        "recipe_name": recipe.name,
        "recipe": recipe_text,
        "recipe_digest": recipe.digest,
        "requested_by": by,
        "requested_key": key,
        "schedule": schedule,
        "slot": slot,
    }
    round_id = rounds.insert_round(session, values)
    if round_id is not None:
        audit.record(session, by, "round.request", str(round_id), {"recipe": recipe.name, "schedule": schedule})
        _log.info("round_requested", round=round_id, recipe=recipe.name, schedule=schedule)
    return round_id


def recipe_text(settings: Settings, given: str) -> str:
    """The YAML text of a recipe given by its name (library.py), or given as YAML.

    Raises:
        NotFound: no recipe has that name; the sentence lists those that exist.
    """
    name = given.strip()
    return get_recipe(settings, name).text if _RECIPE_NAME.fullmatch(name) else given


def claim_round(
    store: Store, owner: str, lease_seconds: float, watch: LeaseWatch | None = None
) -> tuple[Round, Claim] | None:
    """The oldest round that waits or was abandoned, claimed for `owner`; None if there is nothing to do.

    Without a `watch` over the leases the database's time alone says what was abandoned.
    """
    watch = watch or LeaseWatch(confirm_seconds=0.0)
    with store.begin() as session:
        clock = database_seconds(session)
        rounds.end_abandoned_cancels(session, clock)
        abandoned = watch.abandoned(rounds.running_rounds(session), clock, lease_seconds)
        claimed = rounds.claim_round(session, owner, clock, lease_seconds, abandoned)
    if claimed is None or claimed.id is None:
        return None
    _log.info("round_claimed", round=claimed.id, fence=claimed.fence, owner=owner)
    return claimed, Claim(store, claimed.id, claimed.fence)


def say_why_waiting(store: Store, why: str) -> None:
    """Note on every round that waits for a worker why none takes it."""
    with store.read() as session:
        if not rounds.waiting_otherwise(session, why):
            return
    with store.begin() as session:
        for row in rounds.waiting_otherwise(session, why):
            row.message = why
            session.add(row)


def release_dead(store: Store, host: str) -> int:
    """Free the rounds of workers of this host that no longer live, so that nobody waits for their leases."""
    freed = 0
    with store.begin() as session:
        for row in rounds.running_rounds(session):
            name, pid, _ = (row.owner or "::").rsplit(":", 2)
            if name == host and row.id is not None and not another_lives(int(pid)):
                rounds.release(session, row.id, row.fence)
                freed += 1
    return freed


def sweep_leftovers(settings: Settings, store: Store) -> int:
    """Delete what attempts that no longer run left behind, and give how many folders that were.

    That is text in scratch folders, and the weights of rounds that nobody may use: of cancelled ones (the person for
    whose sake a round was cancelled may be in them), and of those that broke once somebody in them was forgotten.
    """
    with store.read() as session:
        clock = database_seconds(session)
        running = {row.id for row in rounds.running_rounds(session) if (row.lease_until or 0) > clock}
        forbidden = rounds.attempts_of_nobody(session)
    left = [path for path in settings.rounds.glob("*/attempt-*/scratch") if _round_of(path) not in running]
    for stage in (stage.name for stage in STAGES if stage.holds_weights):
        for folder in (settings.home / attempt for attempt in forbidden):
            left += [path for path in (folder / stage, *folder.glob(f"{stage}.*.tmp")) if path.is_dir()]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def cancel_round(store: Store, round_id: int, by: str) -> Round:
    """Cancel a round: at once if it waits, within a few seconds if it runs.

    Raises:
        NotFound: no such round.
        Refused: it has already ended.
    """
    with store.begin() as session:
        row = rounds.get_round(session, round_id)
        if row.state not in rounds.OPEN_STATES:
            raise Refused(f"round {round_id} has ended ({row.state}) and cannot be cancelled")
        row.cancel_requested = True
        session.add(row)
        audit.record(session, by, "round.cancel", str(round_id))
        session.flush()
        rounds.end_abandoned_cancels(session, database_seconds(session))
        session.refresh(row)
    _log.info("round_cancel_requested", round=round_id, by=by)
    return row


def list_rounds(store: Store, limit: int = 100) -> list[Round]:
    """Rounds, newest first."""
    with store.read() as session:
        return rounds.list_rounds(session, limit)


def show_round(store: Store, settings: Settings, round_id: int) -> RoundView:
    """Everything about one round. Raises NotFound."""
    with store.read() as session:
        row = rounds.get_round(session, round_id)
        snapshot = rounds.get_snapshot(session, round_id)
        attempts = tuple(_attempt_view(session, settings, found) for found in rounds.attempts(session, round_id))
        models = tuple(model.id for model in rounds.models_of(session, round_id))
    folder = settings.home / attempts[-1].attempt.folder if attempts else None
    progress = newest_progress(folder) if folder and row.state == "running" else None
    left = None
    if folder and row.state == "running" and row.stage is not None:
        left = time_left(folder, {stage.name for stage in attempts[-1].stages}, row.stage)
    return RoundView(row, attempts, snapshot.counts if snapshot else {}, models, progress, left)


def newest_progress(attempt: Path) -> Mapping[str, Any] | None:
    """The newest line of the progress.jsonl that was written last in an attempt's folder."""
    files = [*attempt.glob(f"*/{PROGRESS_FILE}")]
    if not files:
        return None
    newest = max(files, key=lambda path: path.stat().st_mtime_ns if path.exists() else 0)
    return next(reversed(read_progress(newest)), None)


def recipe_of(row: Round) -> Recipe:
    """The recipe that the row was asked with, before its phase is applied."""
    return parse_recipe(row.recipe, f"of round {row.id}")


def _round_of(path: Path) -> int:
    """The number of the round whose attempt holds this folder."""
    return int(path.parts[-3])


def _attempt_view(session: Session, settings: Settings, attempt: Attempt) -> AttemptView:
    folder = settings.home / attempt.folder / "report"
    reports = tuple(path for name in ("report.md", "report.json") if (path := folder / name).is_file())
    return AttemptView(attempt, tuple(rounds.stages(session, attempt.id or 0)), reports)
