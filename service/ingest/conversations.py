"""One group of conversations and what people say about them, made true in one transaction.

The client's id makes a conversation idempotent. The same messages again change nothing, further messages append,
changed earlier text is a conflict; votes, comparisons, satisfaction and consent are updates whatever the messages say,
and never conflicts themselves. A correction is one only where the text that it corrects is gone.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from pipelines.errors import ArtifactError, DataError
from service.ingest.body import is_same
from service.ingest.feedback import KEY_LOST, apply_comparisons, apply_corrections, open_known
from service.ingest.meta import with_stored
from service.ingest.prepare import Incoming, NewComparison, NewCorrection, NewVote, Outcome
from service.ingest.rows import Work, whole_digest, work_on
from service.ingest.votes import Votes
from service.store import conversations, corrections, people
from service.store.bulk import Rows, insert_together
from service.store.conversations import StoredConversation, StoredMessage
from service.store.standing import Standing, look_up
from service.store.tables import Conversation, Message, new_id
from service.store.votes import StandingVote, VoteKey, first_satisfactions, record_satisfaction
from service.vault import PersonKey, Vault, meta_place


def apply_conversations(session: Session, vault: Vault, given: Sequence[Incoming], now: datetime) -> list[Outcome]:
    """What became of each conversation, in the order given; nothing is committed here.

    Votes and the like of a conflicting conversation are not stored: a client that sends changed text has a different
    conversation in mind.
    """
    apps = people.app_ids(session, {conversation.app for conversation in given})
    outcomes: dict[int, Outcome] = {}
    left = {index: work_on(vault, apps[conversation.app], conversation) for index, conversation in enumerate(given)}
    while left:
        # a conversation that comes twice in one group is stored first and compared in the next wave
        first: dict[str, int] = {}
        for index, work in left.items():
            first.setdefault(work.hmac, index)
        wave = {index: left.pop(index) for index in first.values()}
        done = _Wave(session, vault, now).apply(list(wave.values()))
        outcomes |= dict(zip(wave, done, strict=True))
    return [outcomes[index] for index in range(len(given))]


@dataclass
class _Wave:
    """Conversations with distinct ids, and the rows that they become."""

    session: Session
    vault: Vault
    now: datetime
    conversations: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    people: list[Rows] = field(default_factory=list)
    known_people: dict[tuple[str, str], PersonKey | None] = field(default_factory=dict)
    standing_votes: dict[VoteKey, StandingVote] = field(default_factory=dict)
    votes: dict[VoteKey, NewVote] = field(default_factory=dict)
    first_satisfactions: dict[str, int] = field(default_factory=dict)
    satisfactions: dict[str, int] = field(default_factory=dict)
    corrections: list[NewCorrection] = field(default_factory=list)
    comparisons: list[NewComparison] = field(default_factory=list)
    consents: list[tuple[str, bool]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # message ids that stored conversations have
    taken: set[str] = field(default_factory=set)

    def apply(self, wave: Sequence[Work]) -> list[Outcome]:
        known: dict[str, StoredConversation] = {}
        keys: dict[str, tuple[str, PersonKey]] = {}
        for app in sorted({work.app for work in wave}):
            here = [work for work in wave if work.app == app]
            standing = self._look_up(app, here)
            known |= standing.conversations
            keys |= self._person_keys(app, here, standing)
        people.send_keys(self.session)
        self.taken.update(
            hmac for work in wave if work.hmac not in known for hmac in work.messages if hmac in self.used
        )
        outcomes = []
        for work in wave:
            if work.hmac in known:
                outcomes.append(self._update(work, known[work.hmac], keys.get(work.person_hmac)))
            elif work.person_hmac not in keys:
                outcomes.append(work.outcome("conflict", KEY_LOST))
            else:
                outcomes.append(self._create(work, *keys[work.person_hmac]))
        self._write()
        return outcomes

    def _look_up(self, app: str, wave: Sequence[Work]) -> Standing:
        standing = look_up(
            self.session,
            app,
            [work.hmac for work in wave],
            sorted({work.person_hmac for work in wave}),
            [hmac for work in wave for hmac in work.messages],
            [key.message_hmac for work in wave for key in work.votes],
        )
        self.used |= standing.taken
        self.standing_votes |= standing.votes
        return standing

    def _person_keys(self, app: str, wave: Sequence[Work], standing: Standing) -> dict[str, tuple[str, PersonKey]]:
        """Id and open key of everybody who is known or sends something new, by keyed hash."""
        new = {work.person_hmac for work in wave if work.hmac not in standing.conversations}
        keys, added = open_known(self.session, self.vault, standing.people, new)
        self.people.append(people.introduce(self.session, app, added))
        self.known_people |= {(app, hmac): None for hmac in standing.people}
        self.known_people |= {(app, hmac): key for hmac, (_, key) in keys.items()}
        return keys

    def _create(self, work: Work, person_id: str, key: PersonKey) -> Outcome:
        refusal = work.refuse_unknown_parent(()) or self._refuse_taken(work, range(len(work.messages)))
        if refusal:
            return refusal
        id, digests = new_id(), work.digests(key)
        whole = whole_digest(key, work.messages, digests)
        self.conversations.append(work.conversation_row(id, person_id, key, whole, self.now))
        self.messages += work.message_rows(id, key, range(len(work.messages)), digests, {})
        self._note_feedback(work)
        if work.given.satisfaction is not None:
            self.first_satisfactions[id] = work.given.satisfaction
        return work.outcome("created")

    def _update(self, work: Work, row: StoredConversation, person: tuple[str, PersonKey] | None) -> Outcome:
        if row.state == "erased":
            return work.outcome("conflict", "this conversation was erased with its user; send new ones under new ids")
        if person is None and self._is_owner(work, row):
            return work.outcome("conflict", KEY_LOST)
        if person is None or person[0] != row.person_id:
            return work.outcome("conflict", "this conversation belongs to another user, which cannot change")
        digests = work.digests(person[1])
        outcome = work.outcome("unchanged")
        if row.digest != whole_digest(person[1], work.messages, digests):
            outcome = self._append(work, row, person[1], digests)
        if outcome.status == 200:
            outcome = self._refuse_corrections(work, row) or outcome
        if outcome.status == 200:
            if work.given.consent is not None and work.given.consent != row.consent:
                self.consents.append((row.id, work.given.consent))
            self._note_feedback(work)
            if work.given.satisfaction is not None:
                self.satisfactions[row.id] = work.given.satisfaction
        return outcome

    def _is_owner(self, work: Work, row: StoredConversation) -> bool:
        """Whether this user, whose key is lost, is whose conversation it is."""
        found = people.people_by_hash(self.session, work.app, [work.person_hmac]).get(work.person_hmac)
        return found is not None and found[0] == row.person_id

    def _append(self, work: Work, row: StoredConversation, key: PersonKey, digests: list[str]) -> Outcome:
        before = conversations.stored_messages(self.session, row.id)
        known = {message.client_hmac: message for message in before}
        for message, hmac, digest in zip(work.given.messages, work.messages, digests, strict=True):
            if hmac in known and not is_same(known[hmac].digest, digest):
                sentence = f"message {message.id[:80]!r} is stored with another text, role, parent or tool calls"
                return work.outcome("conflict", sentence)
        new = [index for index, hmac in enumerate(work.messages) if hmac not in known]
        if not new:
            return work.outcome("unchanged")
        refusal = self._refuse_append(work, row, new, known)
        if refusal:
            return refusal
        ids = {message.client_hmac: message.id for message in before}
        position = conversations.next_position(self.session, row.id)
        self.messages += work.message_rows(row.id, key, new, digests, ids, position)
        hmacs = [*ids, *(work.messages[index] for index in new)]
        whole = whole_digest(key, hmacs, [m.digest for m in before] + [digests[index] for index in new])
        conversations.grow(self.session, row.id, whole, row.revision + 1, self._meta(work, row.id, key))
        return work.outcome("appended")

    def _meta(self, work: Work, id: str, key: PersonKey) -> bytes:
        """What is sealed beside a conversation that grows; what cannot be read of it any more is not kept."""
        place, meta = meta_place(id), work.given.meta
        with suppress(ArtifactError, DataError):
            meta = with_stored(meta, key.unseal(conversations.sealed_meta(self.session, id), place))
        return key.seal(meta, place)

    def _refuse_append(
        self, work: Work, row: StoredConversation, new: Sequence[int], known: dict[str, StoredMessage]
    ) -> Outcome | None:
        if row.raw_deleted:
            return work.outcome(
                "conflict",
                "the original text of this conversation is gone (rule original_gone), so further messages cannot be "
                "anonymized alike; send them as a new conversation",
            )
        if new[0] < work.given.prompt:
            sentence = f"the conversation {work.given.id[:80]!r} is stored and does not begin with this prompt; give the comparison an id of its own"
            return work.outcome("conflict", sentence)
        if work.given.is_list and new[0] == 0:
            sentence = "the list does not start with the stored messages; send all of them, or name parents"
            return work.outcome("conflict", sentence)
        self.taken.update(work.messages[index] for index in new if work.messages[index] in self.used)
        return work.refuse_unknown_parent(known) or self._refuse_taken(work, new)

    def _refuse_corrections(self, work: Work, row: StoredConversation) -> Outcome | None:
        """The refusal of corrections that come after the raw text went; those that are stored already are welcome."""
        if not work.given.corrections or not row.raw_deleted:
            return None
        self._introduce()  # who corrects may be one of them
        tried = apply_corrections(self.session, self.vault, work.given.corrections, self.now)
        refused = next((outcome for outcome in tried if outcome.status >= 400), None)
        return None if refused is None else work.outcome(refused.result, refused.detail)

    def _refuse_taken(self, work: Work, indices: Sequence[int]) -> Outcome | None:
        """A message id names one message of an app: a vote on it must not reach another."""
        for index in indices:
            if work.messages[index] in self.taken:
                return work.outcome("conflict", self._why_taken(work, index))
        self.taken.update(work.messages[index] for index in indices)
        return None

    def _why_taken(self, work: Work, index: int) -> str:
        name, hmac = work.given.messages[index].id[:80], work.messages[index]
        taken = corrections.targets(self.session, [hmac]).get(hmac)
        if taken is not None and taken.is_correction:
            return f"message {name!r} is a correction, which its answer has already; leave it out of the messages"
        return f"message id {name!r} is used in another conversation; make message ids unique within the app, or leave them out"

    def _introduce(self) -> None:
        """Stores the people who are new, before anything else of them."""
        insert_together(self.session.connection(), self.people)
        self.people = []

    def _note_feedback(self, work: Work) -> None:
        self.votes |= work.votes
        self.corrections += work.given.corrections
        self.comparisons += work.given.comparisons

    def _write(self) -> None:
        inserts: list[Rows] = [
            *self.people,
            (Conversation, self.conversations),
            (Message, self.messages),
            *self._votes(),
        ]
        inserts.append(first_satisfactions(self.first_satisfactions))
        inserts.append(record_satisfaction(self.session, self.satisfactions))
        insert_together(self.session.connection(), inserts)
        conversations.set_consent(self.session, self.consents)
        if self.corrections:
            apply_corrections(self.session, self.vault, self.corrections, self.now)
        if self.comparisons:
            apply_comparisons(self.session, self.vault, self.comparisons)

    def _votes(self) -> list[Rows]:
        votes = Votes(self.session, self.vault, self.standing_votes, self.known_people)
        for key, vote in self.votes.items():
            votes.take(key, vote)
        return votes.write()
