"""What a group of conversations must know of the database before it is written, asked at once: each answer is waited for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlmodel import Session

from service.store.bulk import Question, fetch_together
from service.store.conversations import STORED, TAKEN, StoredConversation, stored_of
from service.store.people import IDS
from service.store.votes import STANDING, StandingVote, VoteKey, standing_of


class Standing(NamedTuple):
    """What stands: conversations and ids of people by keyed hash, which message ids are taken, and the votes on messages."""

    conversations: Mapping[str, StoredConversation]
    people: Mapping[str, str]
    taken: frozenset[str]
    votes: Mapping[VoteKey, StandingVote]


def look_up(
    session: Session,
    app: str,
    conversations: Sequence[str],
    people: Sequence[str],
    messages: Sequence[str],
    voted: Sequence[str],
) -> Standing:
    """What stands of these conversations, people and messages of an app, and the votes on those that are `voted`."""
    stored, ids, taken, votes = fetch_together(
        session.connection(),
        [
            Question(STORED, conversations, (app,)),
            Question(IDS, people, (app,)),
            Question(TAKEN, messages),
            Question(STANDING, voted, (app,)),
        ],
    )
    return Standing(
        stored_of(stored), {hmac: id for hmac, id in ids}, frozenset(hmac for [hmac] in taken), standing_of(app, votes)
    )
