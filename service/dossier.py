"""Everything that is stored about a person, as JSON: the answer to somebody who asks for their data.

    {"app": "shop", "exported_at": "...", "person": {"id": "...", "since": "..."},
     "conversations": [{"id": "c-17", "consent": true, "state": "clean", "messages": [
        {"position": 0, "role": "user", "raw": {"content": "Hi"}, "clean": {"content": "Hi"}}, ...], "rounds": [...]}],
     "votes": [...], "corrections": [...], "comparisons": [...], "feedback_in_rounds": [...], "rounds": [1], "models": [...]}

`raw` is null once retention took it, `clean` where curation made nothing of it. Whatever others wrote is named, not quoted:
a correction by somebody else in this person's conversation is theirs. Ids of messages are not in it: only hashes are stored.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlmodel import Session

from pipelines.errors import ArtifactError, NotFound
from service.ingest.body import decode
from service.ingest.meta import read_meta
from service.store import audit, conversations, curation, dossier, erasure
from service.store.dossier import Place
from service.store.people import app_id, wrapped_key
from service.store.session import Store
from service.store.tables import CleanMessage, Conversation, Correction, Message, Person, SnapshotItem, now
from service.vault import PersonKeys, TextKey, Vault, clean_place, comment_place, meta_place, raw_place

Json = dict[str, Any]


@dataclass(frozen=True)
class _Asked:
    """Whose data of which app; `person` is None for somebody who only ever voted, before raters became people."""

    app: str
    hmac: str
    person: Person | None


def read_dossier(store: Store, vault: Vault, app: str, user: str, actor: str) -> Json:
    """Everything that is stored about a user of an app; who asked for it is noted in the audit.

    Raises:
        NotFound: nothing is stored for this user.
    """
    with store.read() as session:
        asked = _find(session, vault, app, user)
        keys = PersonKeys(vault, wrapped_key, session)
        person = asked.person
        traces = erasure.traces_of(session, person.id, asked.hmac) if person else None
        found: Json = {
            "app": app,
            "exported_at": now(),
            "person": None if person is None else {"id": person.id, "since": person.created_at},
            "conversations": [] if person is None else _conversations(session, keys, person),
            "votes": _votes(session, keys, asked),
            "corrections": [] if person is None else _corrections(session, keys, person),
            "comparisons": _comparisons(session, asked),
            "feedback_in_rounds": _fates(session, asked),
            "rounds": traces.rounds if traces else [],
            "models": traces.models if traces else [],
        }
    counts = {name: len(found[name]) for name in ("conversations", "votes", "corrections", "comparisons")}
    with store.begin() as session:
        audit.record(session, actor, "person_exported", person.id if person else asked.hmac, counts)
    return found


def _find(session: Session, vault: Vault, app: str, user: str) -> _Asked:
    app_row = app_id(session, app)
    if app_row is not None:
        hmac = vault.person_hash(app_row, user)
        person = erasure.find_person(session, app_row, hmac)
        if person is not None or erasure.count_ratings(session, app_row, hmac):
            return _Asked(app_row, hmac, person)
    raise NotFound(f"nothing is stored for this user of the app {app!r}")


def _conversations(session: Session, keys: PersonKeys, person: Person) -> list[Json]:
    uses = dossier.uses_of_conversations(session, person.id)
    found: list[Json] = []
    for rows in dossier.conversations_of(session, person.id):
        messages = curation.raw_messages(session, [row.id for row in rows])
        clean, written = dossier.clean_of(session, rows), dossier.corrections_in(session, rows)
        for row in rows:
            shown = [_message(keys, row, one, clean.get(one.id), written.get(one.id)) for one in messages[row.id]]
            found.append(
                {
                    **_facts(session, row),
                    **_meta(keys, row),
                    "messages": shown,
                    "rounds": [_use(one) for one in uses.get(row.id, ())],
                }
            )
    return found


def _facts(session: Session, row: Conversation) -> Json:
    rejection, quarantine = conversations.rejection_of(session, row.id), conversations.quarantine_of(session, row.id)
    return {
        "stored_as": row.id,
        "state": row.state,
        "rule": None if rejection is None else rejection.rule,
        "reason": None if quarantine is None else quarantine.reason,
        "consent": row.consent,
        "satisfaction": conversations.satisfaction_of(session, row.id),
        "language": row.language,
        "topic": row.topic,
        "part": row.part,
        "occurred_at": row.occurred_at,
        "received_at": row.received_at,
        "curated_at": row.curated_at,
        "raw_deleted_at": row.raw_deleted_at,
    }


def _meta(keys: PersonKeys, row: Conversation) -> Json:
    """What the app said of the conversation, its own id included; gone with the raw text."""
    key = keys(row.person_id)
    if key is None or not row.sealed_meta:
        return {"id": None}
    found: Json = msgspec.to_builtins(read_meta(key.unseal(row.sealed_meta, meta_place(row.id))))
    return found


def _message(
    keys: PersonKeys, row: Conversation, one: Message, clean: CleanMessage | None, written: Correction | None
) -> Json:
    shown: Json = {
        "stored_as": one.id,
        "parent": one.parent_id,
        "position": one.position,
        "role": one.role,
        "state": one.state,
        "model": one.served_by or one.model,
        "time": one.occurred_at,
    }
    if written is not None:
        shown |= {"corrects": written.corrected_message_id, "by_somebody_else": written.person_id != row.person_id}
        if written.person_id != row.person_id:
            return shown
    return shown | _texts(keys(row.person_id), one, clean)


def _texts(key: TextKey | None, one: Message, clean: CleanMessage | None) -> Json:
    """What a message says, as it came in and as it is learnt from; null where it is gone, or cannot be read any more."""
    raw = None if one.sealed is None else _open(key, one.sealed, raw_place(one.id), one.structured)
    place = None if clean is None else clean_place(clean.message_id, clean.revision)
    anonymized = None if clean is None or place is None else _open(key, clean.sealed, place, clean.structured)
    return {"raw": raw, "clean": anonymized}


def _open(key: TextKey | None, sealed: bytes, place: str, structured: bool) -> Json | None:
    if key is None:
        return None
    try:
        found: Json = msgspec.to_builtins(decode(key.unseal(sealed, place), structured))
    except ArtifactError:  # damaged on the disk: the rest is still theirs to have
        return None
    return found


def _use(one: SnapshotItem) -> Json:
    return {"round": one.round_id, "outcome": one.outcome, "reason": one.reason, "tokens": one.tokens}


def _votes(session: Session, keys: PersonKeys, asked: _Asked) -> list[Json]:
    rows = dossier.votes_by(session, asked.app, asked.hmac)
    history = dossier.vote_history(session, asked.app, asked.hmac)
    where = dossier.places(session, asked.app, [row.message_hmac for row in rows])
    key = None if asked.person is None else keys(asked.person.id)
    return [
        {
            "message": _place(where.get(row.message_hmac)),
            "value": _thumb(row.value),
            "reason": row.reason,
            "comment": None
            if row.sealed_comment is None or key is None
            else key.unseal(row.sealed_comment, comment_place(row.id)).decode(),
            "source": row.source,
            "time": row.at,
            "updated_at": row.updated_at,
            "history": [{"value": _thumb(one.value), "at": one.at} for one in history.get(row.message_hmac, ())],
        }
        for row in rows
    ]


def _corrections(session: Session, keys: PersonKeys, person: Person) -> list[Json]:
    rows = dossier.corrections_by(session, person.id)
    clean = dossier.clean_of(session, [conversation for _, _, conversation in rows])
    return [
        {
            "corrects": one.corrected_message_id,
            "conversation": conversation.id,
            "own_conversation": conversation.person_id == person.id,
            "source": one.source,
            "at": one.at,
            "retracted_at": one.retracted_at,
            "refused": one.refused,
            **_texts(keys.of_text(conversation.person_id, person.id), message, clean.get(message.id)),
        }
        for one, message, conversation in rows
    ]


def _comparisons(session: Session, asked: _Asked) -> list[Json]:
    rows = dossier.comparisons_by(session, asked.app, asked.hmac)
    history = dossier.comparison_history(session, asked.app, asked.hmac)
    hashes = sorted({name for row in rows for name in (row.first_hmac, row.second_hmac)})
    where = dossier.places(session, asked.app, hashes)
    return [
        {
            "answers": [_place(where.get(row.first_hmac)), _place(where.get(row.second_hmac))],
            "preferred": _side(row.value),
            "source": row.source,
            "time": row.at,
            "updated_at": row.updated_at,
            "history": [
                {"preferred": _side(one.value), "at": one.at} for one in history[row.first_hmac, row.second_hmac]
            ],
        }
        for row in rows
    ]


def _fates(session: Session, asked: _Asked) -> list[Json]:
    person = asked.person.id if asked.person else asked.hmac
    fates: list[Json] = [
        {
            "round": one.round_id,
            "message": one.message_id,
            "kind": one.kind,
            "outcome": one.outcome,
            "rule": one.rule,
            "weight": one.weight,
        }
        for one in dossier.fates_by(session, person, asked.hmac)
    ]
    written: list[Json] = [
        {"round": one.round_id, "kind": "correction", "outcome": "used", "tokens": one.tokens}
        for one in dossier.written_in(session, person)
    ]
    return [*fates, *written]


def _place(place: Place | None) -> Json | None:
    """Where a message stands; null for one that never came."""
    return None if place is None else {"conversation": place.conversation, "position": place.position}


def _thumb(value: int) -> str | None:
    return {1: "up", -1: "down"}.get(value)


def _side(value: int) -> int | None:
    """Which of the two answers is preferred, from 0; null where it was taken back."""
    return {1: 0, -1: 1}.get(value)
