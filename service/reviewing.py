"""What a reviewer decides about a conversation: kept, dropped, or, where it could not be checked, tried again or discarded.

Votes and corrections of a reviewer are those of any person and go the way of all of them (service/ingest).
"""

from sqlmodel import Session

from pipelines.errors import Conflict, NotFound
from service.store import audit, curation, reviews
from service.store.clock import database_time
from service.store.session import Store
from service.store.tables import Conversation, Rejection

REVIEWABLE = ("clean", "quarantined")


def look(store: Store, conversation_id: str, seen: int, by: str) -> None:
    """Notes that a reviewer has seen the messages up to the position `seen`; one that was dropped stays so."""
    with store.begin() as session:
        before = reviews.review_of(session, conversation_id)
        verdict = reviews.KEPT if before is None else before.verdict
        reviews.decide(session, conversation_id, verdict, seen, by)


def keep(store: Store, conversation_id: str, seen: int, by: str) -> None:
    """As `look`, and nothing speaks against it; one that was dropped may be learned from again.

    Raises:
        NotFound, Conflict: there is no such conversation to review.
    """
    with store.begin() as session:
        _find(session, conversation_id, "clean")
        reviews.decide(session, conversation_id, reviews.KEPT, seen, by)


def drop(store: Store, conversation_id: str, seen: int, by: str) -> None:
    """Holds a conversation back from every later round; a model that learned from it already keeps what it learned.

    Raises:
        NotFound, Conflict: there is no such conversation to review.
    """
    with store.begin() as session:
        _find(session, conversation_id, "clean")
        reviews.decide(session, conversation_id, reviews.DROPPED, seen, by)
        audit.record(session, by, "conversation_dropped", conversation_id)


def release(store: Store, conversation_id: str, by: str) -> None:
    """Lets curation try again to check a quarantined conversation. What cannot be checked is never let through unchecked.

    Raises:
        NotFound, Conflict: it is not in quarantine, or its original text is gone, so that nothing can be checked.
    """
    with store.begin() as session:
        row = _find(session, conversation_id, "quarantined")
        if row.raw_deleted_at is not None:
            raise Conflict("its original text was deleted, so it cannot be checked any more; discard it")
        curation.try_again(session, row)
        audit.record(session, by, "quarantine_released", conversation_id)


def discard(store: Store, conversation_id: str, by: str) -> None:
    """Ends the quarantine of a conversation for good: it counts as rejected, and nothing is ever learned from it.

    Raises:
        NotFound, Conflict: it is not in quarantine.
    """
    with store.begin() as session:
        row = _find(session, conversation_id, "quarantined")
        at = database_time(session)
        curation.settle(session, row, "rejected", at)
        session.add(Rejection(conversation_id=row.id, rule=reviews.DISCARDED, detail="", at=at))
        reviews.decide(session, row.id, reviews.DROPPED, reviews.last_position(session, row.id), by)
        audit.record(session, by, "quarantine_discarded", conversation_id)


def _find(session: Session, conversation_id: str, state: str) -> Conversation:
    """The conversation, locked, if it is in the state in which this can be decided."""
    row = session.get(Conversation, conversation_id, with_for_update=True)
    if row is None:
        raise NotFound(f"there is no conversation with the id {conversation_id[:80]!r}")
    if row.state != state:
        raise Conflict(f"this conversation is {row.state} by now, not {state}; look at it again")
    return row
