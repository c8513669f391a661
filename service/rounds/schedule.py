"""Schedules ask for rounds; they never train. Any number of processes may run one: a slot gets one row.

    perennial schedule add data/recipes/qwen2.5-0.5b.yaml     schedule: {cron: "0 3 1 * *", min_new_examples: 1000}
    2026-12-01 03:00 UTC  ->  INSERT round(schedule="qwen2.5-0.5b", slot=2026-12-01 03:00) ON CONFLICT DO NOTHING

The slot is the time that the cron expression names, not the time at which a process got to it. A slot that passed
while everything was down is made up once, the latest only, and never one from before the schedule was known.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from pipelines.errors import RecipeError
from pipelines.recipe_file import parse_recipe
from service.rounds import requests as rounds
from service.store import rounds as rows
from service.store.session import Store, is_unavailable
from service.store.tables import Schedule, now

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SYNC_SECONDS = 30
_WINDOWS = tuple(timedelta(days=days) for days in (1 / 24, 1, 32, 367, 9 * 366))
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def add_schedule(store: Store, recipe_text: str, by: str) -> str:
    """Keep the recipe's schedule and give its name, the recipe's; one of that name gets the new recipe.

    Raises:
        RecipeError: the text is no recipe, has no `schedule`, or a cron expression that cannot be used.
    """
    recipe = parse_recipe(recipe_text, "given")
    if recipe.schedule is None:
        raise RecipeError(f"recipe '{recipe.name}' has no `schedule`: give schedule.cron, such as \"0 3 1 * *\"")
    if next_slot(recipe.schedule.cron, now()) is None:
        raise RecipeError(f"cron expression {recipe.schedule.cron!r} names a day that never comes")
    row = Schedule(name=recipe.name, recipe=recipe_text, cron=recipe.schedule.cron)
    with store.begin() as session:
        rows.put_schedule(session, row)
        rows.audit(session, by, "schedule.add", recipe.name, cron=recipe.schedule.cron)
    return recipe.name


def list_schedules(store: Store) -> list[Schedule]:
    """Every schedule, by name."""
    with store.read() as session:
        return rows.list_schedules(session)


def remove_schedule(store: Store, name: str, by: str) -> None:
    """Ask for no more rounds of this name; those already asked for stay. Raises NotFound."""
    with store.begin() as session:
        rows.remove_schedule(session, name)
        rows.audit(session, by, "schedule.remove", name)


def start_schedules(store: Store) -> BackgroundScheduler:
    """A scheduler in this process, running; missed slots are made up at once. Stop it with `.shutdown()`."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(_sync, "interval", seconds=_SYNC_SECONDS, args=(scheduler, store), id="sync", next_run_time=now())
    scheduler.start()
    return scheduler


def request_due(store: Store, clock: Callable[[], datetime] = now) -> list[int]:
    """Ask for the latest slot of each schedule that has passed since it was known and has no round yet."""
    made = []
    for schedule in list_schedules(store):
        round_id = _request(store, schedule, clock())
        if round_id is not None:
            made.append(round_id)
    return made


def _request(store: Store, schedule: Schedule, until: datetime) -> int | None:
    """The new round, if any. A recipe that this version no longer acts on must not hold up the other schedules."""
    by = f"schedule:{schedule.name}"
    try:
        slot = latest_slot(schedule.cron, schedule.known_since, until)
        if slot is None:
            return None
        return rounds.request_round(store, schedule.recipe, by, schedule=schedule.name, slot=slot)
    except RecipeError as error:
        _log.error("schedule_refused", schedule=schedule.name, why=str(error))
        return None


def latest_slot(cron: str, after: datetime, until: datetime) -> datetime | None:
    """The last time that the expression names in (after, until], UTC; None if there is none."""
    trigger = cron_trigger(cron)
    for window in _WINDOWS:
        start = max(after, until - window)
        found = _last_between(trigger, start, until)
        if found is not None or start == after:
            return found
    return None


def next_slot(cron: str, after: datetime) -> datetime | None:
    """The first time that the expression names after `after`, UTC."""
    found = cron_trigger(cron).get_next_fire_time(None, after + timedelta(microseconds=1))
    return None if found is None else found.astimezone(UTC)


def cron_trigger(expression: str) -> CronTrigger:
    """A trigger for a crontab line of five fields, in UTC, with crontab's days of the week (0 and 7 are Sunday).

    Raises:
        RecipeError: the expression cannot be read, or gives both a day of the month and a day of the week, which
            crontab reads as "either" and this scheduler as "both".
    """
    fields = expression.split()
    if len(fields) != 5:
        raise RecipeError(
            f"cron expression {expression!r} has {len(fields)} fields; it needs minute hour day month weekday"
        )
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise RecipeError(
            f"cron expression {expression!r} gives a day and a weekday; give one of them and * for the other"
        )
    try:
        return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=UTC)
    except ValueError as error:
        raise RecipeError(f"cron expression {expression!r} cannot be read: {error}") from error


def _weekdays(field: str) -> str:
    """crontab's weekday field as a list of names: APScheduler counts from Monday, crontab from Sunday."""
    chosen: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0-6" if span == "*" else span).partition("-")
        low = _weekday(first)
        high = _weekday(last) if last else 6 if step else low
        if high == 0 and low > 0:
            high = 7
        if high < low:
            raise ValueError(f"the weekdays {part!r} run backwards")
        chosen.update(number % 7 for number in range(low, high + 1, int(step or 1)))
    return "*" if len(chosen) == 7 else ",".join(_DAYS[number] for number in sorted(chosen))


def _weekday(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if not text.isdigit() or int(text) > 7:
        raise ValueError(f"{text!r} is no weekday: use 0 to 7 or sun to sat")
    return int(text)


def _last_between(trigger: CronTrigger, after: datetime, until: datetime) -> datetime | None:
    last = None
    moment = after
    while True:
        following = trigger.get_next_fire_time(None, moment + timedelta(microseconds=1))
        if following is None or following > until:
            return None if last is None else last.astimezone(UTC)
        last = moment = following


def _sync(scheduler: BackgroundScheduler, store: Store) -> None:
    """Make up what was missed, and give each schedule a job that fires on its minute."""
    try:
        known = {f"schedule:{schedule.name}": schedule for schedule in list_schedules(store)}
        for job in scheduler.get_jobs():
            if job.id != "sync" and job.id not in known:
                job.remove()
        for name, schedule in known.items():
            with suppress(RecipeError):  # _request says so
                trigger = cron_trigger(schedule.cron)
                scheduler.add_job(_request_due, trigger, args=(store,), id=name, replace_existing=True)
    except Exception as error:
        _stay_up(error)
    _request_due(store)


def _request_due(store: Store) -> None:
    try:
        request_due(store)
    except Exception as error:
        _stay_up(error)


def _stay_up(error: Exception) -> None:
    """A database that is away for a while is no reason to end the schedule; the next look makes up for it."""
    if not is_unavailable(error):
        raise error
    _log.warning("schedule_waits_for_database", error=type(error).__name__)
