"""The chats that somebody had on the page, as they wrote them: each is read with the key of its own person only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from pipelines.errors import NotFound, PerennialError
from service.chat.openai import ChatMessage
from service.ingest import read_meta
from service.ingest.body import decode
from service.store import conversations, corrections, curation, people
from service.store.session import Store
from service.store.tables import Conversation, Message
from service.vault import PersonKeys, Vault, meta_place, raw_place
from service.web.pages.reading import Piece, Reading, TurnView, views_of

CHAT_APP = "page"
_RECENT, _TITLE = 10, 60


@dataclass(frozen=True)
class OwnChat:
    """A chat: its turns in the order to read them, and by message the parent, the keyed id and the text."""

    turns: Sequence[TurnView] = ()
    consent: bool | None = None
    state: str | None = None
    parents: Mapping[str, str | None] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def last_answer(self) -> str | None:
        """The newest answer of the model: what is said next follows it."""
        answers = [turn for turn in self.turns if turn.is_answer]
        return max(answers, key=lambda turn: turn.position).id if answers else None

    def siblings(self, answer: str) -> list[str]:
        """The other answers of the model to the same message."""
        parent = self.parents.get(answer)
        same = (turn for turn in self.turns if turn.is_answer and self.parents[turn.id] == parent)
        return [turn.id for turn in same if turn.id != answer]

    def path_to(self, message: str | None) -> list[ChatMessage]:
        """The messages from the beginning to this one, as a request says them; none for None."""
        by_id, path = {turn.id: turn for turn in self.turns}, []
        while message is not None:
            if message not in by_id:
                raise NotFound("there is no such message in this chat")
            turn = by_id[message]
            path.append(
                ChatMessage.model_validate({"role": turn.role, "content": turn.body.content if turn.body else ""})
            )
            message = self.parents[message]
        return path[::-1]


def own_chat(store: Store, vault: Vault, by: str, name: str) -> OwnChat:
    """The chat of this person with this name; an empty one if nothing was said in it yet.

    Raises:
        NotFound: its original text is gone, so it can be read as a conversation only.
    """
    with store.read() as session:
        app = people.app_id(session, CHAT_APP)
        row = None if app is None else conversations.find(session, app, vault.conversation_hash(app, name))
        if app is None or row is None or row.person_id != _person(session, vault, app, by):
            return OwnChat()
        if row.raw_deleted_at is not None:
            raise NotFound("the text of this chat was deleted after the time that texts are kept; begin a new one")
        return _open(session, vault, row)


def recent_chats(store: Store, vault: Vault, by: str) -> list[tuple[str, str]]:
    """Names and first words of the newest chats of this person."""
    with store.read() as session:
        app = people.app_id(session, CHAT_APP)
        person = None if app is None else _person(session, vault, app, by)
        key = None if person is None else PersonKeys(vault, people.wrapped_key, session)(person)
        if person is None or key is None:
            return []
        found = []
        for row, first in conversations.newest_of(session, person, _RECENT):
            try:
                name = read_meta(key.unseal(row.sealed_meta, meta_place(row.id))).id
                text = decode(key.unseal(first.sealed or b"", raw_place(first.id)), first.structured).content
            except PerennialError:  # damaged: the others can be read
                continue
            found.append((name, text if len(text) <= _TITLE else text[:_TITLE] + " …"))
        return found


def _person(session: Session, vault: Vault, app: str, by: str) -> str | None:
    hashed = vault.person_hash(app, by)
    return people.ids_by_hash(session, app, [hashed]).get(hashed)


def _open(session: Session, vault: Vault, row: Conversation) -> OwnChat:
    keys = PersonKeys(vault, people.wrapped_key, session)
    writers = {one.message_id: one.person_id for one in corrections.by_conversation(session, [row.id]).get(row.id, [])}

    def read(message: Message) -> Reading:
        key = keys.of_text(row.person_id, writers.get(message.id))
        if key is None or message.sealed is None:
            return None, None
        body = decode(key.unseal(message.sealed, raw_place(message.id)), message.structured)
        return body, (Piece(body.content),) if body.content else ()

    messages = curation.raw_messages(session, [row.id])[row.id]
    return OwnChat(
        turns=views_of(session, row, read),
        consent=row.consent,
        state=row.state,
        parents={message.id: message.parent_id for message in messages},
        hashes={message.id: message.client_hmac for message in messages if message.role == "assistant"},
    )
