"""The watch over a new champion: quiet over an equal one, loud over a bad one, and what it does about that."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import update
from sqlmodel import select

from bench.watch import WORSE, is_caught
from service.models.watch import latest_watch, observed, sentence, watch_champion
from service.obstacles import find_obstacles
from service.settings import Settings
from service.store import models
from service.store.session import Store
from service.store.tables import App, Audit, ChampionWatch, Conversation, Message, Person, Promotion, Vote
from service.store.watching import Answer, Thumb
from tests.factories import web
from tests.service.served import add_model, crown

on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
START = datetime.fromisoformat("2026-10-01T00:00:00+00:00")


def test_an_equal_model_is_taken_for_a_worse_one_in_at_most_one_promotion_of_a_hundred() -> None:
    random = np.random.default_rng(12)
    alarms = sum(is_caught(random, {}) for _ in range(400))
    assert alarms <= 4  # `python -m bench watch` tries many more


@pytest.mark.parametrize("change", list(WORSE.values()), ids=list(WORSE))
def test_a_model_that_is_much_worse_is_caught(change: dict[str, float]) -> None:
    random = np.random.default_rng(13)
    assert sum(is_caught(random, change) for _ in range(20)) >= 15  # all but the first are caught always


def test_nobody_counts_more_than_three_times_and_a_conversation_once() -> None:
    thumbs = [Thumb("m", "loud", -1)] * 50 + [Thumb("m", "quiet", 1)]
    answers = [Answer("m", "c1", "complete", 10), Answer("m", "c1", "error", 20), Answer("m", "c2", "unfinished", 30)]
    seen = observed(thumbs, answers)
    assert seen.thumbs.tolist() == [1, 1, 1, 0] and seen.broken.tolist() == [0, 1] and seen.lengths.tolist() == [10]


class Wheel:
    """A home with two champions in turn, and answers and thumbs that each of them got."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings, self._number = store, settings, 0
        add_model(store, settings, "old", kind="origin", verdict=None)
        add_model(store, settings, "new", weights="second")
        with store.begin() as session:
            session.add(App(id="a", name="app"))
            session.flush()
            session.add(Person(id="p", app_id="a", hmac="p"))
        crown(store, "old")
        crown(store, "new", "old")
        with store.begin() as session:
            for row in session.exec(select(Promotion)).all():
                moment = START if row.model_id == "old" else self.promoted
                session.execute(update(Promotion).filter_by(id=row.id).values(at=moment))

    promoted = START + timedelta(days=20)

    def answered(self, model: str, since: datetime, downs: int, ups: int) -> None:
        """So many answers a minute apart, each voted on by somebody else."""
        with self.store.begin() as session:
            for place in range(downs + ups):
                self._number += 1
                moment = since + timedelta(minutes=place)
                name = f"{int(moment.timestamp() * 1000):012x}{self._number:020x}"
                session.add(
                    Conversation(
                        id=name,
                        app_id="a",
                        client_hmac=name,
                        person_id="p",
                        digest="d",
                        occurred_at=moment,
                        sealed_meta=b"",
                    )
                )
                session.flush()
                session.add(
                    Message(
                        id=name,
                        conversation_id=name,
                        client_hmac=name,
                        position=1,
                        role="assistant",
                        served_by=model,
                        sealed=b"x" * (50 + place % 40),
                    )
                )
                value = -1 if place * downs % (downs + ups) < downs else 1
                session.add(Vote(app_id="a", message_hmac=name, rater_hmac=name, value=value))

    def look(self, watch: str) -> ChampionWatch | None:
        """One look of the watch, ten days after the promotion."""
        at = self.promoted + timedelta(days=10)
        return watch_champion(replace(self.settings, watch=watch), self.store, at)

    @property
    def champion(self) -> str | None:
        with self.store.read() as session:
            return models.champion_id(session)


@pytest.fixture
def wheel(store: Store, settings: Settings) -> Wheel:
    return Wheel(store, settings)


def test_a_bad_champion_is_rolled_back_by_itself_where_that_is_asked_for(wheel: Wheel) -> None:
    wheel.answered("old", START, downs=30, ups=120)
    wheel.answered("new", wheel.promoted, downs=60, ups=20)
    row = wheel.look("on")
    assert row is not None and row.alarm_at is not None and wheel.champion == "old"
    assert sentence(row) == "thumbs down: 20.0% of 150 before, 75.0% of 80 since"
    with wheel.store.read() as session:
        acts = [(one.actor, one.action) for one in session.exec(select(Audit)).all()]
        last = models.last_promotion(session)
    assert acts == [("watch", "watch_alarm"), ("watch", "promote")]
    assert last is not None and (last.kind, last.by) == ("rollback", "watch")
    told = {one.name: one.sentence for one in find_obstacles(wheel.settings, wheel.store)}
    assert "'new' was rolled back" in told["champion_taken_back"]
    assert wheel.look("on") is None  # nobody watches a rollback


@on_sqlite
def test_with_warn_the_champion_stays_and_everybody_is_told_once(wheel: Wheel) -> None:
    wheel.answered("old", START, downs=30, ups=120)
    wheel.answered("new", wheel.promoted, downs=60, ups=20)
    assert [wheel.look("warn") is not None for _ in range(2)] == [True, True] and wheel.champion == "new"
    told = {one.name: one for one in find_obstacles(wheel.settings, wheel.store)}
    assert "thumbs down: 20.0% of 150 before, 75.0% of 80 since" in told["champion_worse"].sentence
    with wheel.store.read() as session:
        assert len(session.exec(select(Audit).where(Audit.action == "watch_alarm")).all()) == 1


@on_sqlite
def test_an_equal_champion_stays_and_with_off_nobody_looks(wheel: Wheel) -> None:
    wheel.answered("old", START, downs=30, ups=120)
    wheel.answered("new", wheel.promoted, downs=16, ups=64)
    assert wheel.look("off") is None
    with web(wheel.settings) as client:
        assert client.get("/v1/watch").json()["model"] is None
    row = wheel.look("on")
    assert row is not None and row.alarm_at is None and wheel.champion == "new"
    with wheel.store.read() as session:
        assert latest_watch(session) is not None
    with web(wheel.settings) as client:
        shown = client.get("/v1/watch").json()
    assert (shown["mode"], shown["model"], shown["alarm_at"]) == ("warn", "new", None)
    assert [one["kind"] for one in shown["signals"]] == ["thumbs", "broken", "longer", "shorter"]
    assert not {"champion_worse", "champion_taken_back"} & {
        one.name for one in find_obstacles(wheel.settings, wheel.store)
    }


@on_sqlite
def test_too_few_before_say_nothing(wheel: Wheel) -> None:
    wheel.answered("old", START, downs=1, ups=30)
    wheel.answered("new", wheel.promoted, downs=40, ups=0)
    row = wheel.look("on")
    assert row is not None and row.alarm_at is None and sentence(row) == "too little came in to compare"
