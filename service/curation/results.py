"""Stores what curation made of conversations: clean text and clusters, the rule that refused it, or why it is quarantined.

What cannot be stored, whatever is the matter with it, is quarantined by itself: it costs no other of its batch.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from sqlmodel import Session

from pipelines.curate.cluster import same_cluster
from pipelines.records import CleanConversation, CleanMessage, Curated, Part, Rejected, Signature
from service.curation.claim import Job, Unreadable
from service.ingest.body import body_with, encode
from service.store import clusters, corrections, curation, names, tables
from service.store.clock import database_time
from service.store.session import Store, is_collision, is_unavailable
from service.store.tables import Quarantine, Rejection, new_id
from service.vault import Vault, clean_place


@dataclass(frozen=True, slots=True)
class Done:
    """What curation made of a conversation, and the rule by which each correction was left out of it (None: it was not)."""

    job: Job
    result: Curated
    refused: Mapping[str, str | None]


def store_results(store: Store, vault: Vault, done: Sequence[Done]) -> Counter[str]:
    """Stores results; how many became clean, rejected, quarantined. What grew or went meanwhile is passed over."""
    if not done:
        return Counter()
    try:
        return _store(store, vault, done)
    except Exception as error:
        if is_unavailable(error):
            raise
        if len(done) == 1 and is_collision(error):  # it is being forgotten, most likely; if not, the lease ends
            return Counter()
        if len(done) == 1:
            bad = Unreadable(done[0].job.row.id, f"not_stored:{type(error).__name__}")
            return store_unreadable(store, [bad])
    counts: Counter[str] = Counter()
    for one in done:
        counts += store_results(store, vault, [one])
    return counts


def store_unreadable(store: Store, unreadable: Sequence[Unreadable]) -> Counter[str]:
    """Quarantines conversations of which something cannot be read; how many."""
    counts: Counter[str] = Counter()
    for one in unreadable:
        with store.begin() as session:
            counts["quarantined"] += curation.quarantine(session, one.id, one.reason, database_time(session))
    return counts


def _store(store: Store, vault: Vault, done: Sequence[Done]) -> Counter[str]:
    counts: Counter[str] = Counter()
    with store.begin() as session:
        store.lock(session, "clusters")
        # in one order everywhere, so that two workers never wait for each other's rows
        for one in sorted(done, key=lambda one: one.job.row.id):
            row = curation.still_due(session, one.job.row.id, one.job.row.revision)
            if row is not None:
                counts[_store_one(session, vault, one.job, row, one.result)] += 1
                corrections.settle(session, one.refused)
    return counts


def _store_one(session: Session, vault: Vault, job: Job, row: tables.Conversation, result: Curated) -> str:
    at = database_time(session)  # retention counts from it
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


def _store_clean(session: Session, vault: Vault, job: Job, row: tables.Conversation, result: CleanConversation) -> None:
    curation.add_clean(session, [_clean_row(job, row, message) for message in result.messages])
    answers = [message.features for message in result.messages if message.role == "assistant"]
    row.answers = len(answers)
    row.answers_changed = sum(bool(one.surrogates) or one.replaced for one in answers)
    row.answers_replaced = sum(one.replaced for one in answers)
    names.note_mentions(session, row.id, result.names)
    row.language, row.topic = result.language, result.topic
    row.prompt_cluster_id = _prompt_cluster(session, vault, row, result.prompt)
    row.pair_cluster_id = _cluster(session, clusters.PAIR, result.pair)
    row.part = vault.part_of(row.prompt_cluster_id)


def _clean_row(job: Job, row: tables.Conversation, message: CleanMessage) -> dict[str, Any]:
    plain, structured = encode(body_with(message.text, message, message.masked))
    return {
        "message_id": message.id,
        "revision": row.revision,
        "conversation_id": row.id,
        "structured": structured,
        "sealed": job.corrections.get(message.id, job.key).seal(plain, clean_place(message.id, row.revision)),
        "features": message.features.model_dump(mode="json"),
    }


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
    part = row.part if row.part in get_args(Part) else None
    if part is not None and found is not None and vault.part_of(found) != part:
        found = row.prompt_cluster_id if curation.was_used(session, row.id) else found
    if found is None:
        id = new_id()
        while part is not None and vault.part_of(id) != part:
            id = new_id()
        found = clusters.add_cluster(session, clusters.PROMPT, signature, id)
    clusters.remember_text(session, clusters.PROMPT, signature, found)
    return found
