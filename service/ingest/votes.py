"""Votes made true in the writer's transaction: which of them change what stands, and the comments sealed beside them.

A second vote of a person on a message replaces the first. The same thumb again without a reason or a comment keeps
those that stand; a judge's or an implicit vote never takes the place of what the person gave.
"""

from collections.abc import Mapping, Sequence

from sqlmodel import Session

from service.ingest.feedback import add_raters, open_people
from service.ingest.prepare import NewVote, Outcome
from service.ingest.rows import vote_key
from service.store import people
from service.store.bulk import Rows, insert_together
from service.store.conversations import answers_of_model
from service.store.tables import new_id
from service.store.votes import StandingVote, VoteKey, message_roles, record_votes, standing_votes
from service.vault import PersonKey, Vault, comment_place

_NOBODY: Mapping[tuple[str, str], PersonKey | None] = {}


def apply_votes(session: Session, vault: Vault, given: Sequence[NewVote]) -> list[Outcome]:
    """What became of each vote; one on a message that is not stored yet is kept for it."""
    apps = people.app_ids(session, {vote.app for vote in given})
    keys = [_key(session, vault, apps[vote.app], vote) for vote in given]
    roles = message_roles(session, sorted({key.message_hmac for key in keys if isinstance(key, VoteKey)}))
    asked = [key for key in keys if isinstance(key, VoteKey) and _is_answer(roles, key)]
    votes = Votes(session, vault, standing_votes(session, asked))
    outcomes = []
    for vote, key in zip(given, keys, strict=True):
        if isinstance(key, Outcome):
            outcomes.append(key)
        elif not _is_answer(roles, key):
            sentence = f"this is a {roles[key.message_hmac]} message; vote on an assistant's"
            outcomes.append(Outcome(vote.message, "invalid", sentence))
        else:
            outcomes.append(Outcome(vote.message, "created" if votes.take(key, vote) else "unchanged"))
    insert_together(session.connection(), votes.write())
    return outcomes


def _key(session: Session, vault: Vault, app: str, vote: NewVote) -> VoteKey | Outcome:
    """How the vote is known in the database; the refusal of one whose answer cannot be told."""
    if vote.answer is None:
        return vote_key(vault, app, vote)
    chat = vault.conversation_hash(app, vote.answer.conversation)
    answers = answers_of_model(session, app, chat, vote.answer.model)
    if len(answers) == 1:
        return VoteKey(app, answers[0], vault.person_hash(app, vote.rater))
    sentence = (
        "its chat has no answer of this model here; import the chat first, and then this file again"
        if not answers
        else f"its chat has {len(answers)} answers of this model, and nothing says which was rated; export the feedback as JSON"
    )
    return Outcome(vote.answer.conversation, "not_found", sentence)


def _is_answer(roles: Mapping[str, str], key: VoteKey) -> bool:
    return roles.get(key.message_hmac, "assistant") == "assistant"


class Votes:
    """Votes on the messages of these keys, taken one after the other and then written."""

    def __init__(
        self,
        session: Session,
        vault: Vault,
        standing: Mapping[VoteKey, StandingVote],
        people: Mapping[tuple[str, str], PersonKey | None] = _NOBODY,
    ) -> None:
        """`standing` are those that stand on these messages; `people` who is a person already, with their open keys."""
        self._session, self._vault = session, vault
        self._standing, self._known = dict(standing), frozenset(standing)
        self._changed: dict[VoteKey, StandingVote] = {}
        self._keys = dict(people)

    def take(self, key: VoteKey, vote: NewVote) -> bool:
        """Whether the vote changes what stands."""
        stands = self._standing.get(key)
        after = self._after(key, stands, vote)
        if after is None or after == stands:
            return False
        self._standing[key] = self._changed[key] = after
        return True

    def write(self) -> list[Rows]:
        """Stores what changed; what is to be inserted for that is returned."""
        if not self._changed:
            return []
        raters = {(key.app_id, key.rater_hmac) for key in self._changed} - self._keys.keys()
        add_raters(self._session, self._vault, raters)
        return record_votes(self._session, self._changed, self._known)

    def _after(self, key: VoteKey, stands: StandingVote | None, vote: NewVote) -> StandingVote | None:
        """What stands after a vote; None if that is what stood before."""
        if stands is None and vote.value == 0:
            return None
        if stands is not None and stands.value and stands.source == "person" and vote.source != "person":
            return None
        id = new_id() if stands is None else stands.id
        if stands is None or stands.value != vote.value:
            comment = self._seal(key, id, vote.comment) if vote.comment and vote.value else None
            return StandingVote(id, vote.value, vote.reason if vote.value else None, vote.source, vote.at, comment)
        if vote.value == 0:
            return None
        return stands._replace(
            reason=vote.reason or stands.reason,
            source=vote.source,
            at=vote.at or stands.at,
            sealed_comment=self._newest_comment(key, stands, vote),
        )

    def _newest_comment(self, key: VoteKey, stands: StandingVote, vote: NewVote) -> bytes | None:
        """The comment that stands if none is given, or the same."""
        opener = self._key_of(key) if vote.comment else None
        if vote.comment is None or opener is None:
            return stands.sealed_comment
        if stands.sealed_comment is not None:
            before = opener.unseal(stands.sealed_comment, comment_place(stands.id))
            if before == vote.comment.encode():
                return stands.sealed_comment
        return self._seal(key, stands.id, vote.comment)

    def _seal(self, key: VoteKey, id: str, comment: str) -> bytes | None:
        """None where the person's key is lost: their thumb counts without what they wrote."""
        opener = self._key_of(key)
        return None if opener is None else opener.seal(comment.encode(), comment_place(id))

    def _key_of(self, key: VoteKey) -> PersonKey | None:
        """The key of whoever votes; whoever comments is a person from then on."""
        who = key.app_id, key.rater_hmac
        if who not in self._keys:
            rater = {key.rater_hmac}
            opened = open_people(self._session, self._vault, key.app_id, rater, rater)
            self._keys[who] = opened[key.rater_hmac][1] if opened else None
        return self._keys[who]
