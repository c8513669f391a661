"""What the snapshot reads: clean conversations with the feedback on them as it stands, and clean text by key.

The rules of selection are pipelines/feedback/select.py; here the rows of service/store/corpus.py become its records, and
text is unsealed. A rater is known by the id of a person, which says nothing once the person is forgotten.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar

from sqlmodel import Session

from pipelines.errors import Cancelled
from pipelines.records import (
    Body,
    Comparison,
    Correction,
    FeedbackFate,
    MessageExtras,
    MessageKey,
    RatedConversation,
    RatedMessage,
    Rating,
)
from pipelines.turns import Review as Verdict
from service.ingest.body import Body as SealedBody
from service.ingest.body import decode, extras_of
from service.store import comparisons, corpus, corrections, fates, people, reviews
from service.store.comparisons import StandingComparison
from service.store.corpus import StoredVote
from service.store.corrections import StoredCorrection
from service.store.people import Rater
from service.store.session import Store
from service.store.tables import CleanMessage, Conversation, Message, Review
from service.vault import PersonKeys, TextKey, Vault, clean_place

_CHUNK = 400  # rows per query: below every database's limit on bound values
_Item = TypeVar("_Item")


class _Votes(NamedTuple):
    """The votes that stand on one message, and their ids; `at` is the time of the last change, retractions included."""

    ratings: tuple[Rating, ...]
    ids: tuple[str, ...]
    at: datetime


class StoreCorpus:
    """A round's view of the database (the Corpus of pipelines.records).

    `seen` are the conversations that the champion's lineage has trained on or held out: they are replay (held-out
    ones are older data), the others new.
    """

    def __init__(self, store: Store, vault: Vault, seen: frozenset[str] = frozenset()) -> None:
        self._store, self._vault, self._seen = store, vault, seen
        self._outcomes: Mapping[str, int] | None = None
        self._lost: tuple[FeedbackFate, ...] | None = None

    def candidates(self) -> Iterator[RatedConversation]:
        """Every clean conversation of a person who was not erased, in one consistent read, oldest first."""
        with self._store.read() as session:
            self._outcomes = corpus.count_outcomes(session)
            keys = PersonKeys(self._vault, people.wrapped_key, session)
            known, feedback_ids = people.all_raters(session), set[str]()
            for chunk in _chunks(corpus.clean_conversations(session, _CHUNK)):
                yield from self._rated(session, keys, known, feedback_ids, chunk)
            self._lost = fates.find_lost(session, known, feedback_ids)

    def outcomes(self) -> Mapping[str, int]:
        """Conversations that are not clean, by rule; of the same moment as the last `candidates`."""
        if self._outcomes is None:
            with self._store.read() as session:
                self._outcomes = corpus.count_outcomes(session)
        return self._outcomes

    def lost(self) -> Sequence[FeedbackFate]:
        """What stands and is on nothing in `candidates`, with the reason; of the same moment as the last ones read to the end."""
        if self._lost is None:
            deque(self.candidates(), maxlen=0)
        assert self._lost is not None
        return self._lost

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        """What these message revisions say.

        Raises:
            Cancelled: the text is gone, because its person was erased after the snapshot.
        """
        found: dict[MessageKey, Body] = {}
        with self._store.read() as session:
            opened = PersonKeys(self._vault, people.wrapped_key, session)
            for chunk in _chunks(keys):
                found |= _unsealed(session, opened, chunk)
        missing = sum(key not in found for key in keys)
        if missing:
            raise Cancelled(f"{missing} messages of this round are gone: a person was erased after the snapshot")
        return found

    def _rated(
        self,
        session: Session,
        keys: PersonKeys,
        known: Mapping[str, Rater],
        feedback_ids: set[str],
        chunk: Sequence[Conversation],
    ) -> Iterator[RatedConversation]:
        """The candidates among these conversations; notes in `feedback_ids` the ids of the feedback in them."""
        ids = [conversation.id for conversation in chunk]
        messages, satisfaction = corpus.clean_messages(session, ids), corpus.satisfaction_on(session, ids)
        # raters are those of any feedback at all: without them there is nothing more to read
        votes = _votes(known, corpus.votes_on(session, chunk)) if known else {}
        history = corrections.by_conversation(session, ids) if known else {}
        pairs = _pairs(session, ids) if known else {}
        reviewed = reviews.reviews_of(session, ids)
        for conversation in chunk:
            rows, held = messages[conversation.id], history.get(conversation.id, [])
            standing = {one.message_id: one for one in corrections.select_standing(held) if one.refused is None}
            hidden = {one.message_id for one in held} - set(standing)
            rated = []
            for message, clean in rows:
                correction = standing.get(message.id)
                key = keys.of_text(conversation.person_id, correction.person_id if correction else None)
                if key is not None and message.id not in hidden:
                    given = votes.get(message.client_hmac)
                    rated.append(_rated_message(key, message, clean, given, _corrects(correction, known)))
                    feedback_ids |= {*(given.ids if given else ()), *([correction.id] if correction else ())}
            if rated:
                shown = {message.client_hmac: message.id for message, _ in rows if message.id not in hidden}
                compared = [one for hmac in shown for one in pairs.get(hmac, ()) if one.rejected_hmac in shown]
                feedback_ids |= {one.id for one in compared}
                candidate = self._candidate(
                    conversation, satisfaction.get(conversation.id), tuple(rated), _comparisons(shown, compared, known)
                )
                last = max(message.position for message, _ in rows if message.id not in hidden)
                yield candidate.model_copy(update={"review": _verdict(reviewed.get(conversation.id), last)})

    def _candidate(
        self,
        conversation: Conversation,
        satisfaction: int | None,
        messages: tuple[RatedMessage, ...],
        compared: tuple[Comparison, ...],
    ) -> RatedConversation:
        prompt = conversation.prompt_cluster_id or conversation.id
        return RatedConversation(
            conversation=conversation.id,
            person=conversation.person_id,
            app=conversation.app_id,
            occurred_at=conversation.occurred_at,
            consent=conversation.consent,
            satisfaction=satisfaction,
            language=conversation.language or "unknown",
            topic=conversation.topic or "unknown",
            prompt_cluster=prompt,
            pair_cluster=conversation.pair_cluster_id or conversation.id,
            part=self._vault.part_of(prompt),
            seen=conversation.id in self._seen,
            messages=messages,
            comparisons=compared,
        )


def _verdict(review: Review | None, last: int) -> Verdict:
    """What a review comes to: dropped is dropped, but kept is only what the reviewer has seen to its last message."""
    if review is None:
        return ""
    if review.verdict == reviews.DROPPED:
        return "dropped"
    return "kept" if last <= review.seen else ""


def _votes(known: Mapping[str, Rater], rows: Sequence[StoredVote]) -> dict[str, _Votes]:
    """Votes by the keyed id of their message; retracted ones count for nothing."""
    ratings: dict[str, list[Rating]] = defaultdict(list)
    ids: dict[str, list[str]] = defaultdict(list)
    last: dict[str, datetime] = {}
    for vote in rows:
        last[vote.message_hmac] = vote.at
        if vote.value:
            rater = known[vote.rater_hmac]
            ids[vote.message_hmac].append(vote.id)
            ratings[vote.message_hmac].append(
                Rating.model_validate(
                    {
                        "rater": rater.id,
                        "value": 1 if vote.value > 0 else -1,
                        "at": vote.at,
                        "since": rater.since,
                        "source": vote.source,
                    }
                )
            )
    return {message: _Votes(tuple(ratings[message]), tuple(ids[message]), at) for message, at in last.items()}


def _corrects(held: StoredCorrection | None, known: Mapping[str, Rater]) -> Correction | None:
    if held is None:
        return None
    return Correction.model_validate(
        {
            "of": held.corrected_id,
            "rater": held.person_id,
            "at": held.at,
            "since": known[held.person_id].since,
            "source": held.source,
        }
    )


def _pairs(session: Session, conversations: Sequence[str]) -> dict[str, list[StandingComparison]]:
    """The comparisons that stand on these conversations, by the keyed id of the better answer."""
    found: dict[str, list[StandingComparison]] = defaultdict(list)
    for one in comparisons.comparisons_on(session, conversations):
        found[one.chosen_hmac].append(one)
    return found


def _comparisons(
    shown: Mapping[str, str], compared: Sequence[StandingComparison], known: Mapping[str, Rater]
) -> tuple[Comparison, ...]:
    """The records of comparisons whose two answers are both shown; `shown` are message ids by keyed client id."""
    return tuple(
        Comparison.model_validate(
            {
                "chosen": shown[one.chosen_hmac],
                "rejected": shown[one.rejected_hmac],
                "rater": known[one.rater_hmac].id,
                "at": one.at,
                "since": known[one.rater_hmac].since,
                "source": one.source,
            }
        )
        for one in compared
    )


def _rated_message(
    key: TextKey, message: Message, clean: CleanMessage, votes: _Votes | None, corrects: Correction | None
) -> RatedMessage:
    ratings, body = votes.ratings if votes else (), _open(key, clean)
    return RatedMessage.model_validate(
        {
            "key": MessageKey(message=message.id, revision=clean.revision),
            "role": message.role,
            "parent": message.parent_id,
            "text": body.content,
            **extras_of(body),
            "up": sum(one.value > 0 for one in ratings if one.source == "person"),
            "down": sum(one.value < 0 for one in ratings if one.source == "person"),
            "mixing": clean.features.get("mixing", 0.0),
            "voted_at": votes.at if votes else None,
            "state": message.state,
            "ratings": ratings,
            "corrects": corrects,
            "surrogates": _surrogates(clean, body),
            "replaced": clean.features.get("replaced", False),
            "served_by": message.served_by or "",
        }
    )


def _unsealed(session: Session, people: PersonKeys, keys: Sequence[MessageKey]) -> dict[MessageKey, Body]:
    wanted = set(keys)
    texts = {}
    for clean, person, writer in corpus.clean_texts(session, (key.message for key in keys)):
        named = MessageKey(message=clean.message_id, revision=clean.revision)
        key = people.of_text(person, writer) if named in wanted else None
        if key is not None:
            body = _open(key, clean)
            extras = MessageExtras(**extras_of(body)).extras
            texts[named] = Body(content=body.content, masked=_surrogates(clean, body), **extras)
    return texts


def _open(key: TextKey, clean: CleanMessage) -> SealedBody:
    return decode(key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)), clean.structured)


def _surrogates(clean: CleanMessage, body: SealedBody) -> tuple[str, ...]:
    """Words of a clean message that stand for others, each once; none of what was curated before their places were kept."""
    places = clean.features.get("surrogates", ())
    return tuple(dict.fromkeys([*(body.content[start:end] for start, end in places), *body.masked]))


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
