"""Counts by time for the overview: what came in lately, and what people thought of the answers. Numbers only.

Each reads every conversation, or every vote: pages ask for them through a watch that does not make their visitors wait.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func
from sqlmodel import Session, col, select

from service.store.tables import Conversation, Message, Quarantine, Rejection, Vote

_DAYS_BY_DAY = 31  # more days than this are shown by weeks


@dataclass(frozen=True)
class Arrived:
    """Conversations that came in since a moment: how many, by state, and what curation left out of them by reason."""

    since: datetime
    received: int
    states: Mapping[str, int]
    rated_up: int
    rated_down: int
    left_out: tuple[tuple[str, int], ...]

    @property
    def share_up(self) -> float | None:
        """Of the thumbs, those that point up, 0 to 1; None without any."""
        every = self.rated_up + self.rated_down
        return self.rated_up / every if every else None


@dataclass(frozen=True)
class Thumbs:
    """What people said of a model's answers within a day, or within the week that begins with it."""

    model: str
    start: date
    up: int
    down: int

    @property
    def share(self) -> float:
        """Of the thumbs, those that point up; 0 to 1."""
        return self.up / (self.up + self.down)


def arrived(session: Session, since: datetime) -> Arrived:
    """What came in since a moment, by the database's clock."""
    recent = col(Conversation.received_at) >= since
    states = session.exec(
        select(Conversation.state, func.count()).where(recent).group_by(col(Conversation.state))
    ).all()
    given = col(Vote.updated_at) >= since, Vote.source == "person"
    votes = Counter(dict(session.exec(select(Vote.value, func.count()).where(*given).group_by(col(Vote.value))).all()))
    reasons: Counter[str] = Counter()
    for table, reason in ((Rejection, Rejection.rule), (Quarantine, Quarantine.reason)):
        query = select(reason, func.count()).join(Conversation, col(table.conversation_id) == col(Conversation.id))
        reasons.update(dict(session.exec(query.where(recent).group_by(reason)).all()))
    return Arrived(
        since=since,
        received=sum(count for _, count in states),
        states=dict(states),
        rated_up=votes[1],
        rated_down=votes[-1],
        left_out=tuple(reasons.most_common()),
    )


def thumbs_by_model(session: Session, since: datetime) -> list[Thumbs]:
    """People's thumbs on answers by the model that wrote them, by days or, of a longer time, by weeks; oldest first."""
    day = _day(session, func.coalesce(Vote.at, Vote.updated_at))
    name = func.coalesce(Message.served_by, Message.model, "")
    answered = and_(col(Message.client_hmac) == col(Vote.message_hmac), col(Message.role) == "assistant")
    query: Any = (
        select(name, day, func.sum(case((col(Vote.value) == 1, 1), else_=0)), func.count())
        .join(Message, answered)
        .where(col(Vote.updated_at) >= since, Vote.value != 0, Vote.source == "person")
        .group_by(name, day)
    )
    rows = [
        (model, date.fromisoformat(str(start)), int(up), int(count)) for model, start, up, count in session.exec(query)
    ]
    return sorted(_grouped(rows), key=lambda one: (one.start, one.model))


def _grouped(rows: list[tuple[str, date, int, int]]) -> Iterator[Thumbs]:
    days = [start for _, start, _, _ in rows]
    by_week = bool(days) and (max(days) - min(days)).days >= _DAYS_BY_DAY
    up: Counter[tuple[str, date]] = Counter()
    every: Counter[tuple[str, date]] = Counter()
    for model, start, good, count in rows:
        first = start - timedelta(days=start.weekday()) if by_week else start
        up[model, first] += good
        every[model, first] += count
    for (model, first), count in every.items():
        yield Thumbs(model, first, up[model, first], count - up[model, first])


def _day(session: Session, moment: ColumnElement[datetime]) -> ColumnElement[Any]:
    """The day of a moment, UTC."""
    if session.get_bind().dialect.name == "postgresql":
        return func.date(func.timezone("UTC", moment))
    return func.date(moment)
