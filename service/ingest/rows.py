"""One conversation on its way into the database: its keyed hashes, its digests, its rows."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.ingest.body import encode, message_digest, with_keyed_parts
from service.ingest.prepare import Incoming, NewMessage, NewVote, Outcome, Result
from service.store.tables import new_ids
from service.store.votes import VoteKey
from service.vault import PersonKey, Vault, meta_place, raw_place


class Work(msgspec.Struct, frozen=True):
    """A conversation with its app's id and the keyed hashes of its own, its user's and its messages' ids; its votes."""

    app: str
    given: Incoming
    hmac: str
    person_hmac: str
    messages: list[str]
    parents: list[str | None]
    votes: dict[VoteKey, NewVote]

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
        row_ids = new_ids(len(indices))
        hmacs = [self.messages[index] for index in indices]
        ids = {**stored, **dict(zip(hmacs, row_ids, strict=True))}
        parents = [self.parents[index] for index in indices]
        messages = [self.given.messages[index] for index in indices]
        plains = [_plain(message, key) for message in messages]
        sealed = key.seal_all([plain for plain, _ in plains], map(raw_place, row_ids))
        return [
            {
                "id": row_ids[at],
                "conversation_id": id,
                "client_hmac": hmacs[at],
                "parent_id": None if (parent := parents[at]) is None else ids[parent],
                "position": first_position + at,
                "role": message.role,
                "served_by": message.served_by,
                "state": message.state,
                "model": message.model,
                "occurred_at": message.at,
                "digest": digests[indices[at]],
                "structured": plains[at][1],
                "sealed": sealed[at],
            }
            for at, message in enumerate(messages)
        ]


def _plain(message: NewMessage, key: PersonKey) -> tuple[bytes, bool]:
    """What is sealed of a message, and whether it is more than text."""
    return (message.content.encode(), False) if message.body is None else encode(with_keyed_parts(message.body, key))


def work_on(vault: Vault, app: str, given: Incoming) -> Work:
    """The conversation with everything hashed once."""
    names = [message.id for message in given.messages]
    by_name = dict(zip(names, vault.message_hashes(app, names), strict=True))
    parents = [
        None if m.parent is None else by_name.get(m.parent) or vault.message_hash(app, m.parent) for m in given.messages
    ]
    person = vault.person_hash(app, given.user)
    votes = {}
    for vote in given.votes:  # as `vote_key`, nothing hashed twice
        message = by_name.get(vote.message) or vault.message_hash(app, vote.message)
        votes[VoteKey(app, message, person if vote.rater == given.user else vault.person_hash(app, vote.rater))] = vote
    return Work(
        app=app,
        given=given,
        hmac=vault.conversation_hash(app, given.id),
        person_hmac=person,
        messages=list(by_name.values()),
        parents=parents,
        votes=votes,
    )


def whole_digest(key: PersonKey, messages: Sequence[str], digests: Sequence[str]) -> str:
    """The digest of a conversation's messages together, in the order of their positions."""
    return key.digest(*messages, *digests)


def vote_key(vault: Vault, app: str, vote: NewVote) -> VoteKey:
    """How a vote is known in the database."""
    return VoteKey(app, vote.hashed or vault.message_hash(app, vote.message), vault.person_hash(app, vote.rater))
