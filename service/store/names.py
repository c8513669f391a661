"""Which full names so many different people wrote that they are nobody's secret: by keyed hash, no name is stored.

Counted are people, and prompts that are no copies of one another: one text pasted by many accounts counts once. What is
counted belongs to its conversation, so it goes with its person and with the consent to learn.
"""

from collections.abc import Iterable

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from service.store.bulk import insert_ignoring_conflicts
from service.store.tables import Conversation, NameMention


def note_mentions(session: Session, conversation: str, hashes: Iterable[str]) -> None:
    """Notes which names, by hash, the users of a conversation wrote; what was noted of it before goes."""
    session.execute(delete(NameMention).where(col(NameMention.conversation_id) == conversation))
    rows = [{"conversation_id": conversation, "name_hmac": hash} for hash in hashes]
    if rows:
        insert_ignoring_conflicts(session.connection(), NameMention, rows)


def public_names(session: Session, people: int) -> frozenset[str]:
    """The hashes of names that at least so many people wrote, each in a prompt of their own, with consent."""
    query = (
        select(NameMention.name_hmac)
        .join(Conversation, col(Conversation.id) == col(NameMention.conversation_id))
        .where(col(Conversation.state) == "clean", col(Conversation.consent).is_(True))
        .group_by(col(NameMention.name_hmac))
        .having(
            func.count(func.distinct(col(Conversation.person_id))) >= people,
            func.count(func.distinct(col(Conversation.prompt_cluster_id))) >= people,
        )
    )
    return frozenset(session.exec(query).all())
