"""Schedules, rounds, their attempts and stages, and what they decided about conversations and feedback."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from service.store.tables.base import json_column, now


class Schedule(SQLModel, table=True):
    """A recipe that asks for a round by itself. Slots before `known_since` are never made up.

    `last_slot` only grows, whatever clocks say; `missed` counts the slots that were passed over, `last_missed` is the latest.
    """

    name: str = Field(primary_key=True)  # the recipe's name
    recipe: str  # the YAML text
    cron: str
    known_since: datetime = Field(default_factory=now)
    last_slot: datetime | None = None
    missed: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    last_missed: datetime | None = None


class Round(SQLModel, table=True):
    """A request to turn the wheel. `state`: requested, running, passed, failed, inconclusive, skipped, cancelled, error.

    `schedule` and `slot` are null for a round that somebody asked for; together they are unique.
    """

    __table_args__ = (UniqueConstraint("schedule", "slot"), Index("ix_round_claim", "state", "lease_until"))

    id: int | None = Field(default=None, primary_key=True)
    schedule: str | None = None
    slot: datetime | None = None
    recipe_name: str
    recipe: str  # the YAML text
    recipe_digest: str
    state: str = "requested"
    requested_by: str
    requested_key: str | None = None  # who asked: the id of an API key, or user: and a user's; null: nobody needed one
    requested_at: datetime = Field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    owner: str | None = None
    lease_until: float | None = None  # seconds since the epoch
    fence: int = 0
    cancel_requested: bool = False
    stage: str | None = None
    message: str = ""
    counts: dict[str, Any] = json_column(default_factory=dict)


class Attempt(SQLModel, table=True):
    """One try at a round: its folder, and how it ended."""

    __table_args__ = (UniqueConstraint("round_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    round_id: int = Field(foreign_key="round.id")
    number: int
    folder: str
    state: str = "running"
    verdict: str | None = None
    reasons: list[str] = json_column(default_factory=list)
    started_at: datetime = Field(default_factory=now)
    finished_at: datetime | None = None


class Stage(SQLModel, table=True):
    """One row per time that a stage ran to its end; the fence shows which claim ran it."""

    __table_args__ = (UniqueConstraint("attempt_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    attempt_id: int = Field(foreign_key="attempt.id")
    name: str
    digest: str
    fence: int
    seconds: float
    finished_at: datetime = Field(default_factory=now)


class Snapshot(SQLModel, table=True):
    """That a round took its snapshot, with its digest and counts."""

    round_id: int = Field(primary_key=True, foreign_key="round.id")
    digest: str
    counts: dict[str, Any] = json_column(default_factory=dict)
    at: datetime = Field(default_factory=now)


class SnapshotItem(SQLModel, table=True):
    """What a round decided about one conversation; `person_id` makes every model attributable."""

    __tablename__ = "snapshot_item"
    __table_args__ = (Index("ix_snapshot_item_reason", "round_id", "outcome", "reason", "conversation_id"),)

    round_id: int = Field(primary_key=True, foreign_key="round.id")
    conversation_id: str = Field(primary_key=True)
    person_id: str = Field(index=True)
    outcome: str  # used | held_out | left_out
    reason: str
    part: str | None = None
    source: str | None = None
    tokens: int = 0
    digest: str = ""


class SnapshotWriter(SQLModel, table=True):
    """Trained tokens of a snapshot's item that somebody else than its person wrote, as corrections."""

    __tablename__ = "snapshot_writer"

    round_id: int = Field(primary_key=True, foreign_key="round.id")
    conversation_id: str = Field(primary_key=True)
    person_id: str = Field(primary_key=True)
    tokens: int


class FeedbackFate(SQLModel, table=True):
    """What a round made of one vote, correction or comparison. `rater` is a person's id, never a hash of their name.

    Empty: the conversation and messages of feedback on ids that never came, and `other_id` of a vote. Otherwise that is
    the message of the correction itself, or the answer not preferred; rounds before migration 0003 did not note it.
    """

    __tablename__ = "feedback_fate"

    id: int | None = Field(default=None, primary_key=True)
    round_id: int = Field(foreign_key="round.id", index=True)
    conversation_id: str = Field(index=True)
    message_id: str
    other_id: str = Field(default="", sa_column_kwargs={"server_default": ""})
    rater: str = Field(index=True)
    kind: str  # vote | correction | comparison
    value: int
    outcome: str  # used | held_out | dropped
    rule: str  # the source it was used in, or why it was dropped
    weight: float
