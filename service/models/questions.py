"""Questions that a round kept apart to measure, with the answers that people rated well: anonymized text, for who may read it."""

from dataclasses import dataclass

from sqlmodel import Session

from pipelines.errors import PerennialError
from service.ingest.body import decode
from service.store import corpus, fates, people
from service.store.tables import CleanMessage, Message
from service.vault import PersonKey, PersonKeys, Vault, clean_place


@dataclass(frozen=True)
class HeldOut:
    """A question that no training saw, and what was answered then."""

    conversation_id: str
    question: str
    answer: str


def heldout_questions(session: Session, vault: Vault, round_id: int, count: int, behind: str = "") -> list[HeldOut]:
    """The next questions of one turn that a round held out, by the id of their conversation; nothing of erased people."""
    found: list[HeldOut] = []
    keys = PersonKeys(vault, people.wrapped_key, session)
    items = fates.held_out(session, round_id, behind, 4 * count)
    messages = corpus.clean_messages(session, [item.conversation_id for item in items])
    for item in items:
        one = _first_turn(keys(item.person_id), messages.get(item.conversation_id, []))
        if one is not None and len(found) < count:
            found.append(HeldOut(item.conversation_id, *one))
    return found


def _first_turn(key: PersonKey | None, messages: list[tuple[Message, CleanMessage]]) -> tuple[str, str] | None:
    """Question and answer, of a conversation that has no other turns before them."""
    said: dict[str, str] = {}
    for message, clean in messages:
        if message.role in said or key is None:
            break
        try:
            text = decode(key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)), clean.structured)
        except PerennialError:
            return None
        said[message.role] = text.content
    return (said["user"], said["assistant"]) if {"user", "assistant"} == set(said) else None
