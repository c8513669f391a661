"""Corrections and comparisons made true in the writer's transaction, and the people who gave them.

A correction becomes a message beside the answer that it replaces, under the same parent, and its conversation is
curated again. Whoever rates is a person with a key, so that selection knows raters by an id that says nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from service.ingest.prepare import NewComparison, NewCorrection, Outcome
from service.store import comparisons, conversations, corrections, people
from service.store.comparisons import ComparisonKey, Place, Preference
from service.store.corrections import NewestCorrection, Target
from service.store.tables import new_id
from service.vault import PersonKey, PersonKeys, Vault, raw_place, text_key

KEY_LOST = (
    "the key of this user's text is not in the key store, so nothing of theirs can be read or stored: the operator must "
    "put back the newest copy of the keys (docs/operating.md, Restore)"
)
ORIGINAL_GONE = (
    "the original text of this conversation is gone (rule original_gone), so a correction cannot be anonymized alike; "
    "send it as a new conversation"
)


def open_people(
    session: Session, vault: Vault, app: str, hashes: Collection[str], new: Collection[str]
) -> dict[str, tuple[str, PersonKey]]:
    """Id and open key of everybody of an app who is known or new, by keyed hash; those in `new` are made if need be.

    Whoever is known and has lost their key is missing.
    """
    keys, added = open_known(session, vault, people.ids_by_hash(session, app, sorted(hashes)), new)
    people.add_people(session, app, added)
    return keys


def open_known(
    session: Session, vault: Vault, known: Mapping[str, str], new: Collection[str]
) -> tuple[dict[str, tuple[str, PersonKey]], dict[str, tuple[str, bytes]]]:
    """As `open_people` where the ids of those who are known are at hand; and who is to be added, with their wrapped keys."""
    wrapped = people.wrapped_keys(session, list(known.values()))
    keys = {hmac: (id, vault.open_person_key(id, wrapped[id])) for hmac, id in known.items() if id in wrapped}
    added = {}
    for hmac in sorted(set(new) - set(known)):
        id = new_id()
        key, sealed = vault.new_person_key(id)
        keys[hmac], added[hmac] = (id, key), (id, sealed)
    return keys, added


def add_raters(session: Session, vault: Vault, raters: Iterable[tuple[str, str]]) -> None:
    """Makes a person of each rater (app, keyed hash) who is none yet."""
    by_app: dict[str, set[str]] = defaultdict(set)
    for app, hmac in raters:
        by_app[app].add(hmac)
    for app, hashes in sorted(by_app.items()):
        fresh = [(hmac, new_id()) for hmac in sorted(hashes - people.known_hashes(session, app, sorted(hashes)))]
        people.add_people(session, app, {hmac: (id, vault.new_person_key(id)[1]) for hmac, id in fresh})


# ---- corrections ------------------------------------------------------------------------------------------


def apply_corrections(session: Session, vault: Vault, given: Sequence[NewCorrection], at: datetime) -> list[Outcome]:
    """What became of each correction, in the order given: its own id where it is stored, else the message's."""
    apps = people.app_ids(session, {one.app for one in given})
    asked = [_Asked(one, apps[one.app], vault) for one in given]
    targets = corrections.targets(session, sorted({one.message for one in asked}))
    refused = [_refusal(one, targets.get(one.message)) for one in asked]
    good = [(one, targets[one.message]) for one, refusal in zip(asked, refused, strict=True) if refusal is None]
    done = iter(_Corrections(session, vault, at, good).apply())
    return [refusal or next(done) for refusal in refused]


class _Asked:
    """A correction with the ids in it hashed."""

    def __init__(self, given: NewCorrection, app: str, vault: Vault) -> None:
        self.given, self.app = given, app
        self.message = given.hashed or vault.message_hash(app, given.message)
        self.rater = vault.person_hash(app, given.rater)

    def outcome(self, result: Any, detail: str | None = None) -> Outcome:
        return Outcome(self.given.message, result, detail)


def _refusal(asked: _Asked, target: Target | None) -> Outcome | None:
    name = asked.given.message[:80]
    if target is None:
        return asked.outcome("not_found", f"the app {asked.given.app!r} never sent a message with the id {name!r}")
    if target.is_correction:
        return asked.outcome("invalid", f"message {name!r} is a correction itself; correct the original answer")
    if target.role != "assistant":
        return asked.outcome("invalid", f"message {name!r} is a {target.role} message; correct an assistant's")
    if target.state == "erased":
        return asked.outcome("conflict", "this conversation was erased with its user")
    return None


class _Corrections:
    """Corrections of stored answers, one after the other, and the rows that they become."""

    def __init__(self, session: Session, vault: Vault, at: datetime, given: Sequence[tuple[_Asked, Target]]) -> None:
        self._session, self._vault, self._at, self._given = session, vault, at, given
        self._owners = PersonKeys(vault, people.wrapped_key, session)
        self._messages: list[dict[str, Any]] = []
        self._corrections: list[dict[str, Any]] = []
        self._stored = 0

    def apply(self) -> list[Outcome]:
        if not self._given:
            return []
        self._raters = self._open_raters()
        self._known = corrections.newest(self._session, sorted({target.message_id for _, target in self._given}))
        self._positions = corrections.next_positions(
            self._session, [target.conversation_id for _, target in self._given]
        )
        outcomes = [
            self._retract(asked, target)
            if asked.given.content is None
            else self._store(asked, target, asked.given.content)
            for asked, target in self._given
        ]
        self._write()
        return outcomes

    def _write(self) -> None:
        """Stores the rows that gathered."""
        conversations.add_messages(self._session, self._messages)
        corrections.add_corrections(self._session, self._corrections)
        corrections.curate_again(self._session, {message["conversation_id"] for message in self._messages})
        self._stored += len(self._corrections)
        self._messages, self._corrections = [], []

    def _open_raters(self) -> dict[tuple[str, str], tuple[str, PersonKey]]:
        found: dict[tuple[str, str], tuple[str, PersonKey]] = {}
        for app in sorted({asked.app for asked, _ in self._given}):
            here = [asked for asked, _ in self._given if asked.app == app]
            new = {asked.rater for asked in here if asked.given.content is not None}
            opened = open_people(self._session, self._vault, app, {asked.rater for asked in here}, new)
            found |= {(app, hmac): person for hmac, person in opened.items()}
        return found

    def _retract(self, asked: _Asked, target: Target) -> Outcome:
        rater = self._raters.get((asked.app, asked.rater))
        before = None if rater is None else self._known.get((target.message_id, rater[0]))
        if rater is None or before is None or before.is_retracted:
            return asked.outcome("unchanged")
        self._write()  # what the same group stored must be there to be taken back
        corrections.retract(self._session, before.id, self._at)
        self._known[target.message_id, rater[0]] = NewestCorrection(before.id, before.digest, is_retracted=True)
        return Outcome(before.id, "created")

    def _store(self, asked: _Asked, target: Target, content: str) -> Outcome:
        if (asked.app, asked.rater) not in self._raters or self._owners(target.person_id) is None:
            return asked.outcome("conflict", KEY_LOST)
        rater, key = self._raters[asked.app, asked.rater]
        before, digest = self._known.get((target.message_id, rater)), key.digest(target.message_id, content)
        if before is not None and before.digest == digest and not before.is_retracted:
            return Outcome(before.id, "unchanged")
        if target.raw_deleted:
            return asked.outcome("conflict", ORIGINAL_GONE)
        id = self._add_rows(asked, target, rater, key, content, digest)
        self._known[target.message_id, rater] = NewestCorrection(id, digest, is_retracted=False)
        return Outcome(id, "created")

    def _add_rows(self, asked: _Asked, target: Target, rater: str, key: PersonKey, content: str, digest: str) -> str:
        """Adds the message that holds the text, under both people's keys, and the correction, whose id it gives."""
        owner = self._owners(target.person_id)
        assert owner is not None, "a correction of a conversation without a key is refused before"
        message, correction = new_id(), new_id()
        position = self._positions[target.conversation_id]
        self._positions[target.conversation_id] += 1
        self._messages.append(
            {
                "id": message,
                "conversation_id": target.conversation_id,
                "client_hmac": self._vault.message_hash(asked.app, correction),
                "parent_id": target.parent_id,
                "position": position,
                "role": "assistant",
                "served_by": None,
                "state": "complete",
                "model": None,
                "occurred_at": asked.given.at,
                "digest": digest,
                "structured": False,
                "sealed": text_key(owner, key).seal(content.encode(), raw_place(message)),
            }
        )
        # the newest counts, also among those of one group
        at = asked.given.at or self._at + timedelta(microseconds=self._stored + len(self._corrections))
        self._corrections.append(
            {
                "id": correction,
                "app_id": asked.app,
                "corrected_message_id": target.message_id,
                "message_id": message,
                "person_id": rater,
                "source": asked.given.source,
                "at": at,
            }
        )
        return correction


# ---- comparisons ------------------------------------------------------------------------------------------


def apply_comparisons(session: Session, vault: Vault, given: Sequence[NewComparison]) -> list[Outcome]:
    """What became of each comparison; one of messages that are not stored yet is kept for them."""
    apps = people.app_ids(session, {one.app for one in given})
    keys = [_key(vault, apps[one.app], one) for one in given]
    places = comparisons.places(
        session, sorted({hmac for key, _ in keys for hmac in (key.first_hmac, key.second_hmac)})
    )
    standing = comparisons.standing_values(session, [key for key, _ in keys])
    outcomes, changes = [], {}
    for one, (key, value) in zip(given, keys, strict=True):
        problem = _not_comparable(key, places) if value else None
        if problem is not None:
            outcomes.append(Outcome(one.chosen, "invalid", problem))
            continue
        hashes = zip((one.chosen, one.rejected), _hashes(vault, apps[one.app], one), strict=True)
        pending = tuple(name for name, hmac in hashes if hmac not in places)
        before = standing.get(key, Preference(0))
        if before.value == value or (before.value and before.source == "person" != one.source):
            outcomes.append(Outcome(one.chosen, "unchanged", pending=pending))
        else:
            standing[key] = changes[key] = Preference(value, one.source, one.at)
            outcomes.append(Outcome(one.chosen, "created", pending=pending))
    add_raters(session, vault, {(key.app_id, key.rater_hmac) for key in changes})
    comparisons.record_comparisons(session, changes)
    return outcomes


def _key(vault: Vault, app: str, given: NewComparison) -> tuple[ComparisonKey, int]:
    """The unordered pair, and the value that says which of the two is better."""
    chosen, rejected = _hashes(vault, app, given)
    first, second = sorted((chosen, rejected))
    value = (1 if chosen == first else -1) if given.stands else 0
    return ComparisonKey(app, vault.person_hash(app, given.rater), first, second), value


def _hashes(vault: Vault, app: str, given: NewComparison) -> tuple[str, str]:
    return given.hashed or (vault.message_hash(app, given.chosen), vault.message_hash(app, given.rejected))


def _not_comparable(key: ComparisonKey, places: Mapping[str, Place]) -> str | None:
    """Why what is stored of the two messages cannot be compared; None if it can, or is not known yet."""
    if key.first_hmac == key.second_hmac:
        return "chosen and rejected are the same message; compare two different answers"
    known = [places[hmac] for hmac in (key.first_hmac, key.second_hmac) if hmac in places]
    wrong = next((place.role for place in known if place.role != "assistant"), None)
    if wrong is not None:
        return f"one of these is a {wrong} message; compare two answers of the assistant"
    if any(place.parent_id is None for place in known):
        return "one of these answers stands under no message; compare answers to one prompt"
    if len(known) == 2 and known[0] != known[1]:
        return "these are answers to different messages; compare two answers to one, siblings under one parent"
    return None
