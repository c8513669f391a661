"""What curation made of conversations, and the workers that do it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, LargeBinary, false
from sqlmodel import Field, SQLModel

from service.store.tables.base import json_column, new_id, now


class CleanMessage(SQLModel, table=True):
    """The anonymized text of one message at one revision of its conversation, sealed, with its features."""

    __tablename__ = "clean_message"

    message_id: str = Field(primary_key=True, foreign_key="message.id")
    revision: int = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversation.id", index=True)
    structured: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # sealed is JSON, not text
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    features: dict[str, Any] = json_column()


class NameMention(SQLModel, table=True):
    """That a user's turn of a conversation holds a full name, by its keyed hash: no name is stored."""

    __tablename__ = "name_mention"

    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    name_hmac: str = Field(primary_key=True, index=True)


class Cluster(SQLModel, table=True):
    """Near-duplicates of one kind (prompt or pair); the first member's signature stands for it."""

    __table_args__ = (Index("ix_cluster_exact", "kind", "exact"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    kind: str
    exact: str
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ClusterText(SQLModel, table=True):
    """Exact texts known to belong to a cluster, so that each further copy is one lookup."""

    __tablename__ = "cluster_text"

    kind: str = Field(primary_key=True)
    exact: str = Field(primary_key=True)
    cluster_id: str = Field(foreign_key="cluster.id", index=True)


class Band(SQLModel, table=True):
    """MinHash bands: two long texts that share one are compared."""

    __table_args__ = (Index("ix_band_lookup", "kind", "number", "hash"),)

    cluster_id: str = Field(primary_key=True, foreign_key="cluster.id")
    number: int = Field(primary_key=True)
    kind: str
    hash: str  # signed 64-bit number as text: both databases compare it the same way


class Rejection(SQLModel, table=True):
    """The rule by which curation rejected a conversation."""

    __table_args__ = (Index("ix_rejection_rule", "rule", "conversation_id"),)

    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    rule: str
    detail: str
    at: datetime = Field(default_factory=now)


class Quarantine(SQLModel, table=True):
    """Why a conversation could not be checked; it is never trained on."""

    __table_args__ = (Index("ix_quarantine_reason", "reason", "conversation_id"),)

    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    reason: str
    at: datetime = Field(default_factory=now)


class WorkerSeen(SQLModel, table=True):
    """When each worker was last alive, and whether it said that it ends; rows older than a day go."""

    __tablename__ = "worker_seen"

    owner: str = Field(primary_key=True)  # host:pid
    at: datetime = Field(default_factory=now)
    ended: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class WorkerCrash(SQLModel, table=True):
    """A worker that ended without having been told to; rows older than a day go."""

    __tablename__ = "worker_crash"

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str  # host:pid
    how: str  # the kind of error, or that it was killed; no text of anybody's
    at: datetime = Field(default_factory=now, index=True)
