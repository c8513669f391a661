"""Samples of what anonymization changed: answers as they are now, the words that stand for others marked. Never the originals."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from pipelines.errors import PerennialError
from service.ingest.body import decode
from service.store import corpus, people
from service.store.tables import CleanMessage, Conversation
from service.vault import PersonKeys, Vault, clean_place

_AROUND = 120  # characters on either side of the first change


@dataclass(frozen=True)
class Change:
    """An excerpt of an answer, `«...»` around what stands for something else; `replaced`: it teaches nothing since."""

    excerpt: str
    replaced: bool


def sample_changes(session: Session, vault: Vault, count: int = 3) -> list[Change]:
    """The newest changed answers with consent, one a conversation, those that teach nothing among them."""
    found: list[Change] = []
    keys = PersonKeys(vault, people.wrapped_key, session)
    for column in (Conversation.answers_replaced, Conversation.answers_changed):
        query = select(Conversation).where(
            col(column) > 0, Conversation.state == "clean", col(Conversation.consent).is_(True)
        )
        rows = session.exec(query.order_by(col(Conversation.curated_at).desc()).limit(count)).all()
        messages = corpus.clean_messages(session, [row.id for row in rows])
        for row in rows:
            change = _change(keys, row, [clean for message, clean in messages[row.id] if message.role == "assistant"])
            if change is not None and change not in found:
                found.append(change)
    replaced = [one for one in found if one.replaced][: (count + 1) // 2]
    return replaced + [one for one in found if not one.replaced][: count - len(replaced)]


def _change(keys: PersonKeys, row: Conversation, answers: Sequence[CleanMessage]) -> Change | None:
    """The first changed answer of a conversation; corrections of others are sealed for them too and passed over."""
    key = keys(row.person_id)
    changed = [one for one in answers if one.features.get("surrogates")]
    for clean in sorted(changed, key=lambda one: not one.features.get("replaced", False)):
        try:
            text = (
                decode(key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)), clean.structured)
                if key
                else None
            )
        except PerennialError:
            continue
        if text is not None:
            return Change(_excerpt(text.content, clean.features["surrogates"]), bool(clean.features.get("replaced")))
    return None


def _excerpt(text: str, places: Sequence[Sequence[int]]) -> str:
    start, end = max(0, places[0][0] - _AROUND), places[0][1] + _AROUND
    pieces, done = ["..." if start else ""], start
    for first, last in places:
        if first >= end:
            break
        pieces += [text[done:first], f"«{text[first:last]}»"]
        done = last
    pieces += [text[done : max(done, end)], "..." if max(done, end) < len(text) else ""]
    return " ".join("".join(pieces).split())
