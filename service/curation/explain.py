"""What curation did with one conversation: its state, the stored reason, and each step without raw text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.records import Conversation
from service.curation.claim import Job, open_job
from service.store import corrections, curation, people, tables
from service.store.session import Store, is_unavailable
from service.store.tables import Quarantine, Rejection
from service.vault import PersonKeys, Vault


@dataclass(frozen=True)
class Explanation:
    """What curation did with a conversation: its state, the stored reason, and each step without raw text."""

    state: str
    reason: str | None
    steps: tuple[Mapping[str, Any], ...]


class ExplainingCurator(Protocol):
    """pipelines.curate.curate.Curator."""

    def explain(self, conversation: Conversation, secret: bytes, key: bytes) -> Sequence[Any]:
        """The steps of curating this conversation, without its text."""


def explain(store: Store, vault: Vault, curator: ExplainingCurator, row: tables.Conversation) -> Explanation:
    """Why curation came to its result. Without the raw text (erased, unreadable, past retention) there are no steps."""
    with store.read() as session:
        rejection, quarantine = session.get(Rejection, row.id), session.get(Quarantine, row.id)
    reason = None
    if rejection is not None:
        reason = f"{rejection.rule}: {rejection.detail}"
    elif quarantine is not None:
        reason = quarantine.reason
    job = None if row.raw_deleted_at is not None else _read(store, vault, row)
    if job is None:
        return Explanation(row.state, reason, ())
    steps = curator.explain(job.conversation, job.secret, vault.cluster_key)
    return Explanation(row.state, reason, tuple(step.model_dump(exclude_defaults=True) for step in steps))


def _read(store: Store, vault: Vault, row: tables.Conversation) -> Job | None:
    with store.read() as session:
        messages = curation.raw_messages(session, [row.id])[row.id]
        history = corrections.by_conversation(session, [row.id]).get(row.id, [])
        try:
            return open_job(row, messages, history, PersonKeys(vault, people.wrapped_key, session))
        except Exception as error:  # whatever it is that is damaged: the stored reason says so
            if is_unavailable(error):
                raise
            return None
