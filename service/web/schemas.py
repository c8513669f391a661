"""What the ingest routes answer, for people and for /openapi.json."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


class Problem(BaseModel):
    """RFC 9457: every error looks like this. `id` is what the log has of a 500, `error` what OpenAI's clients read."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    id: str = ""
    error: dict[str, str | None] = {}


class ItemStatus(BaseModel):
    """What became of one conversation: 201 stored, 200 known or appended to, 409 changed, 422 malformed, 500 for the one
    of a list that could not be stored through no fault of its own. `notes` say what was not kept, or will not be used."""

    id: str | None
    status: int
    result: Literal["created", "appended", "unchanged", "conflict", "invalid", "failed"]
    detail: str | None = None
    notes: list[str] = []


class LineProblem(BaseModel):
    """A line of a stream that was not stored; lines count from 1."""

    line: int
    status: int
    detail: str


class ImportSummary(BaseModel):
    """Counts of a stream's lines, and the first 1,000 that were not stored; `notes` count what was not kept of others.

    Nothing is learned from the new ones `without_consent`.
    """

    created: int = 0
    appended: int = 0
    unchanged: int = 0
    conflict: int = 0
    invalid: int = 0
    failed: int = 0
    lines: int = 0
    without_consent: int = 0
    notes: dict[str, int] = {}
    problems: list[LineProblem] = []


class VoteStatus(BaseModel):
    """The vote as it stands; `changed` is false if it stood so already."""

    message: str
    value: Literal["up", "down"] | None
    changed: bool


class CorrectionStatus(BaseModel):
    """`id` names the text that stands, as a message id too; `changed` is false if it stood so already."""

    id: str | None
    message: str
    changed: bool


class ComparisonStatus(BaseModel):
    """The comparison as it stands, by message ids; null where it was taken back.

    `pending` are ids of messages that are not stored: it counts once they are, so one that never comes is a wrong id.
    """

    chosen: str | None
    rejected: str | None
    changed: bool
    pending: list[str] = []
    notes: list[str] = []


class VoteCounts(BaseModel):
    """How many votes of each value stand."""

    up: int
    down: int


class MessageFeedback(BaseModel):
    """What people say about one answer as it stands. Positions count the messages from 0, in the order they came.

    A correction stands as a message of its own: `corrects` is the position of the answer it replaces, `id` its id, and
    `state` says whether it counts; `rule` is why curation refused it. `preferred` and `passed_over` count comparisons
    with another answer to the same message; `not_comparable` those with one that is not here, or answers another.
    """

    position: int
    up: int = 0
    down: int = 0
    corrections: int = 0
    preferred: int = 0
    passed_over: int = 0
    not_comparable: int = 0
    corrects: int | None = None
    id: str | None = None
    state: Literal["stands", "superseded", "retracted", "refused"] | None = None
    rule: str | None = None


class FeedbackUse(BaseModel):
    """What one round made of one vote, correction or comparison: `rule` is where it was used, or why it was dropped.

    `other` is the position of the second message that it names: the correction itself, or the answer not preferred. Null
    for a vote, for a message of another conversation, and in rounds from before it was noted.
    """

    position: int | None
    other: int | None
    kind: Literal["vote", "correction", "comparison"]
    value: int
    outcome: Literal["used", "held_out", "dropped"]
    rule: str
    weight: float


class Use(BaseModel):
    """What one round decided about a conversation, and about each piece of feedback on it.

    The reason is `not_clean` where the conversation was not curated, rejected or quarantined at that time.
    """

    round: int
    outcome: Literal["used", "held_out", "left_out"]
    reason: str
    feedback: list[FeedbackUse] = []


class ConversationStatus(BaseModel):
    """Where a conversation stands. `rule` is set if it was rejected, `reason` if it is quarantined.

    `messages` are its answers and corrections.
    """

    id: str
    state: Literal["received", "clean", "rejected", "quarantined", "erased"]
    revision: int
    consent: bool | None
    satisfaction: int | None
    votes: VoteCounts
    messages: list[MessageFeedback] = []
    language: str | None = None
    topic: str | None = None
    part: Literal["train", "dev", "heldout"] | None = None
    rule: str | None = None
    reason: str | None = None
    detail: str | None = None
    received_at: datetime
    curated_at: datetime | None = None
    rounds: list[Use] = []


class CurationHealth(BaseModel):
    """How far curation is behind; `oldest_seconds` is the age of the oldest conversation that waits."""

    waiting: int
    oldest_seconds: float | None


class ObstacleOut(BaseModel):
    """One thing that keeps conversations from becoming a better model, and its cure.

    `degrades` is true where something that should work does not, false where only data or a first step is missing.
    """

    name: str
    sentence: str
    cure: str
    degrades: bool


class Health(BaseModel):
    """`status` is ok, degraded (stored, but something else does not work) or down (nothing can be stored).

    Only down answers 503: a balancer should go on sending conversations while they are kept. `problems` are the
    sentences behind the status; `obstacles` is everything that stops the wheel, with what lacks data too. Whoever has no
    key that may read for every app gets `status` and `database` only, the rest null or empty.
    """

    status: Literal["ok", "degraded", "down"]
    database: Literal["writable", "unavailable"]
    queue: int | None = None
    curation: CurationHealth | None = None
    worker_seen_seconds_ago: float | None = None
    problems: list[str] = []
    obstacles: list[ObstacleOut] = []


class Readiness(BaseModel):
    """Whether this process can store what it is sent, and if not, why."""

    ready: bool
    why: str | None = None
