"""What came in lately, and people's thumbs by the model that wrote the answer, on both databases."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlmodel import Session

from service.store.session import Store
from service.store.tables import App, Conversation, Message, Person, Rejection, Vote, now
from service.store.weeks import arrived, thumbs_by_model

MONDAY = datetime(2026, 11, 2, 23, 30, tzinfo=UTC)


def add_chat(session: Session, number: int, at: datetime, state: str = "clean", **answer: Any) -> Conversation:
    """A conversation with one answer that a rater can vote on by the hash `a<number>`."""
    app = session.get(App, "app")
    if app is None:
        session.add(app := App(id="app", name="default"))
        session.flush()
        session.add(Person(id="p", app_id="app", hmac="p"))
        session.flush()
    row = Conversation(
        app_id="app", client_hmac=f"c{number}", person_id="p", consent=True, state=state, digest="d",
        occurred_at=at, received_at=at, sealed_meta=b"",
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.add(Message(conversation_id=row.id, client_hmac=f"a{number}", position=1, role="assistant", **answer))
    session.flush()
    return row


def vote(session: Session, number: int, value: int, at: datetime, rater: str = "r", source: str = "person") -> None:
    session.add(
        Vote(
            app_id="app", message_hmac=f"a{number}", rater_hmac=rater, value=value, at=at, updated_at=at, source=source
        )
    )


def test_thumbs_are_told_by_day_and_by_who_wrote_the_answer(store: Store) -> None:
    with store.begin() as session:
        add_chat(session, 1, MONDAY, served_by="ours")
        add_chat(session, 2, MONDAY, model="theirs")
        add_chat(session, 3, MONDAY)
        vote(session, 1, 1, MONDAY)
        vote(session, 1, -1, MONDAY, "another")
        vote(session, 2, 1, MONDAY + timedelta(days=1))
        vote(session, 3, -1, MONDAY)
        vote(session, 1, 0, MONDAY, "taken back")
        vote(session, 1, -1, MONDAY, "a judge", source="judge")
    with store.read() as session:
        found = thumbs_by_model(session, MONDAY - timedelta(days=1))
        assert [(one.model, one.start, one.up, one.down) for one in found] == [
            ("", date(2026, 11, 2), 0, 1),
            ("ours", date(2026, 11, 2), 1, 1),
            ("theirs", date(2026, 11, 3), 1, 0),
        ]
        assert [one.share for one in found] == [0.0, 0.5, 1.0]
        assert thumbs_by_model(session, MONDAY + timedelta(days=2)) == []


def test_thumbs_of_more_than_a_month_are_told_by_weeks(store: Store) -> None:
    with store.begin() as session:
        add_chat(session, 1, MONDAY, served_by="ours")
        for number, days in enumerate((0, 3, 40)):
            vote(session, 1, 1, MONDAY + timedelta(days=days), f"r{number}")
    with store.read() as session:
        found = thumbs_by_model(session, MONDAY - timedelta(days=1))
    assert [(one.start, one.up) for one in found] == [(date(2026, 11, 2), 2), (date(2026, 12, 7), 1)]


def test_a_week_tells_what_came_in_and_what_curation_left_out_of_it(store: Store) -> None:
    at = now()
    with store.begin() as session:
        add_chat(session, 1, at)
        old = add_chat(session, 2, at - timedelta(days=9), state="rejected")
        new = add_chat(session, 3, at, state="rejected")
        for row in (old, new):
            session.add(Rejection(conversation_id=row.id, rule="too_long", detail=""))
        vote(session, 1, 1, at)
        vote(session, 2, -1, at - timedelta(days=9))
    with store.read() as session:
        found = arrived(session, at - timedelta(days=7))
    assert (found.received, found.states) == (2, {"clean": 1, "rejected": 1})
    assert (found.rated_up, found.rated_down, found.share_up) == (1, 0, 1.0)
    assert found.left_out == (("too_long", 1),)
