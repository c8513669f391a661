"""Raw text goes because time passed, not because a clock says so once."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from sqlmodel import col, select

from service.curation import delete_rejected, retention
from service.curation.retention import GAP, Look, next_look, note_look
from service.log_files import sweep_logs
from service.rounds.chores import _Retention
from service.settings import Settings
from service.store.session import Store
from service.store.tables import (
    Conversation,
    Correction,
    Message,
    NameMention,
    Rejection,
    Round,
    Satisfaction,
    SnapshotItem,
    Vote,
)
from service.vault import Vault
from tests.factories import conversation, correct, put

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def looks(*times: timedelta) -> list[datetime | None]:
    """Up to when raw text may be judged due, after each look at these times."""
    last: Look | None = None
    found = []
    for time in times:
        last = next_look(last, START + time)
        found.append(last.trusted)
    return found


def hourly(days: float, start: timedelta = timedelta()) -> list[timedelta]:
    return [start + hour * HOUR for hour in range(int(days * 24) + 1)]


def test_a_service_that_always_runs_trusts_its_clock_after_a_day() -> None:
    trusted = looks(*hourly(3))
    assert trusted[:24] == [None] * 24 and trusted[24:] == [START + time for time in hourly(3)[24:]]


def test_a_jump_of_forty_days_makes_nothing_due_for_a_day() -> None:
    before, jumped = hourly(2), hourly(2, 42 * DAY)
    trusted = looks(*before, *jumped)[len(before) :]
    assert trusted[:24] == [START + before[-1]] * 24 and trusted[24] == START + 43 * DAY


def test_a_jump_that_is_put_right_within_the_day_made_nothing_due() -> None:
    before = hourly(2)
    trusted = looks(*before, *hourly(0.5, 42 * DAY), *hourly(0.5, 2 * DAY + 13 * HOUR))
    assert max(time for time in trusted if time) == START + before[-1]


def test_a_small_step_back_changes_nothing() -> None:
    assert looks(*hourly(2), 2 * DAY - timedelta(minutes=5))[-1] == START + 2 * DAY - timedelta(minutes=5)


def test_a_service_that_runs_once_a_week_deletes_what_was_due_a_week_ago() -> None:
    trusted = looks(*(time for week in range(4) for time in hourly(0.3, week * 7 * DAY)))
    assert trusted[-1] == START + 14 * DAY + 7 * HOUR


@given(st.lists(st.floats(-50, 50, allow_nan=False), min_size=1, max_size=40))
def test_nothing_is_due_by_a_clock_that_no_look_confirms_a_day_later(steps: list[float]) -> None:
    """Whatever jumps there are: what a look allows was due by the clock of one a day before, or of steps under a day."""
    at, last, seen = START, None, list[datetime]()
    for step in steps:
        at += timedelta(days=step)
        last = next_look(last, at)
        if last.trusted is not None:
            earlier = [time for time in seen if time <= at - GAP]
            assert last.trusted in seen or (last.trusted == at and earlier)
        seen.append(at)


def test_the_worker_deletes_after_the_second_look_only(
    settings: Settings, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, vault, conversation())
    with store.begin() as session:
        session.execute(update(Conversation).values(state="clean", curated_at=START, first_curated_at=START))

    def sealed_after(*times: timedelta) -> bool:
        for time in times:
            monkeypatch.setattr(retention, "database_time", lambda _, time=time: START + time)
            chore = _Retention(settings, store)
            while chore.delete_some():
                pass
        with store.read() as session:
            return all(session.exec(select(Message.sealed)).all())

    assert sealed_after(*hourly(2))
    assert sealed_after(*hourly(0.9, 42 * DAY)), "a jump of forty days"
    assert not sealed_after(43 * DAY)


def test_looks_are_remembered(store: Store) -> None:
    with store.begin() as session:
        first = note_look(session)
    with store.begin() as session:
        second = note_look(session)
    assert second.since == first.since and second.at >= first.at and second.trusted is None


def test_what_was_rejected_goes_with_all_that_was_said_of_it_and_what_a_round_used_stays(
    store: Store, vault: Vault
) -> None:
    ids = [f"c-{name}" for name in ("old", "young", "used", "clean", "raw")]
    for id in ids:
        put(store, vault, conversation(id=id, satisfaction=3, votes=[{"message": 1, "value": "up", "user": "bob"}]))
        assert correct(store, vault, f"{id}:1", "Better.", "bob").result == "created"
    with store.begin() as session:
        rows = session.exec(select(Conversation).order_by(col(Conversation.id))).all()
        known = dict(zip(ids, rows, strict=True))
        for id, row in known.items():
            row.state = "clean" if id == "c-clean" else "quarantined" if id == "c-young" else "rejected"
            row.curated_at = START + (100 * DAY if id == "c-young" else timedelta())
            row.raw_deleted_at = None if id == "c-raw" else START
            session.add(row)
        session.add(Rejection(conversation_id=known["c-old"].id, rule="form", detail=""))
        session.add(NameMention(conversation_id=known["c-old"].id, name_hmac="n"))  # of a revision that was clean
        session.add(Round(id=1, recipe_name="r", recipe="", recipe_digest="", requested_by="t"))
        session.flush()
        used = {"round_id": 1, "person_id": "p", "outcome": "used", "reason": ""}
        session.add(SnapshotItem(conversation_id=known["c-used"].id, **used))
    assert delete_rejected(store, START + 181 * DAY, 180) == 1
    assert delete_rejected(store, START + 181 * DAY, 180) == 0
    with store.read() as session:
        left = {row.id for row in session.exec(select(Conversation)).all()}
        counts = [
            len(session.exec(select(table)).all()) for table in (Message, Vote, Correction, Satisfaction, Rejection)
        ]
    assert left == {row.id for id, row in known.items() if id != "c-old"}
    assert counts == [12, 4, 4, 4, 0]


def test_logs_and_files_of_rejected_rows_go_after_their_days(sqlite_settings: Settings) -> None:
    home, at = sqlite_settings.home, 1_800_000_000.0
    files = {
        "logs/round-0001.log": 31,
        "logs/round-0002.log": 29,
        "logs/engine.lock": 400,
        "imports/ab.rejects.ndjson": 181,
        "imports/cd.rejects.ndjson": 179,
        "imports/cd.json": 400,
        "imports/unpacked-7": 2,
        "imports/unpacked-8": 0,
    }
    for name, days in files.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("x")
        os.utime(home / name, (at - days * 86_400,) * 2)
    assert sweep_logs(sqlite_settings, at) == 3
    left = {name for name in files if (home / name).exists()}
    assert left == files.keys() - {"logs/round-0001.log", "imports/ab.rejects.ndjson", "imports/unpacked-7"}
