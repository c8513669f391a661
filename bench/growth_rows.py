"""Stored conversations in any number, made straight into the tables: sealed, clustered and rated as real ones are.

A quarter of the texts are long enough for MinHash bands. Bands are random, as those of texts that nobody else wrote; the
rest goes through the vault. Only the time of making them is saved: no parsing, no curation.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_bytes, token_hex
from typing import Any

from sqlmodel import Session, SQLModel

from pipelines.records import Signature
from service.ingest.meta import describe
from service.store import people
from service.store.bulk import insert_ignoring_conflicts
from service.store.clusters import PAIR, PROMPT
from service.store.session import Store
from service.store.tables import (
    Band,
    CleanMessage,
    Cluster,
    ClusterText,
    Conversation,
    Message,
    Satisfaction,
    Vote,
    VoteEvent,
    new_id,
    now,
)
from service.vault import PersonKey, Vault, clean_place, meta_place, raw_place, secret_place

CHUNK = 2_000  # conversations in one transaction
PER_PERSON = 8
_DAYS = 365
_CACHE_KIB = 1 << 20
_FEATURES = {
    "characters": 120,
    "words": 20,
    "scripts": {"latin": 1.0},
    "mixing": 0.0,
    "zlib_ratio": None,
    "bigram_score": None,
    "entities": {},
}
_WORDS = [f"{a}{b}{c}" for a in ("ba", "de", "fi", "go", "ku") for b in ("lan", "mer", "nis", "pol", "rut") for c in
          ("a", "en", "is", "or", "um")]  # fmt: skip


@dataclass
class _Rows:
    """What one transaction inserts, parents before children."""

    clusters: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    bands: list[dict[str, Any]] = field(default_factory=list)
    conversations: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    clean: list[dict[str, Any]] = field(default_factory=list)
    satisfactions: list[dict[str, Any]] = field(default_factory=list)
    votes: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def insert(self, session: Session) -> None:
        tables: Sequence[tuple[type[SQLModel], list[dict[str, Any]]]] = (
            (Cluster, self.clusters),
            (ClusterText, self.texts),
            (Band, self.bands),
            (Conversation, self.conversations),
            (Message, self.messages),
            (CleanMessage, self.clean),
            (Satisfaction, self.satisfactions),
            (Vote, self.votes),
            (VoteEvent, self.events),
        )
        for table, rows in tables:
            insert_ignoring_conflicts(session.connection(), table, rows)


def text_of(rng: random.Random, words: int) -> str:
    """A sentence of so many words that mean nothing, with a number that no other has."""
    return f"{' '.join(rng.choices(_WORDS, k=words)).capitalize()} {rng.randrange(10**9)}."


def add_conversations(store: Store, vault: Vault, rng: random.Random, count: int) -> Iterator[int]:
    """Adds `count` clean conversations, and yields after each transaction how many are there of them."""
    done = 0
    while done < count:
        step = min(CHUNK, count - done)
        with store.begin() as session:
            if store.is_sqlite:
                session.connection().exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}")
            _add(session, vault, rng, step)
        done += step
        yield done


def _add(session: Session, vault: Vault, rng: random.Random, count: int) -> None:
    app = people.app_ids(session, ["default"])["default"]
    rows, keys = _Rows(), {}
    new = {}
    for _ in range(-(-count // PER_PERSON)):
        person, hmac = new_id(), token_hex(16)
        key, wrapped = vault.new_person_key(person)
        keys[hmac] = (person, key)
        new[hmac] = (person, wrapped)
    people.add_people(session, app, new)
    owners = list(keys.items())
    for number in range(count):
        hmac, (person, key) = owners[number // PER_PERSON]
        _add_one(rows, vault, rng, app, person, hmac, key)
    rows.insert(session)


def _add_one(rows: _Rows, vault: Vault, rng: random.Random, app: str, person: str, hmac: str, key: PersonKey) -> None:
    id, at = new_id(), now()
    prompt, pair = _cluster(rows, rng, PROMPT), _cluster(rows, rng, PAIR)
    rows.conversations.append(
        {
            "id": id,
            "app_id": app,
            "client_hmac": token_hex(16),
            "person_id": person,
            "consent": rng.random() < 0.9,
            "state": "clean",
            "digest": token_hex(16),
            "revision": 1,
            "curated_revision": 1,
            "occurred_at": at - timedelta(days=_DAYS * rng.random()),
            "received_at": at,
            "curated_at": at,
            "first_curated_at": at,
            "sealed_meta": key.seal(describe(id), meta_place(id)),
            "sealed_secret": key.seal(token_bytes(32), secret_place(id)),
            "language": "en",
            "topic": "unknown",
            "part": vault.part_of(prompt),
            "prompt_cluster_id": prompt,
            "pair_cluster_id": pair,
        }
    )
    question = _message(rows, key, id, None, 0, "user", text_of(rng, rng.choice((7, 16))))
    answer = _message(rows, key, id, question["id"], 1, "assistant", text_of(rng, 30))
    if rng.random() < 0.7:
        rows.satisfactions.append({"conversation_id": id, "value": rng.choice((3, 4, 4, 5)), "updated_at": at})
    if rng.random() < 0.3:
        vote = {"app_id": app, "message_hmac": answer["client_hmac"], "rater_hmac": hmac}
        vote["value"] = 1 if rng.random() < 0.8 else -1
        rows.votes.append({"id": new_id(), **vote, "updated_at": at})
        rows.events.append({"id": new_id(), **vote, "at": at})


def _message(
    rows: _Rows, key: PersonKey, conversation: str, parent: str | None, position: int, role: str, text: str
) -> dict[str, Any]:
    id, plain = new_id(), text.encode()
    message = {
        "id": id,
        "conversation_id": conversation,
        "client_hmac": token_hex(16),
        "parent_id": parent,
        "position": position,
        "role": role,
        "digest": key.digest(parent or "", role, text),
        "sealed": key.seal(plain, raw_place(id)),
    }
    rows.messages.append(message)
    rows.clean.append(
        {
            "message_id": id,
            "revision": 1,
            "conversation_id": conversation,
            "sealed": key.seal(plain, clean_place(id, 1)),
            "features": _FEATURES,
        }
    )
    return message


def _cluster(rows: _Rows, rng: random.Random, kind: str) -> str:
    """A cluster of its own for a text; three of four are short, and have no bands."""
    id, exact, is_long = new_id(), token_hex(16), rng.random() < 0.25
    numbers = [rng.getrandbits(32) for _ in range(128)] if is_long else []
    bands = [rng.getrandbits(63) for _ in range(16)] if is_long else []
    signed = Signature(exact=exact, minhash=tuple(numbers), bands=tuple(bands))
    rows.clusters.append({"id": id, "kind": kind, "exact": exact, "signature": signed.model_dump_json().encode()})
    rows.texts.append({"kind": kind, "exact": exact, "cluster_id": id})
    rows.bands += [
        {"cluster_id": id, "number": number, "kind": kind, "hash": str(band)} for number, band in enumerate(bands)
    ]
    return id
