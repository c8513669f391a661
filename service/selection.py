"""What the snapshot reads: clean conversations with their votes as they stand, and clean text by key.

The rules of selection are pipelines/stages/snapshot.py; here the rows become its records, and text is unsealed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar

from sqlalchemy import and_, case, func
from sqlmodel import Session, col, select

from pipelines.errors import Cancelled
from pipelines.records import Candidate, MessageKey, RatedMessage
from service.store.session import Store
from service.store.tables import (
    CleanMessage,
    Conversation,
    Message,
    Person,
    Quarantine,
    Rejection,
    Satisfaction,
    Vote,
)
from service.vault import PersonKey, PersonKeys, Vault, clean_place

_CHUNK = 400  # rows per query: below every database's limit on bound values
_Item = TypeVar("_Item")


class _Votes(NamedTuple):
    up: int
    down: int
    at: datetime | None


class StoreCorpus:
    """A round's view of the database (the Corpus of pipelines.records).

    `seen` are the conversations that the champion's lineage has trained on or held out: they are replay (held-out
    ones are older data), the others new.
    """

    def __init__(self, store: Store, vault: Vault, seen: frozenset[str] = frozenset()) -> None:
        self._store, self._vault, self._seen = store, vault, seen
        self._outcomes: Mapping[str, int] | None = None

    def candidates(self) -> Iterator[Candidate]:
        """Every clean conversation of a person who was not erased, in one consistent read, oldest first."""
        with self._store.read() as session:
            self._outcomes = _outcomes(session)
            keys = PersonKeys(self._vault, _wrapped_key, session)
            for chunk in _chunks(_clean_conversations(session)):
                yield from self._rated(session, keys, chunk)

    def outcomes(self) -> Mapping[str, int]:
        """Conversations that are not clean, by rule; of the same moment as the last `candidates`."""
        if self._outcomes is None:
            with self._store.read() as session:
                self._outcomes = _outcomes(session)
        return self._outcomes

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, str]:
        """The clean text of these message revisions.

        Raises:
            Cancelled: the text is gone, because its person was erased after the snapshot.
        """
        found: dict[MessageKey, str] = {}
        with self._store.read() as session:
            people = PersonKeys(self._vault, _wrapped_key, session)
            for chunk in _chunks(keys):
                found |= _unsealed(session, people, chunk)
        missing = sum(key not in found for key in keys)
        if missing:
            raise Cancelled(f"{missing} messages of this round are gone: a person was erased after the snapshot")
        return found

    def _rated(self, session: Session, keys: PersonKeys, chunk: Sequence[Conversation]) -> Iterator[Candidate]:
        ids = [conversation.id for conversation in chunk]
        messages, votes, satisfaction = _messages(session, ids), _votes(session, ids), _satisfaction(session, ids)
        for conversation in chunk:
            key = keys(conversation.person_id)
            if key is None:
                continue
            rated = tuple(_rated_message(key, m, clean, votes.get(m.id)) for m, clean in messages[conversation.id])
            if rated:
                yield self._candidate(conversation, satisfaction.get(conversation.id), rated)

    def _candidate(
        self, conversation: Conversation, satisfaction: int | None, messages: tuple[RatedMessage, ...]
    ) -> Candidate:
        prompt = conversation.prompt_cluster_id or conversation.id
        return Candidate(
            conversation=conversation.id, person=conversation.person_id, app=conversation.app_id,
            occurred_at=conversation.occurred_at, consent=conversation.consent, satisfaction=satisfaction,
            language=conversation.language or "unknown", topic=conversation.topic or "unknown", prompt_cluster=prompt,
            pair_cluster=conversation.pair_cluster_id or conversation.id, part=self._vault.part_of(prompt),
            seen=conversation.id in self._seen, messages=messages,
        )  # fmt: skip


def _clean_conversations(session: Session) -> Iterable[Conversation]:
    query = select(Conversation).where(col(Conversation.state) == "clean")
    return session.exec(query.order_by(col(Conversation.occurred_at), col(Conversation.id))).yield_per(_CHUNK)


def _messages(session: Session, conversations: Sequence[str]) -> dict[str, list[tuple[Message, CleanMessage]]]:
    """Each conversation's messages in order, with the newest clean revision of each."""
    newest = (
        select(col(CleanMessage.message_id).label("id"), func.max(CleanMessage.revision).label("revision"))
        .where(col(CleanMessage.conversation_id).in_(conversations))
        .group_by(col(CleanMessage.message_id))
        .subquery()
    )
    query = (
        select(Message, CleanMessage)
        .join(newest, newest.c.id == col(Message.id))
        .join(CleanMessage, and_(col(CleanMessage.message_id) == newest.c.id, col(CleanMessage.revision) == newest.c.revision))
        .order_by(col(Message.conversation_id), col(Message.position))
    )
    found: dict[str, list[tuple[Message, CleanMessage]]] = defaultdict(list)
    for message, clean in session.exec(query).all():
        found[message.conversation_id].append((message, clean))
    return found


def _votes(session: Session, conversations: Sequence[str]) -> dict[str, _Votes]:
    """Votes by message id; retracted ones count for nothing."""
    query = (
        select(
            col(Message.id),
            func.sum(case((col(Vote.value) > 0, 1), else_=0)),
            func.sum(case((col(Vote.value) < 0, 1), else_=0)),
            func.max(col(Vote.updated_at)),
        )
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .join(Vote, and_(col(Vote.app_id) == col(Conversation.app_id), col(Vote.message_hmac) == col(Message.client_hmac)))
        .where(col(Message.conversation_id).in_(conversations))
        .group_by(col(Message.id))
    )
    return {message: _Votes(int(up), int(down), at) for message, up, down, at in session.exec(query).all()}


def _satisfaction(session: Session, conversations: Sequence[str]) -> dict[str, int]:
    query = select(Satisfaction.conversation_id, Satisfaction.value)
    return dict(session.exec(query.where(col(Satisfaction.conversation_id).in_(conversations))).all())


def _rated_message(key: PersonKey, message: Message, clean: CleanMessage, votes: _Votes | None) -> RatedMessage:
    return RatedMessage.model_validate({
        "key": MessageKey(message=message.id, revision=clean.revision), "role": message.role,
        "parent": message.parent_id, "text": _open(key, clean), "up": votes.up if votes else 0,
        "down": votes.down if votes else 0, "mixing": clean.features.get("mixing", 0.0),
        "voted_at": votes.at if votes else None, "complete": message.complete,
    })  # fmt: skip


def _unsealed(session: Session, people: PersonKeys, keys: Sequence[MessageKey]) -> dict[MessageKey, str]:
    wanted = set(keys)
    query = (
        select(CleanMessage, Conversation.person_id)
        .join(Conversation, col(Conversation.id) == col(CleanMessage.conversation_id))
        .where(col(CleanMessage.message_id).in_({key.message for key in keys}))
    )
    found = {}
    for clean, person in session.exec(query).all():
        named = MessageKey(message=clean.message_id, revision=clean.revision)
        key = people(person) if named in wanted else None
        if key is not None:
            found[named] = _open(key, clean)
    return found


def _open(key: PersonKey, clean: CleanMessage) -> str:
    return key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)).decode()


def _wrapped_key(session: Session, person_id: str) -> bytes | None:
    return session.exec(select(Person.wrapped_key).where(col(Person.id) == person_id)).one_or_none()


def _outcomes(session: Session) -> dict[str, int]:
    rejected = session.exec(select(Rejection.rule, func.count()).group_by(Rejection.rule)).all()
    quarantined = session.exec(select(Quarantine.reason, func.count()).group_by(Quarantine.reason)).all()
    states = select(Conversation.state, func.count()).where(col(Conversation.state).in_(("received", "erased")))
    waiting = {"received": "not_curated_yet", "erased": "erased"}
    found = {rule: int(count) for rule, count in rejected}
    found |= {f"quarantined: {reason}": int(count) for reason, count in quarantined}
    found |= {waiting[state]: int(count) for state, count in session.exec(states.group_by(Conversation.state)).all()}
    return found


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
