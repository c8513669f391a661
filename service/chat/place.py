"""Where a chat request belongs: which stored conversation it continues, and which of its turns are new.

    request  [system, user 1, assistant 1, user 2]        stored  system > user 1 > chatcmpl-9c..
                                                          new     user 2 under chatcmpl-9c.., then the reply

An OpenAI client sends texts without ids, so ids are derived: a turn's from its conversation, its parent and its text;
a reply's from its conversation, its parent and a slot number, because it is fixed before its text is known. The same
history therefore finds the same messages again, and the same question asked again makes a sibling of the first reply.
Answers of another server that passed the proxy have that server's ids, which are sealed beside the conversation.

Without `metadata.conversation_id` a request continues the newest of the person's conversations that holds all of its
turns up to the last assistant turn. A request that holds no assistant turn begins a conversation, unless the same one
began within the last hour: then it is a regeneration. A conversation whose raw text is deleted is never continued.
"""

import hmac
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from msgspec.structs import replace
from sqlmodel import Session

from pipelines.errors import ArtifactError, Conflict
from service.ingest import Meta, NewMessage, Role, read_meta
from service.ingest.body import Body, encode, message_digest, without_reasoning
from service.store import conversations, people
from service.store.conversations import StoredMessage
from service.store.session import Store
from service.vault import PersonKey, Vault, meta_place

REPLY_PREFIX = "chatcmpl-"
SLOTS = 256
REGENERATION_WINDOW = timedelta(hours=1)

Hashed = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a request; `body` where it says more than its text."""

    role: Role
    content: str
    body: Body | None = None

    @property
    def said(self) -> str:
        """What its id is derived from: its text, or all that it says but for its reasoning, which most clients do not resend."""
        if self.body is None:
            return self.content
        return encode(replace(self.body, reasoning=""))[0].decode()


Chat = Sequence[Turn]


@dataclass(frozen=True)
class Placement:
    """A conversation's id, the request's turns that it does not hold yet, and the reply's id and parent.

    `answers` are the ids of its answers that another server gave: whoever appends to it seals them beside it again.
    """

    conversation_id: str
    new: tuple[NewMessage, ...]
    parent: str
    reply_id: str
    answers: tuple[str, ...] = ()


def place(
    store: Store,
    vault: Vault,
    app: str,
    user: str,
    chat: Chat,
    conversation_id: str | None,
    now: datetime,
    fresh_id: str | None = None,
) -> Placement:
    """Find or open the conversation of a chat that ends with a user's turn or a tool's; reads only. `fresh_id` is a new one's."""
    with store.read() as session:
        person = _person(session, vault, app, user)
        if person is not None:
            found = person.named(chat, conversation_id) if conversation_id else person.continued(chat, now)
            if found is not None:
                return found
    return place_anew(chat, conversation_id or fresh_id or f"chat-{uuid4().hex}")


def place_anew(chat: Chat, conversation_id: str) -> Placement:
    """The placement in a conversation that holds nothing yet."""
    return _Tree(conversation_id, lambda name: name, None, (), ()).placement(chat)


def place_after(store: Store, vault: Vault, app: str, user: str, chat: Chat, answer: str) -> Placement | None:
    """The placement of turns that follow a stored answer of this person; None if there is none with this id."""
    with store.read() as session:
        person = _person(session, vault, app, user)
        return None if person is None else person.after(chat, answer)


def fresh_reply_id() -> str:
    """An id for a reply that is not recorded."""
    return REPLY_PREFIX + uuid4().hex


class _Person:
    """One person of one app, with what their key opens."""

    def __init__(self, session: Session, vault: Vault, app_id: str, person_id: str, key: PersonKey) -> None:
        self._session, self._vault, self._app_id, self._id, self._key = session, vault, app_id, person_id, key

    def named(self, chat: Chat, conversation_id: str) -> Placement | None:
        """The placement in the conversation of this client id; None if there is none of this person."""
        hashed = self._vault.conversation_hash(self._app_id, conversation_id)
        row = conversations.find(self._session, self._app_id, hashed)
        if row is None or row.person_id != self._id:
            return None
        return self._tree(conversation_id, row.id, self._answers(row.id, row.sealed_meta)).placement(chat)

    def after(self, chat: Chat, answer: str) -> Placement | None:
        """The placement under this answer; None if it is none of this person's."""
        hashed = self._vault.message_hash(self._app_id, answer)
        row = conversations.of_message(self._session, hashed)
        if row is None or row.person_id != self._id:
            return None
        try:
            meta = self._meta(row.id, row.sealed_meta)
        except ArtifactError:
            return None
        return self._tree(meta.id, row.id, meta.answers).placement(chat, answer)

    def continued(self, chat: Chat, now: datetime) -> Placement | None:
        """The placement in the newest conversation that this chat continues or regenerates; None if it begins one."""
        last_reply = max((index for index, turn in enumerate(chat) if turn.role == "assistant"), default=None)
        digest = message_digest(self._key, "", chat[0].role, chat[0].content, chat[0].body)
        for opening in conversations.with_first_message(self._session, self._id, digest):
            if last_reply is None and now - opening.received_at > REGENERATION_WINDOW:
                return None
            try:
                meta = self._meta(opening.id, opening.sealed_meta)
            except ArtifactError:  # damaged: it cannot be gone on with, and the person's others can
                continue
            found = self._tree(meta.id, opening.id, meta.answers).placement(chat)
            known = len(chat) - len(found.new)
            if known > last_reply if last_reply is not None else not found.new:
                return found
        return None

    def _meta(self, row_id: str, sealed: bytes) -> Meta:
        return read_meta(self._key.unseal(sealed, meta_place(row_id)))

    def _answers(self, row_id: str, sealed: bytes) -> tuple[str, ...]:
        try:
            return self._meta(row_id, sealed).answers
        except ArtifactError:
            return ()

    def _tree(self, name: str, row_id: str, answers: Sequence[str]) -> "_Tree":
        def hashed(message: str) -> str:
            return self._vault.message_hash(self._app_id, message)

        return _Tree(name, hashed, self._key, conversations.stored_messages(self._session, row_id), answers)


class _Tree:
    """The messages of one conversation, found by derived id or by digest."""

    def __init__(
        self,
        name: str,
        hashed: Hashed,
        key: PersonKey | None,
        messages: Sequence[StoredMessage],
        answers: Sequence[str],
    ) -> None:
        self._name, self._hashed, self._key, self._answers = name, hashed, key, tuple(answers)
        self._known = {message.client_hmac for message in messages}
        self._by_digest = {without_reasoning(message.digest): message.client_hmac for message in messages}
        self._by_hash = {hashed(answer): answer for answer in answers}

    def placement(self, chat: Chat, parent: str | None = None) -> Placement:
        """Walk down the tree as far as the chat's turns are stored; the rest is new, in a chain."""
        new: list[NewMessage] = []
        for turn in chat:
            found = None if new else self._find(parent, turn)
            if found is None:
                found = _derived("turn-", self._name, parent or "", turn.role, turn.said)
                new.append(NewMessage(found, turn.role, turn.content, parent, body=turn.body))
            parent = found
        assert parent is not None
        return Placement(self._name, tuple(new), parent, self._free_reply(parent), self._answers)

    def _find(self, parent: str | None, turn: Turn) -> str | None:
        """The id of the stored turn with this text under this parent."""
        name = _derived("turn-", self._name, parent or "", turn.role, turn.said)
        if self._hashed(name) in self._known:
            return name
        if turn.role != "assistant" or self._key is None or parent is None:
            return None
        digest = message_digest(self._key, parent, turn.role, turn.content, turn.body)
        found = self._by_digest.get(without_reasoning(digest))
        if found in self._by_hash:
            return self._by_hash[found]
        slots = (self._reply(parent, slot) for slot in range(SLOTS)) if found else ()
        return next((name for name in slots if self._hashed(name) == found), None)

    def _free_reply(self, parent: str) -> str:
        """The id of a reply under this parent that is not taken; at random, as others may choose at the same time."""
        slots = random.sample(range(SLOTS), SLOTS)
        names = (self._reply(parent, slot) for slot in slots)
        free = next((name for name in names if self._hashed(name) not in self._known), None)
        if free is None:
            raise Conflict(f"this turn has {SLOTS} replies already; begin a new conversation")
        return free

    def _reply(self, parent: str, slot: int) -> str:
        return _derived(REPLY_PREFIX, self._name, parent, str(slot))


def _person(session: Session, vault: Vault, app: str, user: str) -> _Person | None:
    app_id = people.app_id(session, app)
    if app_id is None:
        return None
    hashed = vault.person_hash(app_id, user)
    person_id, wrapped = people.people_by_hash(session, app_id, [hashed]).get(hashed, (None, None))
    if person_id is None or wrapped is None:
        return None
    return _Person(session, vault, app_id, person_id, vault.open_person_key(person_id, wrapped))


def _derived(prefix: str, conversation: str, *parts: str) -> str:
    """An id that only somebody who knows the conversation's id can derive; 128 bits."""
    framed = b"".join(len(raw).to_bytes(8, "big") + raw for raw in (part.encode() for part in (prefix, *parts)))
    return prefix + hmac.digest(conversation.encode(), framed, "sha256")[:16].hex()
