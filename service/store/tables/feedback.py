"""What people said of answers, as it stands, and its append-only history."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from service.store.tables.base import new_id, now


class Vote(SQLModel, table=True):
    """As it stands now. Found by the message's keyed client id, so that a vote may come before its message."""

    __table_args__ = (UniqueConstraint("app_id", "message_hmac", "rater_hmac"), Index("ix_vote_value", "value", "id"))

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    message_hmac: str
    rater_hmac: str
    value: int  # 1 up, -1 down, 0 retracted
    reason: str | None = None  # a tag; what people write is sealed
    source: str = Field(default="person", sa_column_kwargs={"server_default": "person"})  # | judge | implicit
    at: datetime | None = None  # when it was given, where its sender says so
    sealed_comment: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))  # rater's key
    updated_at: datetime = Field(default_factory=now)


class Review(SQLModel, table=True):
    """What a reviewer decided about a conversation, as it stands now. `verdict`: kept or dropped.

    `seen` is the position of the last message that the reviewer was shown; what came later nobody has reviewed.
    """

    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    verdict: str
    seen: int
    by: str
    at: datetime = Field(default_factory=now)


class VoteEvent(SQLModel, table=True):
    """Append-only history of votes."""

    __tablename__ = "vote_event"

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    message_hmac: str = Field(index=True)
    rater_hmac: str
    value: int
    at: datetime = Field(default_factory=now)


class Satisfaction(SQLModel, table=True):
    """1 to 5 for a whole conversation, as it stands now."""

    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    value: int
    updated_at: datetime = Field(default_factory=now)


class Correction(SQLModel, table=True):
    """A better text that a person wrote in place of an answer. All are kept; a person's newest for an answer counts.

    `message_id` is the message that holds the text, a sibling of the corrected one; found by the keyed hash of `id`.
    `refused` is the rule by which curation left it out of its conversation.
    """

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    corrected_message_id: str = Field(foreign_key="message.id", index=True)
    message_id: str = Field(foreign_key="message.id", unique=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    source: str = Field(default="person", sa_column_kwargs={"server_default": "person"})  # | judge | implicit
    at: datetime = Field(default_factory=now)
    retracted_at: datetime | None = None
    refused: str | None = None


class Comparison(SQLModel, table=True):
    """As it stands now, by the keyed client ids of two answers, the smaller hash first; it may come before them."""

    __table_args__ = (UniqueConstraint("app_id", "rater_hmac", "first_hmac", "second_hmac"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    rater_hmac: str
    first_hmac: str = Field(index=True)
    second_hmac: str = Field(index=True)
    value: int  # 1 the first is better, -1 the second is, 0 retracted
    source: str = Field(default="person", sa_column_kwargs={"server_default": "person"})  # | judge | implicit
    at: datetime | None = None  # when it was given, where its sender says so
    updated_at: datetime = Field(default_factory=now)


class ComparisonEvent(SQLModel, table=True):
    """Append-only history of comparisons."""

    __tablename__ = "comparison_event"

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    rater_hmac: str
    first_hmac: str = Field(index=True)
    second_hmac: str = Field(index=True)
    value: int
    at: datetime = Field(default_factory=now)
