"""Every SQL table, one file per subject. Alembic makes the databases from this, the tests' too.

Text columns named `sealed*` hold AES-GCM bytes under a person's key (service/vault.py); nothing here holds plain
user text. Ids are 32 hex digits that sort by the time they were made, unless a comment says otherwise; times are UTC.
"""

from sqlmodel import SQLModel

from service.store.tables.audit import Audit, ErasureReceipt
from service.store.tables.base import new_id, new_ids, now
from service.store.tables.conversations import Conversation, Message
from service.store.tables.curation import (
    Band,
    CleanMessage,
    Cluster,
    ClusterText,
    NameMention,
    Quarantine,
    Rejection,
    WorkerCrash,
    WorkerSeen,
)
from service.store.tables.deployments import ChampionWatch, Deployment
from service.store.tables.feedback import Comparison, ComparisonEvent, Correction, Review, Satisfaction, Vote, VoteEvent
from service.store.tables.models import Model, Promotion, ServedForm
from service.store.tables.people import ApiKey, App, BoundKeyStore, KeyCheck, Person
from service.store.tables.rounds import (
    Attempt,
    FeedbackFate,
    Round,
    Schedule,
    Snapshot,
    SnapshotItem,
    SnapshotWriter,
    Stage,
)
from service.store.tables.users import SignInFailures, User
from service.store.tables.watch import RetentionLook, WriteProbe

__all__ = [
    "ApiKey",
    "App",
    "Attempt",
    "Audit",
    "Band",
    "BoundKeyStore",
    "ChampionWatch",
    "CleanMessage",
    "Cluster",
    "ClusterText",
    "Comparison",
    "ComparisonEvent",
    "Conversation",
    "Correction",
    "Deployment",
    "ErasureReceipt",
    "FeedbackFate",
    "KeyCheck",
    "Message",
    "NameMention",
    "Model",
    "Person",
    "Promotion",
    "Quarantine",
    "Rejection",
    "RetentionLook",
    "Review",
    "Round",
    "SQLModel",
    "Satisfaction",
    "Schedule",
    "ServedForm",
    "SignInFailures",
    "Snapshot",
    "SnapshotItem",
    "SnapshotWriter",
    "Stage",
    "User",
    "Vote",
    "VoteEvent",
    "WorkerCrash",
    "WorkerSeen",
    "WriteProbe",
    "new_id",
    "new_ids",
    "now",
]
