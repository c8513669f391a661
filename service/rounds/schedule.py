"""Schedules ask for rounds; they never train. Any number of processes may run one: a slot gets one row.

    perennial schedule add data/recipes/qwen2.5-0.5b.yaml     schedule: {cron: "0 3 1 * *", min_new_examples: 1000}
    2026-12-01 03:00 UTC  ->  INSERT round(schedule="qwen2.5-0.5b", slot=2026-12-01 03:00) ON CONFLICT DO NOTHING

The slot is the time that the cron expression names, not the time at which a process got to it. A slot that passed
while everything was down is made up once, the latest only, and never one from before the schedule was known; the others are
counted as missed. Slots only go forward, by the database's time: a clock that steps back asks for nothing again.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from cronsim import CronSim, CronSimError
from sqlmodel import Session

from pipelines.errors import RecipeError
from pipelines.recipe_file import parse_recipe
from service.rounds import requests
from service.store import audit, schedules
from service.store.clock import database_time
from service.store.session import Store, is_unavailable
from service.store.tables import Schedule, now

MAX_MISSED = 10_000  # of one outage, counted no further
_SYNC_SECONDS = 30
_LAST_LOOK_SECONDS = 20.0
_LATE = timedelta(minutes=2)  # longer than any look takes to come
_TO_SUNDAY = re.compile(r"-(sun|0)\b", re.IGNORECASE)
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ScheduleView:
    """A schedule as people see it.

    `missed` counts the slots that passed without a round and were not made up, `last_missed` is the latest of them. `late`
    is one that is due and that nobody asked for yet: no web or worker process runs, or the recipe is refused.
    """

    name: str
    cron: str
    next: datetime | None
    last: datetime | None
    missed: int
    last_missed: datetime | None
    late: datetime | None


def add_schedule(store: Store, recipe_text: str, by: str) -> str:
    """Keep the recipe's schedule and give its name, the recipe's; one of that name gets the new recipe.

    Raises:
        RecipeError: the text is no recipe, has no `schedule`, or a cron expression that cannot be used.
    """
    recipe = parse_recipe(recipe_text, "given")
    if recipe.schedule is None or recipe.schedule.cron is None:
        raise RecipeError(f"recipe '{recipe.name}' has no `schedule.cron`: give one, such as \"0 3 1 * *\"")
    next_slot(recipe.schedule.cron, now())  # refused now, not when it is due
    with store.begin() as session:
        at = database_time(session)
        row = Schedule(name=recipe.name, recipe=recipe_text, cron=recipe.schedule.cron, known_since=at)
        schedules.put_schedule(session, row)
        audit.record(session, by, "schedule.add", recipe.name, {"cron": recipe.schedule.cron})
    return recipe.name


def list_schedules(store: Store) -> list[Schedule]:
    """Every schedule, by name."""
    with store.read() as session:
        return schedules.list_schedules(session)


def remove_schedule(store: Store, name: str, by: str) -> None:
    """Ask for no more rounds of this name; those already asked for stay. Raises NotFound."""
    with store.begin() as session:
        schedules.remove_schedule(session, name)
        audit.record(session, by, "schedule.remove", name)


@contextmanager
def running_schedules(store: Store) -> Iterator[BackgroundScheduler]:
    """A scheduler in this process; missed slots are made up at once, and none looks at the store behind the block's end."""
    looks = _Looks(store)
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(looks.sync, "interval", seconds=_SYNC_SECONDS, args=(scheduler,), id="sync", next_run_time=now())
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=False)  # it would wait for a look that waits for it to take a new job
        looks.end()


def show_schedules(store: Store) -> list[ScheduleView]:
    """Every schedule with its next slot and those it missed, by name."""
    with store.read() as session:
        return schedule_views(session)


def schedule_views(session: Session) -> list[ScheduleView]:
    """Like `show_schedules`, in the caller's transaction."""
    at = database_time(session)
    return [_view(row, at) for row in schedules.list_schedules(session)]


def request_due(store: Store, clock: Callable[[Session], datetime] = database_time) -> list[int]:
    """Ask for the latest slot of each schedule that has passed since its last one and since it was known."""
    made = []
    for schedule in list_schedules(store):
        round_id = _request(store, schedule.name, clock)
        if round_id is not None:
            made.append(round_id)
    return made


def _request(store: Store, name: str, clock: Callable[[Session], datetime]) -> int | None:
    """The new round, if any. A recipe that this version no longer acts on must not hold up the other schedules."""
    with store.read() as session:  # most looks find nothing due, and must not take the write lock for it
        row = session.get(Schedule, name)
        if row is None or _due(row, clock(session)) is None:
            return None
    try:
        with store.begin() as session:
            row = schedules.lock_schedule(session, name)
            slot = None if row is None else _due(row, clock(session))
            if row is None or slot is None:
                return None
            _advance(row, slot)
            session.add(row)
            return requests.add_round(session, row.recipe, f"schedule:{name}", schedule=name, slot=slot)
    except RecipeError as error:
        _log.error("schedule_refused", schedule=name, why=str(error))
        return None


def _due(row: Schedule, until: datetime) -> datetime | None:
    """The slot to ask for now. A cron expression that no version of ours wrote is no slot."""
    try:
        return latest_slot(row.cron, _last(row), until)
    except RecipeError as error:
        _log.error("schedule_refused", schedule=row.name, why=str(error))
        return None


def _last(row: Schedule) -> datetime:
    """The time up to which nothing is asked for any more."""
    return row.known_since if row.last_slot is None else max(row.known_since, row.last_slot)


def _advance(row: Schedule, slot: datetime) -> None:
    """Go forward to a slot, counting those that are passed over."""
    passed = islice(takewhile(lambda time: time < slot, slots(row.cron, _last(row))), MAX_MISSED)
    if number := sum(1 for _ in passed):
        row.missed += number
        row.last_missed = next(slots(row.cron, slot, backwards=True))
    row.last_slot = slot


def _view(row: Schedule, at: datetime) -> ScheduleView:
    try:
        following = next_slot(row.cron, max(_last(row), at))
    except RecipeError:
        following = None
    due = _due(row, at)
    late = due if due is not None and at - due > _LATE else None
    return ScheduleView(row.name, row.cron, following, row.last_slot, row.missed, row.last_missed, late)


def latest_slot(cron: str, after: datetime, until: datetime) -> datetime | None:
    """The last time that the expression names in (after, until], UTC; None if there is none."""
    last = next(slots(cron, until + timedelta(microseconds=1), backwards=True), None)
    return last if last is not None and last > after else None


def next_slot(cron: str, after: datetime) -> datetime:
    """The first time that the expression names after `after`, UTC.

    Raises:
        RecipeError: the expression cannot be used.
    """
    return next(slots(cron, after))


def slots(expression: str, start: datetime, *, backwards: bool = False) -> Iterator[datetime]:
    """The times that a crontab line of five fields names after (or before) `start`, as Debian's cron reads it, in UTC.

    A day and a weekday together mean either; 0 and 7 are Sunday; a month without the day is passed over. Beyond cron,
    the day may be `last` (or L), and a span of weekdays may end on Sunday.

    Raises:
        RecipeError: the expression cannot be read, or names a day that never comes.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise RecipeError(
            f"cron expression {expression!r} has {len(fields)} fields; it needs minute hour day month weekday"
        )
    minute, hour, day, month, weekday = fields
    day = "L" if day.lower() == "last" else day
    weekday = _TO_SUNDAY.sub("-7", weekday)
    try:
        return CronSim(" ".join((minute, hour, day, month, weekday)), start, reverse=backwards)
    except CronSimError as error:
        if _is_readable(f"* * {day} * *") and _is_readable(f"* * * {month} *") and "day-of-month" in str(error):
            raise RecipeError(f"cron expression {expression!r} names a day that never comes") from error
        raise RecipeError(f"cron expression {expression!r} cannot be read: {str(error).lower()}") from error


def _is_readable(expression: str) -> bool:
    try:
        CronSim(expression, now())
    except CronSimError:
        return False
    return True


class _Looks:
    """The looks of one scheduler at its store, one at a time; none begins once `end` has been called."""

    def __init__(self, store: Store) -> None:
        self._store, self._turn, self._ended = store, threading.Lock(), False

    def sync(self, scheduler: BackgroundScheduler) -> None:
        """Make up what was missed, and give each schedule a job at its next slot."""
        with self._turn:
            if not self._ended:
                self._survive(lambda: self._give_jobs(scheduler))
                self._survive(lambda: request_due(self._store))

    def request(self) -> None:
        """Ask for what is due."""
        with self._turn:
            if not self._ended:
                self._survive(lambda: request_due(self._store))

    def end(self) -> None:
        """Wait for the look that goes on, if a database that hangs lets it end at all."""
        held = self._turn.acquire(timeout=_LAST_LOOK_SECONDS)
        self._ended = True
        if held:
            self._turn.release()

    def _give_jobs(self, scheduler: BackgroundScheduler) -> None:
        known = {f"schedule:{schedule.name}": schedule for schedule in list_schedules(self._store)}
        for job in scheduler.get_jobs():
            if job.id != "sync" and job.id not in known:
                job.remove()
        for name, schedule in known.items():
            with suppress(RecipeError):  # _request says so
                due = next_slot(schedule.cron, now())
                scheduler.add_job(self.request, "date", run_date=due, id=name, replace_existing=True)

    def _survive(self, look: Callable[[], object]) -> None:
        """A database that is away for a while is no reason to end the schedule; the next look makes up for it."""
        try:
            look()
        except Exception as error:
            if not is_unavailable(error):
                raise
            _log.warning("schedule_waits_for_database", error=type(error).__name__)
