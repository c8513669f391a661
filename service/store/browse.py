"""Which conversations a person looks at: any mixture of filters, newest first, a page at a time, by keyset.

One filter drives: its rows are read in order through an index, at most WINDOW of them a page, and the others are asked of
each. So a page costs about the same however many conversations there are; where a window holds too few that pass all
filters, the page says how far it looked and where to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, union_all
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from service.store.tables import Conversation, Message, Model, Quarantine, Rejection, Snapshot, SnapshotItem, Vote

PAGE = 50
WINDOW = 2_000
_RECENT = 20_000
_OUTCOMES = {"train": "used", "dev": "held_out", "heldout": "held_out"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a conversation must be to be shown; None: whatever it is.

    `rule` is why curation rejected or quarantined it or, with `round`, the reason that this round noted. `model` wrote an
    answer in it; `vote` is 1 or -1 by a person on one. `since` and `before` bound when it took place.
    """

    state: str | None = None
    rule: str | None = None
    app: str | None = None
    model: str | None = None
    vote: int | None = None
    language: str | None = None
    topic: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    part: str | None = None
    round: int | None = None

    @property
    def are_of_its_row(self) -> bool:
        """Whether the conversation's own row answers all of them, so that one narrow index does."""
        return (self.vote, self.model, self.rule, self.round) == (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of conversations. `next` is where the next one begins, None at the end; `looked` how many rows it looked at."""

    conversations: tuple[Conversation, ...]
    next: str | None
    looked: int | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to choose from in the filters; rules with how many conversations they concern."""

    languages: tuple[str, ...]
    topics: tuple[str, ...]
    rules: tuple[tuple[str, int], ...]
    models: tuple[str, ...]
    rounds: tuple[int, ...]


def browse(session: Session, filters: Filters, after: str | None = None) -> Listing:
    """The newest conversations that pass all filters, behind `after`: the `next` of the page before.

    With a vote they come by the time of their newest such vote.
    """
    driven = _driven(session, filters, after).subquery()
    query = (
        select(driven.c.cursor, Conversation)
        .join(Conversation, col(Conversation.id) == driven.c.id)
        .where(*_columns(filters), *_elsewhere(filters))
        .order_by(driven.c.cursor.desc())
        .limit(PAGE + 1)
    )
    rows: Sequence[tuple[str, Conversation]] = session.execute(query).all()
    shown = tuple({row.id: row for _, row in rows[:PAGE]}.values())
    if len(rows) > PAGE:
        return Listing(shown, rows[PAGE - 1][0])
    if filters.are_of_its_row:
        return Listing(shown, None)
    looked, last = session.execute(sql_select(func.count(), func.min(driven.c.cursor)).select_from(driven)).one()
    return Listing(shown, last, looked) if looked == WINDOW else Listing(shown, None)


def choices(session: Session) -> Choices:
    """The values that the filters can have here; languages and topics are those of the newest conversations."""
    newest = (
        sql_select(col(Conversation.language), col(Conversation.topic))
        .order_by(col(Conversation.id).desc())
        .limit(_RECENT)
        .subquery()
    )
    kinds = session.execute(sql_select(newest.c.language, newest.c.topic).distinct()).all()
    counted: dict[str, int] = {}
    for rule, count in session.execute(_counted_rules()).all():
        counted[rule] = counted.get(rule, 0) + count
    return Choices(
        languages=tuple(sorted({language for language, _ in kinds if language})),
        topics=tuple(sorted({topic for _, topic in kinds if topic})),
        rules=tuple(sorted(counted.items())),
        models=tuple(session.exec(select(Model.id).order_by(Model.id))),
        rounds=tuple(session.exec(select(Snapshot.round_id).order_by(col(Snapshot.round_id).desc()).limit(200))),
    )


def newest_snapshot(session: Session) -> int | None:
    """The newest round that decided about conversations."""
    return session.exec(select(func.max(Snapshot.round_id))).one()


def named(session: Session, chats: Sequence[tuple[str, str]], messages: Sequence[str], id: str) -> list[Conversation]:
    """The conversations with this id of ours, or an app and its keyed id, or a message with a keyed id."""
    wanted: list[ColumnElement[bool]] = [col(Conversation.id) == id]
    wanted += [and_(col(Conversation.app_id) == app, col(Conversation.client_hmac) == hashed) for app, hashed in chats]
    at_home = select(Message.conversation_id).where(col(Message.client_hmac).in_(messages)).limit(PAGE)
    wanted.append(col(Conversation.id).in_(list(session.exec(at_home))))
    return list(session.exec(select(Conversation).where(or_(*wanted)).limit(PAGE)).all())


def _counted_rules() -> Any:
    newest = select(func.max(Snapshot.round_id)).scalar_subquery()
    left_out = col(SnapshotItem.round_id) == newest, col(SnapshotItem.outcome) == "left_out"
    return union_all(
        sql_select(col(Rejection.rule), func.count()).group_by(col(Rejection.rule)),
        sql_select(col(Quarantine.reason), func.count()).group_by(col(Quarantine.reason)),
        sql_select(col(SnapshotItem.reason), func.count()).where(*left_out).group_by(col(SnapshotItem.reason)),
    )


def _driven(session: Session, filters: Filters, after: str | None) -> Select[Any]:
    """(cursor, id) of the rows that the driving filter gives, newest first."""
    if filters.vote is not None:
        return _by_vote(filters.vote, after)
    if filters.model is not None:
        return _window(col(Message.conversation_id), after, _wrote(session, filters.model), grouped=True)
    if filters.round is not None:
        return _window(col(SnapshotItem.conversation_id), after, and_(*_decided(filters)))
    if filters.rule is not None:
        return _by_rule(filters.rule, after)
    passing = _window(col(Conversation.id), after, and_(True, *_columns(filters)))
    return passing.limit(PAGE + 1)


def _window(id: Any, after: str | None, wanted: ColumnElement[bool], grouped: bool = False) -> Select[Any]:
    columns: list[Any] = [id.label("cursor"), id.label("id")]
    query = sql_select(*columns).where(wanted).order_by(id.desc()).limit(WINDOW)
    query = query.group_by(id) if grouped else query
    return query if after is None else query.where(id < after)


def _by_vote(value: int, after: str | None) -> Select[Any]:
    columns: list[Any] = [col(Vote.id).label("cursor"), col(Message.conversation_id).label("id")]
    query = (
        sql_select(*columns)
        .join(Message, col(Message.client_hmac) == col(Vote.message_hmac))
        .where(col(Vote.value) == value, col(Vote.source) == "person", col(Message.role) == "assistant")
        .order_by(col(Vote.id).desc())
        .limit(WINDOW)
    )
    return query if after is None else query.where(col(Vote.id) < after)


def _by_rule(rule: str, after: str | None) -> Select[Any]:
    """Those that curation rejected by it, and those it quarantined for it; no rule does both."""
    rejected = _window(col(Rejection.conversation_id), after, col(Rejection.rule) == rule).subquery()
    quarantined = _window(col(Quarantine.conversation_id), after, col(Quarantine.reason) == rule).subquery()
    both = union_all(sql_select(rejected), sql_select(quarantined)).subquery()
    return sql_select(both.c.cursor, both.c.id).order_by(both.c.cursor.desc()).limit(WINDOW)


def _wrote(session: Session, model: str) -> ColumnElement[bool]:
    """Whether a message is an answer of ours by this model, or of another that its sender calls so."""
    ours = session.get(Model, model) is not None
    return col(Message.served_by if ours else Message.model) == model


def _decided(filters: Filters) -> list[ColumnElement[bool]]:
    decided = [col(SnapshotItem.round_id) == filters.round]
    if filters.rule is None:
        return decided
    outcome = _OUTCOMES.get(filters.rule, "left_out")  # said so that an index has all three
    return [*decided, col(SnapshotItem.outcome) == outcome, col(SnapshotItem.reason) == filters.rule]


def _columns(filters: Filters) -> list[ColumnElement[bool]]:
    """The filters that the conversation's own row answers."""
    wanted = {
        Conversation.state: filters.state,
        Conversation.app_id: filters.app,
        Conversation.language: filters.language,
        Conversation.topic: filters.topic,
        Conversation.part: filters.part,
    }
    conditions = [col(column) == value for column, value in wanted.items() if value is not None]
    if filters.since is not None:
        conditions.append(col(Conversation.occurred_at) >= filters.since)
    if filters.before is not None:
        conditions.append(col(Conversation.occurred_at) < filters.before)
    return conditions


def _elsewhere(filters: Filters) -> list[ColumnElement[bool]]:
    """The filters that other tables answer; the driving one is among them only where asking again is cheap."""
    here = col(Conversation.id)
    conditions: list[ColumnElement[bool]] = []
    if filters.vote is not None and filters.model is not None:
        conditions.append(_has_answer_of(filters.model))
    if filters.round is not None and (filters.vote is not None or filters.model is not None):
        conditions.append(exists().where(col(SnapshotItem.conversation_id) == here, *_decided(filters)))
    elif filters.rule is not None and filters.round is None:
        rejected = exists().where(col(Rejection.conversation_id) == here, col(Rejection.rule) == filters.rule)
        kept = exists().where(col(Quarantine.conversation_id) == here, col(Quarantine.reason) == filters.rule)
        conditions.append(or_(rejected, kept))
    return conditions


def _has_answer_of(model: str) -> ColumnElement[bool]:
    wrote = or_(col(Message.served_by) == model, col(Message.model) == model)
    return exists().where(col(Message.conversation_id) == col(Conversation.id), wrote)
