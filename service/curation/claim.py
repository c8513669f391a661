"""Takes conversations that wait for curation, and opens them: their text, the corrections in it, the surrogate secret.

Corrections are curated as messages of their conversation, so a name gets one surrogate in both. A row that cannot be
opened, whatever is the matter with it, is told apart from the others of its batch: it is the only one to suffer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_bytes

import msgspec
from sqlmodel import Session

from pipelines.records import Conversation, Message
from service.curation.budget import Spending
from service.ingest.body import decode, extras_of
from service.ingest.meta import read_meta
from service.store import corrections, curation, people, tables
from service.store.clock import database_seconds
from service.store.corrections import StoredCorrection
from service.store.session import Store, is_collision, is_unavailable
from service.vault import PersonKey, PersonKeys, TextKey, Vault, meta_place, raw_place, secret_place

LEASE_SECONDS = 60.0
SECRET_BYTES = 32
MAX_CANDIDATES = 500
MAX_CORRECTIONS = 50  # of one conversation, the newest: each may cost a curation of its own


@dataclass(frozen=True, slots=True)
class Job:
    """A leased conversation: which revision, its text, its surrogate secret, its person's key, its row ids.

    `corrections` are the keys of the corrections that stand in it, by message, oldest first; `writers` who wrote each;
    `skipped` are those beyond MAX_CORRECTIONS.
    """

    row: tables.Conversation
    conversation: Conversation
    secret: bytes
    key: PersonKey
    corrections: Mapping[str, TextKey]
    writers: Mapping[str, str]
    skipped: Sequence[str] = ()

    def characters(self) -> Mapping[str, int]:
        """How much of the text each person is the reason of: those of a correction its writer, all others the owner."""
        counts: Counter[str] = Counter()
        for message in self.conversation.messages:
            counts[self.writers.get(message.id, self.row.person_id)] += _size(message)
        return counts

    def weight(self) -> int:
        """The characters that curation may have to read: all of them again for each correction, if one is refused."""
        tries = len(self.corrections) + 2 if self.corrections else 1
        return tries * sum(_size(message) for message in self.conversation.messages)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A leased conversation of which something stored cannot be read; the reason quotes nothing of it."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was leased."""

    jobs: Sequence[Job] = field(default_factory=list)
    unreadable: Sequence[Unreadable] = field(default_factory=list)


def claim(store: Store, vault: Vault, limit: int) -> Claimed:
    """Leases the oldest of those conversations that wait, are not heavy, and nobody works on; opens them."""
    with store.read() as session:  # most calls find nothing, and must not take the write lock for it
        if not curation.is_due(session, heavy=False):
            return Claimed()
    with store.begin() as session:
        ids = curation.lease_light(session, limit, database_seconds(session), LEASE_SECONDS)
    return _open(store, vault, ids)


def claim_heavy(store: Store, vault: Vault, spending: Spending) -> Claimed:
    """Leases one of the heavy conversations that wait: the oldest of whoever had least of this worker's time lately."""
    with store.read() as session:
        candidates = curation.heavy_due(session, MAX_CANDIDATES, database_seconds(session))
    if not candidates:
        return Claimed()
    id, _ = min(candidates, key=lambda one: spending.of([one[1]]))  # of equals the first, which is the oldest
    with store.begin() as session:
        ids = curation.lease_one(session, id, database_seconds(session), LEASE_SECONDS)
    return _open(store, vault, ids)


def open_job(
    row: tables.Conversation, messages: Sequence[tables.Message], history: Sequence[StoredCorrection], keys: PersonKeys
) -> Job | None:
    """The conversation with the corrections that stand in it; None if its person's key is gone.

    Raises:
        ArtifactError: something sealed cannot be opened, or holds what it must not; other errors where it is damaged.
    """
    key = keys(row.person_id)
    if key is None:
        return None
    if row.sealed_secret is None:
        secret = token_bytes(SECRET_BYTES)
        row.sealed_secret = key.seal(secret, secret_place(row.id))
    else:
        secret = key.unseal(row.sealed_secret, secret_place(row.id))
    standing = corrections.select_standing(history)
    opened = [(one, keys.of_text(row.person_id, one.person_id)) for one in standing[-MAX_CORRECTIONS:]]
    kept = {one.message_id: opener for one, opener in opened if opener is not None}
    others = {one.message_id for one in history} - set(kept)
    return Job(
        row=row,
        conversation=_raw_conversation(row, [m for m in messages if m.id not in others], key, kept),
        secret=secret,
        key=key,
        corrections=kept,
        writers={one.message_id: one.person_id for one, _ in opened},
        skipped=[one.message_id for one in standing[:-MAX_CORRECTIONS]],
    )


def _open(store: Store, vault: Vault, ids: Sequence[str]) -> Claimed:
    """All at once; if that fails, each by itself, so that what is wrong with one is known and costs no other."""
    try:
        with store.begin() as session:
            return _jobs(session, vault, ids)
    except Exception as error:
        if is_unavailable(error):
            raise
        if len(ids) == 1 and is_collision(error):  # it is being forgotten, most likely; if not, the lease ends
            return Claimed()
        if len(ids) == 1:
            return Claimed(unreadable=[Unreadable(ids[0], f"unreadable:{type(error).__name__}")])
    each = [_open(store, vault, [id]) for id in ids]
    return Claimed([job for one in each for job in one.jobs], [bad for one in each for bad in one.unreadable])


def _jobs(session: Session, vault: Vault, ids: Sequence[str]) -> Claimed:
    keys = PersonKeys(vault, people.wrapped_key, session)
    messages, history = curation.raw_messages(session, ids), corrections.by_conversation(session, ids)
    jobs, unreadable = [], []
    for row in curation.leased(session, ids):
        job = open_job(row, messages[row.id], history.get(row.id, []), keys)
        if job is None:
            unreadable.append(Unreadable(row.id, curation.KEY_GONE))
        else:
            jobs.append(job)
            session.add(row)
    return Claimed(jobs, unreadable)


def _raw_conversation(
    row: tables.Conversation, messages: Sequence[tables.Message], key: PersonKey, corrections: Mapping[str, TextKey]
) -> Conversation:
    """The conversation as it came in, with the database's ids; its messages must still have their text."""
    meta = read_meta(key.unseal(row.sealed_meta, meta_place(row.id)))
    hints = meta.hints or {}
    return Conversation(
        id=row.id,
        messages=tuple(_raw_message(message, corrections.get(message.id, key)) for message in messages),
        language=hints.get("language"),
        topic=hints.get("topic"),
        tools=msgspec.json.encode(meta.tools).decode() if meta.tools else "",
    )


def _raw_message(row: tables.Message, key: TextKey) -> Message:
    assert row.sealed is not None, "raw text is deleted only after curation"
    body = decode(key.unseal(row.sealed, raw_place(row.id)), row.structured)
    facts = {"id": row.id, "role": row.role, "content": body.content, "parent": row.parent_id, "state": row.state}
    return Message.model_validate(facts | extras_of(body))


def _size(message: Message) -> int:
    return len(message.content) + len(message.reasoning) + sum(len(call.arguments) for call in message.tool_calls)
