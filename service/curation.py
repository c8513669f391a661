"""Feeds new conversations to pipelines.curate and stores what it made of them, or the reason why not.

Any number of workers may do this at once: each leases what it takes, and a result is stored only if the conversation
still waits for just this revision. What could not be checked is quarantined; nothing is ever passed on unchecked.

Corrections are curated as messages of their conversation, so a name gets one surrogate in both. One that curation
refuses is left out with its rule and never costs the conversation (docs/decisions/corrections.md).
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Any, Protocol

from sqlmodel import Session

from pipelines.curate import quality
from pipelines.curate.cluster import same_cluster
from pipelines.curate.config import CurationConfig
from pipelines.curate.process import CuratorProcess
from pipelines.records import CleanConversation, Conversation, Curated, Message, Rejected, Signature
from service.ingest.prepare import read_meta
from service.settings import Settings
from service.store import clusters, corrections, curation, health, people, tables
from service.store.corrections import StoredCorrection
from service.store.session import Store
from service.store.tables import Quarantine, Rejection, new_id, now
from service.vault import PersonKey, PersonKeys, TextKey, Vault, clean_place, meta_place, raw_place, secret_place

LEASE_SECONDS = 60.0
STORE_EVERY_SECONDS = 1.0
SECRET_BYTES = 32
MAX_CORRECTIONS = 50  # of one conversation, the newest: each may cost a curation of its own


class Curator(Protocol):
    """What makes a conversation clean: pipelines.curate.curate.Curator, or one in a killable process (open_curator)."""

    def curate(self, conversation: Conversation, secret: bytes, key: bytes) -> Curated:
        """The conversation without what identifies anybody, or the rule that rejects it."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """A leased conversation: which revision, its text, its surrogate secret, its person's key, its row ids.

    `corrections` are the keys of the corrections that stand in it, by message, oldest first; `skipped` are those beyond
    MAX_CORRECTIONS.
    """

    row: tables.Conversation
    conversation: Conversation
    secret: bytes
    key: PersonKey
    corrections: Mapping[str, TextKey]
    skipped: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Done:
    """What curation made of a conversation, and the rule by which each correction was left out of it (None: it was not)."""

    job: _Job
    result: Curated
    refused: Mapping[str, str | None]


@contextmanager
def open_curator(settings: Settings) -> Iterator[Curator]:
    """A curator in a child process that is killed when one conversation takes longer than the settings allow.

    Raises:
        InputError: no model for names is configured, and going without one is not allowed.
    """
    config = CurationConfig(ner_model=settings.ner_model, allow_degraded_names=settings.allow_degraded_names)
    with CuratorProcess(config) as process:
        process.start()
        yield _Bounded(process, settings.curation_timeout_seconds)


def curate_due(store: Store, vault: Vault, curator: Curator, limit: int = 32) -> dict[str, int]:
    """Curator up to `limit` of the oldest conversations that wait; returns how many became clean, rejected, quarantined.

    Also tells /healthz that a worker is alive. Empty counts mean that nothing is due.
    """
    health.beat(store, f"{socket.gethostname()}:{os.getpid()}")
    counts: Counter[str] = Counter()
    done: list[_Done] = []
    stored_at = time.monotonic()
    for job in _claim(store, vault, limit):
        done.append(_curate(curator, job, vault.cluster_key))
        if time.monotonic() - stored_at > STORE_EVERY_SECONDS:
            counts += _store(store, vault, done)
            done, stored_at = [], time.monotonic()
    return dict(counts + _store(store, vault, done))


def delete_raw(store: Store, at: datetime, retention_days: int, limit: int = 1_000) -> int:
    """Deletes the raw text and the surrogate secret of conversations first curated more than `retention_days` ago.

    Returns how many; call again while it returns `limit`. What was made clean stays. What came later, a correction or a
    further turn, goes with the rest: it must not keep it.
    """
    with store.begin() as session:
        return curation.delete_originals(session, at - timedelta(days=retention_days), at, limit)


@dataclass(frozen=True)
class _Bounded:
    process: CuratorProcess
    timeout_seconds: float

    def curate(self, conversation: Conversation, secret: bytes, key: bytes) -> Curated:
        return self.process.curate(conversation, secret, key, self.timeout_seconds)


def _claim(store: Store, vault: Vault, limit: int) -> list[_Job]:
    with store.read() as session:  # most calls find nothing, and must not take the write lock for it
        if health.backlog(session).waiting == 0:
            return []
    with store.begin() as session:
        due = curation.claim_due(session, limit, time.time(), LEASE_SECONDS)
        keys = PersonKeys(vault, people.wrapped_key, session)
        ids = [row.id for row in due]
        messages, history = curation.raw_messages(session, ids), corrections.by_conversation(session, ids)
        jobs = []
        for row in due:
            job = _job(row, messages[row.id], history.get(row.id, []), keys)
            if job is not None:
                jobs.append(job)
                session.add(row)
        return jobs


def _job(
    row: tables.Conversation, messages: Sequence[tables.Message], history: Sequence[StoredCorrection], keys: PersonKeys
) -> _Job | None:
    """The conversation with the corrections that stand in it; None if its person was forgotten."""
    key = keys(row.person_id)
    if key is None:
        return None
    secret = token_bytes(SECRET_BYTES)
    if row.sealed_secret is None:
        row.sealed_secret = key.seal(secret, secret_place(row.id))
    else:
        secret = key.unseal(row.sealed_secret, secret_place(row.id))
    standing = corrections.select_standing(history)
    opened = [(one.message_id, keys.of_text(row.person_id, one.person_id)) for one in standing[-MAX_CORRECTIONS:]]
    kept = {message: opener for message, opener in opened if opener is not None}
    others = {one.message_id for one in history} - set(kept)
    conversation = _raw_conversation(row, [m for m in messages if m.id not in others], key, kept)
    return _Job(row, conversation, secret, key, kept, [one.message_id for one in standing[:-MAX_CORRECTIONS]])


def _raw_conversation(
    row: tables.Conversation, messages: Sequence[tables.Message], key: PersonKey, corrections: Mapping[str, TextKey]
) -> Conversation:
    """The conversation as it came in, with the database's ids; its messages must still have their text."""
    hints = read_meta(key.unseal(row.sealed_meta, meta_place(row.id))).hints or {}
    return Conversation(
        id=row.id,
        messages=tuple(
            Message(id=m.id, role=m.role, content=_text(m, corrections.get(m.id, key)), parent=m.parent_id)
            for m in messages
        ),
        language=hints.get("language"),
        topic=hints.get("topic"),
    )


def _text(message: tables.Message, key: TextKey) -> str:
    assert message.sealed is not None, "raw text is deleted only after curation"
    return key.unseal(message.sealed, raw_place(message.id)).decode()


def _curate(curator: Curator, job: _Job, cluster_key: bytes) -> _Done:
    """The conversation with its corrections if all of them pass, else with those that do."""
    result = curator.curate(job.conversation, job.secret, cluster_key)
    skipped: dict[str, str | None] = dict.fromkeys(job.skipped, "too_many_corrections")
    if all(_refusal(result, correction) is None for correction in job.corrections):
        return _Done(job, result, skipped | dict.fromkeys(job.corrections))
    plain = curator.curate(_with_corrections(job, ()), job.secret, cluster_key)
    if not isinstance(plain, CleanConversation):
        return _Done(job, plain, skipped)
    result, refused = plain, skipped
    kept: list[str] = []
    for correction in job.corrections:
        tried = curator.curate(_with_corrections(job, [*kept, correction]), job.secret, cluster_key)
        refused[correction] = _refusal(tried, correction)
        if refused[correction] is None:
            kept.append(correction)
            result = tried
    return _Done(job, result, refused)


def _with_corrections(job: _Job, kept: Sequence[str]) -> Conversation:
    """The conversation with these of its corrections only."""
    messages = [m for m in job.conversation.messages if m.id not in job.corrections or m.id in kept]
    return job.conversation.model_copy(update={"messages": tuple(messages)})


def _refusal(result: Curated, correction: str) -> str | None:
    """The rule that a correction breaks: the conversation's with it, or one of quality by itself."""
    if isinstance(result, Rejected):
        return result.rule
    if not isinstance(result, CleanConversation):
        return f"quarantined:{result.reason}"
    text = [message.text for message in result.messages if message.id == correction]
    if quality.is_gibberish(text):
        return "gibberish"
    return "repetition" if quality.is_repetition(text) else None


def _store(store: Store, vault: Vault, done: Sequence[_Done]) -> Counter[str]:
    counts: Counter[str] = Counter()
    if not done:
        return counts
    with store.begin() as session:
        store.lock(session, "clusters")
        # in one order everywhere, so that two workers never wait for each other's rows
        for one in sorted(done, key=lambda one: one.job.row.id):
            row = curation.still_due(session, one.job.row.id, one.job.row.revision)
            if row is not None:
                counts[_store_one(session, vault, one.job, row, one.result)] += 1
                corrections.settle(session, one.refused)
    return counts


def _store_one(session: Session, vault: Vault, job: _Job, row: tables.Conversation, result: Curated) -> str:
    at = now()
    if isinstance(result, CleanConversation):
        curation.settle(session, row, "clean", at)
        _store_clean(session, vault, job, row, result)
    elif isinstance(result, Rejected):
        curation.settle(session, row, "rejected", at)
        session.add(Rejection(conversation_id=row.id, rule=result.rule, detail=result.detail, at=at))
    else:
        curation.settle(session, row, "quarantined", at)
        session.add(Quarantine(conversation_id=row.id, reason=result.reason, at=at))
    return row.state


def _store_clean(
    session: Session, vault: Vault, job: _Job, row: tables.Conversation, result: CleanConversation
) -> None:
    curation.add_clean(
        session,
        [
            {
                "message_id": message.id,
                "revision": row.revision,
                "conversation_id": row.id,
                "sealed": job.corrections.get(message.id, job.key).seal(
                    message.text.encode(), clean_place(message.id, row.revision)
                ),
                "features": message.features.model_dump(mode="json"),
            }
            for message in result.messages
        ],
    )
    row.language, row.topic = result.language, result.topic
    row.prompt_cluster_id = _prompt_cluster(session, vault, row, result.prompt)
    row.pair_cluster_id = _cluster(session, clusters.PAIR, result.pair)
    row.part = vault.part_of(row.prompt_cluster_id)


def _cluster(session: Session, kind: str, signature: Signature) -> str:
    found = clusters.find_cluster(session, kind, signature, same_cluster)
    id = found or clusters.add_cluster(session, kind, signature)
    clusters.remember_text(session, kind, signature, id)
    return id


def _prompt_cluster(session: Session, vault: Vault, row: tables.Conversation, signature: Signature) -> str:
    """The prompt cluster, whose id decides on the part.

    A conversation that has grown changes its prompt, but what a round may have trained on must not become a test: its
    new cluster gets an id that falls into its old part, and one already trained on stays where it was.
    """
    found = clusters.find_cluster(session, clusters.PROMPT, signature, same_cluster)
    if row.part is not None and found is not None and vault.part_of(found) != row.part:
        found = row.prompt_cluster_id if curation.was_used(session, row.id) else found
    if found is None:
        id = new_id()
        while row.part is not None and vault.part_of(id) != row.part:
            id = new_id()
        found = clusters.add_cluster(session, clusters.PROMPT, signature, id)
    clusters.remember_text(session, clusters.PROMPT, signature, found)
    return found


@dataclass(frozen=True)
class Explanation:
    """What curation did with a conversation: its state, the stored reason, and each step without raw text."""

    state: str
    reason: str | None
    steps: tuple[Mapping[str, Any], ...]


class ExplainingCurator(Protocol):
    """pipelines.curate.curate.Curator."""

    def explain(self, conversation: Conversation, secret: bytes, key: bytes) -> Sequence[Any]:
        """What each step of curation did with this conversation."""
        ...


def explain(store: Store, vault: Vault, curator: ExplainingCurator, row: tables.Conversation) -> Explanation:
    """Why curation came to its result. Without the raw text (erased, or past retention) there are no steps."""
    with store.read() as session:
        rejection, quarantine = session.get(Rejection, row.id), session.get(Quarantine, row.id)
        keys = PersonKeys(vault, people.wrapped_key, session)
        messages = curation.raw_messages(session, [row.id])[row.id]
        history = corrections.by_conversation(session, [row.id]).get(row.id, [])
        job = None if row.raw_deleted_at is not None else _job(row, messages, history, keys)
    reason = None
    if rejection is not None:
        reason = f"{rejection.rule}: {rejection.detail}"
    elif quarantine is not None:
        reason = quarantine.reason
    if job is None:
        return Explanation(row.state, reason, ())
    steps = curator.explain(job.conversation, job.secret, vault.cluster_key)
    return Explanation(row.state, reason, tuple(step.model_dump(exclude_defaults=True) for step in steps))
