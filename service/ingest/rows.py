"""One conversation on its way into the database: its keyed hashes, its digests, its rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.ingest.body import encode, message_digest, with_keyed_parts
from service.ingest.prepare import Incoming, NewMessage, NewVote, Outcome, Result
from service.store.tables import new_id
from service.store.votes import VoteKey
from service.vault import PersonKey, Vault, meta_place, raw_place


@dataclass(frozen=True, slots=True)
class Work:
    """A conversation with its app's id and the keyed hashes of its own, its user's and its messages' ids."""

    app: str
    given: Incoming
    hmac: str
    person_hmac: str
    messages: list[str]
    parents: list[str | None]

    def digests(self, key: PersonKey) -> list[str]:
        """A keyed digest of each message: what must not change once it is stored."""
        return [message_digest(key, m.parent or "", m.role, m.content, m.body) for m in self.given.messages]

    def refuse_unknown_parent(self, stored: Collection[str]) -> Outcome | None:
        """The refusal if a message follows one that is neither stored nor sent; None if all is well."""
        known = set(stored)
        for index, parent in enumerate(self.parents):
            if parent is not None and parent not in known:
                message = self.given.messages[index]
                return self.outcome(
                    "invalid",
                    f"messages[{index}].parent: {(message.parent or '')[:80]!r} is not a message of this conversation",
                )
            known.add(self.messages[index])
        return None

    def outcome(self, result: Result, detail: str | None = None) -> Outcome:
        """The answer to the sender."""
        return Outcome(self.given.id, result, detail)

    def votes(self, vault: Vault) -> dict[VoteKey, NewVote]:
        """The votes in it, by their key."""
        return {vote_key(vault, self.app, vote): vote for vote in self.given.votes}

    def conversation_row(self, id: str, person_id: str, key: PersonKey, digest: str, now: datetime) -> dict[str, Any]:
        """The row of the table of conversations, its text sealed."""
        return {
            "id": id,
            "app_id": self.app,
            "client_hmac": self.hmac,
            "person_id": person_id,
            "consent": self.given.consent,
            "state": "received",
            "digest": digest,
            "revision": 1,
            "curated_revision": 0,
            "occurred_at": self.given.occurred_at,
            "received_at": now,
            "sealed_meta": key.seal(self.given.meta, meta_place(id)),
        }

    def message_rows(
        self,
        id: str,
        key: PersonKey,
        indices: Sequence[int],
        digests: Sequence[str],
        stored: Mapping[str, str],
        first_position: int = 0,
    ) -> list[dict[str, Any]]:
        """Rows of the messages at these indices; `stored` are the row ids of earlier messages by keyed hash."""
        ids = dict(stored)
        rows = []
        for position, index in enumerate(indices, first_position):
            message, row_id = self.given.messages[index], new_id()
            ids[self.messages[index]] = row_id
            parent = self.parents[index]
            plain, structured = _plain(message, key)
            rows.append(
                {
                    "id": row_id,
                    "conversation_id": id,
                    "client_hmac": self.messages[index],
                    "parent_id": None if parent is None else ids[parent],
                    "position": position,
                    "role": message.role,
                    "served_by": message.served_by,
                    "state": message.state,
                    "model": message.model,
                    "occurred_at": message.at,
                    "digest": digests[index],
                    "structured": structured,
                    "sealed": key.seal(plain, raw_place(row_id)),
                }
            )
        return rows


def _plain(message: NewMessage, key: PersonKey) -> tuple[bytes, bool]:
    """What is sealed of a message, and whether it is more than text."""
    return (message.content.encode(), False) if message.body is None else encode(with_keyed_parts(message.body, key))


def work_on(vault: Vault, app: str, given: Incoming) -> Work:
    """The conversation with everything hashed once."""
    by_name = {message.id: vault.message_hash(app, message.id) for message in given.messages}
    parents = [
        None if m.parent is None else by_name.get(m.parent) or vault.message_hash(app, m.parent) for m in given.messages
    ]
    return Work(
        app=app,
        given=given,
        hmac=vault.conversation_hash(app, given.id),
        person_hmac=vault.person_hash(app, given.user),
        messages=list(by_name.values()),
        parents=parents,
    )


def whole_digest(key: PersonKey, messages: Sequence[str], digests: Sequence[str]) -> str:
    """The digest of a conversation's messages together, in the order of their positions."""
    return key.digest(*messages, *digests)


def vote_key(vault: Vault, app: str, vote: NewVote) -> VoteKey:
    """How a vote is known in the database."""
    return VoteKey(app, vault.message_hash(app, vote.message), vault.person_hash(app, vote.rater))
