"""Slots: computed from the expression, one row each whoever asks, the latest missed one made up once."""

import multiprocessing
import re
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from sqlmodel import select

from pipelines.errors import NotFound, RecipeError
from service.rounds import schedule
from service.rounds.requests import list_rounds
from service.settings import Settings
from service.store.session import Store, open_store
from service.store.tables import Schedule
from tests.factories import web

MONTHLY = "0 3 1 * *"
RECIPE = """
name: monthly
base: {model: models/tiny}
mixture: {user: 1.0}
evaluate: {suites: [tiny_math]}
gates: [{suite: tiny_math, margin: {champion: 3.0, origin: 3.0}}]
schedule: {cron: "0 3 1 * *", min_new_examples: 10}
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def known_since(store: Store, moment: str, cron: str = MONTHLY) -> None:
    schedule.add_schedule(store, RECIPE.replace(MONTHLY, cron), "test")
    with store.begin() as session:
        row = session.get_one(Schedule, "monthly")
        row.known_since = at(moment)
        session.add(row)


@pytest.mark.parametrize(
    ("cron", "after", "until", "slot"),
    [
        (MONTHLY, "2026-01-01T00:00", "2026-03-15T12:00", "2026-03-01T03:00"),
        (MONTHLY, "2026-01-01T00:00", "2026-03-01T03:00", "2026-03-01T03:00"),
        (MONTHLY, "2026-01-01T00:00", "2026-03-01T02:59", "2026-02-01T03:00"),
        (MONTHLY, "2026-03-01T03:00", "2026-03-15T12:00", None),
        (MONTHLY, "2026-03-02T00:00", "2026-03-15T12:00", None),
        ("*/5 * * * *", "2026-01-01T00:00", "2026-03-15T12:04", "2026-03-15T12:00"),
        ("0 0 29 2 *", "2020-01-01T00:00", "2027-12-31T00:00", "2024-02-29T00:00"),
        ("0 4 * * 0", "2026-03-01T12:00", "2026-03-10T00:00", "2026-03-08T04:00"),  # crontab's 0 is Sunday
        ("0 4 * * 7", "2026-03-01T12:00", "2026-03-10T00:00", "2026-03-08T04:00"),
        ("0 4 * * 1-5", "2026-03-06T12:00", "2026-03-08T23:00", None),  # Friday noon to Sunday night
        ("0 4 * * fri-sun", "2026-03-06T12:00", "2026-03-08T23:00", "2026-03-08T04:00"),
        ("0 4 * * 5-0", "2026-03-06T12:00", "2026-03-08T23:00", "2026-03-08T04:00"),
        ("0 3 last * *", "2026-01-01T00:00", "2026-03-15T12:00", "2026-02-28T03:00"),
        ("0 3 L * *", "2026-01-01T00:00", "2026-03-15T12:00", "2026-02-28T03:00"),
        ("0 3 31 * *", "2026-01-01T00:00", "2026-03-15T12:00", "2026-01-31T03:00"),  # February has none
        ("0 3 1 * 1", "2026-03-01T12:00", "2026-03-08T12:00", "2026-03-02T03:00"),  # the 1st, and every Monday
        ("0 3 1 * 1", "2026-03-31T12:00", "2026-04-05T12:00", "2026-04-01T03:00"),
        ("0 3 1 1,7 MON", "2026-02-01T00:00", "2026-06-30T00:00", None),
        ("0 3 1 * *", "2026-01-01T00:00", "2026-03-01T03:00:00.000001", "2026-03-01T03:00"),
        ("0 3 29 3 *", "2026-03-28T00:00", "2026-03-29T03:00", "2026-03-29T03:00"),  # no hour is skipped in UTC
    ],
)
def test_the_latest_slot_comes_from_the_expression(cron: str, after: str, until: str, slot: str | None) -> None:
    assert schedule.latest_slot(cron, at(after), at(until)) == (at(slot) if slot else None)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 3 1 *", "has 4 fields; it needs minute hour day month weekday"),
        ("0 3 1 * * 2027", "has 6 fields"),
        ("@monthly", "has 1 fields"),
        ("60 3 1 * *", "cannot be read: bad minute"),
        ("x 3 1 * *", "cannot be read: bad minute"),
        ("0 24 1 * *", "cannot be read: bad hour"),
        ("0 3 32 * *", "cannot be read: bad day-of-month"),
        ("0 3 x 2 *", "cannot be read: bad day-of-month"),
        ("0 3 1 13 *", "cannot be read: bad month"),
        ("0 3 * * 8", "cannot be read: bad day-of-week"),
        ("0 3 * * 5-2", "cannot be read: bad day-of-week"),
        ("0 3 31 2 *", "names a day that never comes"),
        ("0 3 31 4,6 *", "names a day that never comes"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_in_a_sentence(cron: str, why: str) -> None:
    with pytest.raises(RecipeError, match=f"cron expression '{re.escape(cron)}' {re.escape(why)}"):
        schedule.next_slot(cron, at("2026-01-01T00:00"))


def test_the_next_slot_comes_after_this_one() -> None:
    assert schedule.next_slot(MONTHLY, at("2026-03-01T03:00")) == at("2026-04-01T03:00")
    assert schedule.next_slot(MONTHLY, at("2026-03-01T02:59:59")) == at("2026-03-01T03:00")


def test_a_recipe_without_a_schedule_cannot_be_scheduled(store: Store) -> None:
    with pytest.raises(RecipeError, match=r"has no `schedule\.cron`: give one"):
        schedule.add_schedule(store, RECIPE.replace("schedule:", "#"), "test")


def test_a_day_that_never_comes_is_refused(store: Store) -> None:
    with pytest.raises(RecipeError, match=r"'0 3 31 2 \*' names a day that never comes"):
        schedule.add_schedule(store, RECIPE.replace(MONTHLY, "0 3 31 2 *"), "test")


def test_the_latest_missed_slot_is_made_up_once(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")

    first = schedule.request_due(store, lambda _: at("2026-04-10T00:00"))
    again = schedule.request_due(store, lambda _: at("2026-04-10T00:01"))

    assert (len(first), again) == (1, [])
    assert [row.slot for row in list_rounds(store)] == [at("2026-04-01T03:00")]


def test_slots_before_the_schedule_was_known_are_not_made_up(store: Store) -> None:
    known_since(store, "2026-04-02T00:00")

    assert schedule.request_due(store, lambda _: at("2026-04-10T00:00")) == []


def test_each_slot_asks_for_one_round(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")

    for month in ("02", "03", "03", "04"):
        schedule.request_due(store, lambda _, month=month: at(f"2026-{month}-02T00:00"))

    assert [row.slot.month for row in list_rounds(store) if row.slot] == [4, 3, 2]


@pytest.mark.parametrize(
    ("then", "slots"),
    [
        ("2026-04-10T00:00", ["2026-04-01T03:00"]),  # the same again
        ("2026-02-10T00:00", ["2026-04-01T03:00"]),  # a clock that stepped back, or another host that is behind
        ("2026-03-31T23:55", ["2026-04-01T03:00"]),
        ("2026-05-01T03:00", ["2026-05-01T03:00", "2026-04-01T03:00"]),
    ],
)
def test_slots_only_go_forward(store: Store, then: str, slots: list[str]) -> None:
    known_since(store, "2026-01-15T00:00")

    for moment in ("2026-04-10T00:00", then, "2026-04-10T00:00"):
        schedule.request_due(store, lambda _, moment=moment: at(moment))

    assert [row.slot for row in list_rounds(store)] == [at(slot) for slot in slots]


def test_slots_that_passed_without_a_round_are_counted(store: Store, settings: Settings) -> None:
    known_since(store, "2026-01-15T00:00")
    schedule.request_due(store, lambda _: at("2026-02-10T00:00"))
    assert [(one.missed, one.last_missed) for one in schedule.show_schedules(store)] == [(0, None)]

    schedule.request_due(store, lambda _: at("2026-06-10T00:00"))

    [view] = schedule.show_schedules(store)
    assert (view.missed, view.last_missed, view.last) == (3, at("2026-05-01T03:00"), at("2026-06-01T03:00"))
    assert view.next is not None and view.next > view.last
    with web(settings) as client:
        page = client.get("/rounds").text
    assert "3, the latest" in page and "2026-05-01 03:00 UTC" in page


def test_what_was_missed_in_a_long_outage_is_counted_up_to_a_bound(store: Store) -> None:
    known_since(store, "2020-01-01T00:00", cron="* * * * *")
    schedule.request_due(store, lambda _: at("2026-01-01T00:00"))
    [view] = schedule.show_schedules(store)
    assert (view.missed, view.last_missed) == (schedule.MAX_MISSED, at("2025-12-31T23:59"))


def test_a_slot_that_nobody_asked_for_is_late(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")
    [view] = schedule.show_schedules(store)
    assert view.late is not None and view.last is None


def test_a_clock_that_was_ahead_leaves_a_next_slot_behind_the_one_it_took(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")
    schedule.request_due(store, lambda _: at("2099-01-10T00:00"))
    [view] = schedule.show_schedules(store)
    assert (view.last, view.next, view.late) == (at("2099-01-01T03:00"), at("2099-02-01T03:00"), None)


def test_a_recipe_that_is_no_longer_understood_does_not_hold_up_the_others(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")
    with store.begin() as session:
        session.add(Schedule(name="a-broken", recipe="name: [", cron=MONTHLY, known_since=at("2026-01-15T00:00")))
        session.add(Schedule(name="b-broken", recipe=RECIPE, cron="monthly", known_since=at("2026-01-15T00:00")))

    assert len(schedule.request_due(store, lambda _: at("2026-04-10T00:00"))) == 1


def test_a_new_cron_is_known_only_from_now_on(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")

    schedule.add_schedule(store, RECIPE.replace(MONTHLY, "0 5 2 * *"), "test")

    assert schedule.list_schedules(store)[0].known_since > at("2026-01-16T00:00")
    assert len(schedule.list_schedules(store)) == 1


def test_a_removed_schedule_asks_no_more(store: Store) -> None:
    known_since(store, "2026-01-15T00:00")

    schedule.remove_schedule(store, "monthly", "test")

    assert schedule.request_due(store, lambda _: at("2026-04-10T00:00")) == []
    with pytest.raises(NotFound, match="no schedule is called 'monthly'"):
        schedule.remove_schedule(store, "monthly", "test")


def _run_scheduler(settings: Settings, together: Barrier) -> None:
    """Starts a scheduler together with the others, and ends when it has looked once for slots that are due."""
    together.wait(300)
    with schedule.running_schedules(open_store(settings)) as scheduler:
        started = schedule.now()
        deadline = time.monotonic() + 300
        while not _has_looked(scheduler, started):
            assert time.monotonic() < deadline, "it never looked"
            time.sleep(0.02)


def _has_looked(scheduler: BackgroundScheduler, started: datetime) -> bool:
    """The first look is due at once; when it is on its way, the job shows the time of the second."""
    job = scheduler.get_job("sync")
    return job is not None and job.next_run_time > started + timedelta(seconds=1)


def test_three_processes_fire_a_slot_once(settings: Settings, store: Store) -> None:
    known_since(store, "2026-01-15T00:00")
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    processes = [context.Process(target=_run_scheduler, args=(settings, together)) for _ in range(3)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(400)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    with store.read() as session:
        assert len(session.exec(select(Schedule)).all()) == 1
    assert len(list_rounds(store)) == 1
