"""What came in: conversations and their messages."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from service.store.tables.base import new_id, now

_KEPT = text("raw_deleted_at IS NULL")
_SERVED, _NAMED = text("served_by IS NOT NULL"), text("model IS NOT NULL")


class Conversation(SQLModel, table=True):
    """`state`: received -> clean | rejected | quarantined; erased when its person is forgotten.

    `digest` is keyed and covers the messages only. `revision` grows with every append and re-curation is due while
    it is above `curated_revision`. Retention counts from `first_curated_at`, so that nothing that comes later renews it.
    `sealed_secret` seeds the surrogates and goes with the raw text.
    """

    __table_args__ = (
        UniqueConstraint("app_id", "client_hmac"),
        Index("ix_conversation_due", "state", "heavy", "received_at"),
        Index("ix_conversation_funnel", "state", "consent", "curated_at"),
        Index("ix_conversation_browse", "id", "state", "consent", "app_id", "language", "topic", "part", "occurred_at"),
        Index("ix_conversation_raw", "first_curated_at", sqlite_where=_KEPT, postgresql_where=_KEPT),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    client_hmac: str
    person_id: str = Field(foreign_key="person.id", index=True)
    consent: bool | None = None
    state: str = "received"
    digest: str
    revision: int = 1
    curated_revision: int = 0
    occurred_at: datetime
    received_at: datetime = Field(default_factory=now)
    curated_at: datetime | None = None
    first_curated_at: datetime | None = None
    raw_deleted_at: datetime | None = None
    sealed_meta: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # client id, hints, model, metadata
    sealed_secret: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    # while it waits: costly to curate, so behind all that are not
    heavy: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    curation_lease_until: float | None = None  # seconds since the epoch; while it runs one worker curates this
    # of its clean answers: how many there are, hold surrogates, and teach nothing since
    answers: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    answers_changed: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    answers_replaced: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    language: str | None = None
    topic: str | None = None
    part: str | None = None
    prompt_cluster_id: str | None = Field(default=None, foreign_key="cluster.id", index=True)
    pair_cluster_id: str | None = Field(default=None, foreign_key="cluster.id", index=True)


class Message(SQLModel, table=True):
    """`client_hmac` is the keyed hash of the app's message id, by which votes find it. `sealed` goes after retention."""

    __table_args__ = (
        UniqueConstraint("conversation_id", "client_hmac"),
        Index("ix_message_client_hmac", "client_hmac"),
        Index("ix_message_served_by", "served_by", "conversation_id", sqlite_where=_SERVED, postgresql_where=_SERVED),
        Index("ix_message_model", "model", "conversation_id", sqlite_where=_NAMED, postgresql_where=_NAMED),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    conversation_id: str = Field(foreign_key="conversation.id")  # the unique constraint is its index
    client_hmac: str
    parent_id: str | None = Field(default=None, foreign_key="message.id")
    position: int
    role: str
    served_by: str | None = None
    state: str = Field(default="complete", sa_column_kwargs={"server_default": "complete"})  # | unfinished | error
    model: str | None = None  # what the sender calls the model that wrote it; ours are in served_by
    occurred_at: datetime | None = None  # null: with its conversation
    digest: str = ""  # keyed by the person's key; covers parent, role and what it says (service/ingest/body.py)
    structured: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # sealed is JSON, not text
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
