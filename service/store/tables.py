"""Every SQL table. Alembic makes the databases from this, the tests' too.

Text columns named `sealed*` hold AES-GCM bytes under a person's key (service/vault.py); nothing here holds plain
user text. Ids are 32 hex digits that sort by the time they were made, unless a comment says otherwise; times are UTC.
"""

from datetime import UTC, datetime
from secrets import token_hex
from time import time_ns
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary, MetaData, UniqueConstraint
from sqlmodel import Field, SQLModel

SQLModel.metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def new_id() -> str:
    """32 hex digits: milliseconds since the epoch, then 80 random bits, so that rows made together lie together."""
    return f"{time_ns() // 1_000_000:012x}{token_hex(10)}"


def now() -> datetime:
    return datetime.now(UTC)


def _json(**kwargs: Any) -> Any:
    return Field(sa_column=Column(JSON, nullable=False), **kwargs)


class KeyCheck(SQLModel, table=True):
    """One row, sealed under the master key when the database was first used: a wrong key is noticed at start."""

    __tablename__ = "key_check"

    id: int = Field(default=1, primary_key=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


# ---- who --------------------------------------------------------------------------------------------------


class App(SQLModel, table=True):
    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now)


class ApiKey(SQLModel, table=True):
    """`hash` is the sha256 of the key; `app_id` null means every app (an administrator's key)."""

    __tablename__ = "api_key"

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str | None = Field(default=None, foreign_key="app.id")
    label: str
    scopes: str  # separated by spaces: ingest read chat rounds models admin
    hash: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now)
    revoked_at: datetime | None = None


class Person(SQLModel, table=True):
    """`hmac` of the app's user id; erasing the person nulls `wrapped_key`, and with it all text is gone."""

    __table_args__ = (UniqueConstraint("app_id", "hmac"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    hmac: str
    wrapped_key: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    created_at: datetime = Field(default_factory=now)
    erased_at: datetime | None = None


# ---- what came in -----------------------------------------------------------------------------------------


class Conversation(SQLModel, table=True):
    """`state`: received -> clean | rejected | quarantined; erased when its person is forgotten.

    `digest` is keyed and covers the messages only. `revision` grows with every append and re-curation is due while
    it is above `curated_revision`. Retention counts from `first_curated_at`, so that nothing that comes later renews it.
    `sealed_secret` seeds the surrogates and goes with the raw text.
    """

    __table_args__ = (UniqueConstraint("app_id", "client_hmac"), Index("ix_conversation_due", "state", "received_at"))

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
    curation_lease_until: float | None = None  # seconds since the epoch; while it runs one worker curates this
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
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    conversation_id: str = Field(foreign_key="conversation.id")  # the unique constraint is its index
    client_hmac: str
    parent_id: str | None = Field(default=None, foreign_key="message.id")
    position: int
    role: str
    served_by: str | None = None
    complete: bool = True
    digest: str = ""  # keyed by the person's key; covers parent, role and content
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class Vote(SQLModel, table=True):
    """As it stands now. Found by the message's keyed client id, so that a vote may come before its message."""

    __table_args__ = (UniqueConstraint("app_id", "message_hmac", "rater_hmac"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    message_hmac: str
    rater_hmac: str
    value: int  # 1 up, -1 down, 0 retracted
    updated_at: datetime = Field(default_factory=now)


class VoteEvent(SQLModel, table=True):
    """Append-only history of votes."""

    __tablename__ = "vote_event"

    id: str = Field(default_factory=new_id, primary_key=True)
    app_id: str = Field(foreign_key="app.id")
    message_hmac: str = Field(index=True)
    rater_hmac: str
    value: int
    at: datetime = Field(default_factory=now)


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


class Satisfaction(SQLModel, table=True):
    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    value: int
    updated_at: datetime = Field(default_factory=now)


# ---- what curation made of it -----------------------------------------------------------------------------


class CleanMessage(SQLModel, table=True):
    """The anonymized text of one message at one revision of its conversation, sealed, with its features."""

    __tablename__ = "clean_message"

    message_id: str = Field(primary_key=True, foreign_key="message.id")
    revision: int = Field(primary_key=True)
    conversation_id: str = Field(foreign_key="conversation.id", index=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    features: dict[str, Any] = _json()


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


class WorkerSeen(SQLModel, table=True):
    """When each worker was last alive; rows older than a day go."""

    __tablename__ = "worker_seen"

    owner: str = Field(primary_key=True)  # host:pid
    at: datetime = Field(default_factory=now)


class Rejection(SQLModel, table=True):
    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    rule: str = Field(index=True)
    detail: str
    at: datetime = Field(default_factory=now)


class Quarantine(SQLModel, table=True):
    conversation_id: str = Field(primary_key=True, foreign_key="conversation.id")
    reason: str
    at: datetime = Field(default_factory=now)


# ---- rounds -----------------------------------------------------------------------------------------------


class Schedule(SQLModel, table=True):
    """A recipe that asks for a round by itself. Slots before `known_since` are never made up."""

    name: str = Field(primary_key=True)  # the recipe's name
    recipe: str  # the YAML text
    cron: str
    known_since: datetime = Field(default_factory=now)


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
    requested_at: datetime = Field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    owner: str | None = None
    lease_until: float | None = None  # seconds since the epoch
    fence: int = 0
    cancel_requested: bool = False
    stage: str | None = None
    message: str = ""
    counts: dict[str, Any] = _json(default_factory=dict)


class Attempt(SQLModel, table=True):
    __table_args__ = (UniqueConstraint("round_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    round_id: int = Field(foreign_key="round.id")
    number: int
    folder: str
    state: str = "running"
    verdict: str | None = None
    reasons: list[str] = _json(default_factory=list)
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
    round_id: int = Field(primary_key=True, foreign_key="round.id")
    digest: str
    counts: dict[str, Any] = _json(default_factory=dict)
    at: datetime = Field(default_factory=now)


class SnapshotItem(SQLModel, table=True):
    """What a round decided about one conversation; `person_id` makes every model attributable."""

    __tablename__ = "snapshot_item"

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


# ---- models -----------------------------------------------------------------------------------------------


class Model(SQLModel, table=True):
    """`kind`: origin or candidate. `parents` are the model ids it was trained on, oldest first."""

    id: str = Field(primary_key=True)  # readable: tiny-origin, tiny-r0001-a1
    kind: str
    recipe_name: str
    round_id: int | None = Field(default=None, foreign_key="round.id")
    parents: list[str] = _json(default_factory=list)
    verdict: str | None = None
    reasons: list[str] = _json(default_factory=list)
    adapter_path: str | None = None
    tainted_at: datetime | None = None
    created_at: datetime = Field(default_factory=now)


class ServedForm(SQLModel, table=True):
    __tablename__ = "served_form"

    model_id: str = Field(primary_key=True, foreign_key="model.id")
    kind: str
    path: str
    sha256: str
    adapter_path: str | None = None
    adapter_sha256: str | None = None
    scale: float = 1.0
    quantization: str
    size_bytes: int
    collected_at: datetime | None = None  # when gc deleted the file


class Promotion(SQLModel, table=True):
    """Append-only; the row with the highest id names the champion."""

    id: int | None = Field(default=None, primary_key=True)
    model_id: str = Field(foreign_key="model.id")
    previous_id: str | None = Field(default=None, foreign_key="model.id")
    kind: str  # first | promote | rollback | automatic
    override_reason: str | None = None
    by: str
    at: datetime = Field(default_factory=now)


class ErasureReceipt(SQLModel, table=True):
    __tablename__ = "erasure_receipt"

    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str = Field(foreign_key="person.id")
    at: datetime = Field(default_factory=now)
    conversations: int
    rounds: list[int] = _json(default_factory=list)
    models: list[str] = _json(default_factory=list)


class Audit(SQLModel, table=True):
    """Who did what, in ids and counts."""

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=now)
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = _json(default_factory=dict)
