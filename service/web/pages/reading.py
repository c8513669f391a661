"""Conversations as a person reads them: their anonymized text as a tree, what was said of it, and what became of it.

Never the original: what is unsealed here are rows of clean_message, and only while the conversation counts as checked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from pipelines.curate.reasons import in_words
from pipelines.errors import NotFound, PerennialError
from pipelines.feedback.reasons import CONVERSATION_REASONS, FEEDBACK_REASONS
from service.ingest.body import Body, decode
from service.store import conversations, corpus, corrections, curation, people, reviews, votes
from service.store.tables import CleanMessage, Conversation, Message
from service.vault import PersonKeys, Vault, clean_place
from service.web.fates import decided, feedback_on
from service.web.pages.words import N_
from service.web.schemas import FeedbackUse, MessageFeedback

READABLE = ("clean", "received")  # what waits to be checked again may be read as it was checked before
STATES = {
    "received": N_("waits to be checked"),
    "clean": N_("checked"),
    "rejected": N_("left out"),
    "quarantined": N_("could not be checked"),
    "erased": N_("erased"),
}
PARTS = {"train": N_("to learn from"), "dev": N_("to choose settings"), "heldout": N_("to measure the result")}
OUTCOMES = {"used": N_("used"), "held_out": N_("kept apart"), "left_out": N_("left out"), "dropped": N_("left out")}
_NOT_CLEAN = "it was not checked and anonymized at that time"
_EXCERPT = 110


@dataclass(frozen=True)
class Piece:
    """A stretch of text; `stands_for` is true where anonymization put it in place of something personal."""

    text: str
    stands_for: bool = False


Reading = tuple[Body | None, tuple[Piece, ...] | None]


@dataclass(frozen=True)
class TurnView:
    """One message of a tree, in the order to read it: `level` branches deep, the `nth` of `siblings` under one parent.

    `pieces` is None where there is no anonymized text of it.
    """

    id: str
    position: int
    role: str
    level: int
    nth: int
    siblings: int
    pieces: tuple[Piece, ...] | None
    body: Body | None
    model: str
    state: str
    at: datetime | None
    feedback: MessageFeedback | None
    tags: tuple[tuple[str, int], ...]

    @property
    def is_answer(self) -> bool:
        """Whether people may vote on it and write a better one: an answer of the assistant, no correction."""
        return self.role == "assistant" and (self.feedback is None or self.feedback.corrects is None)


@dataclass(frozen=True)
class RowView:
    """A conversation in the list."""

    row: Conversation
    app: str
    excerpt: str
    up: int
    down: int
    why: str


@dataclass(frozen=True)
class UseView:
    """What a round decided about a conversation, and what it made of the feedback on it, in words."""

    round: int
    outcome: str
    words: str
    feedback: tuple[tuple[FeedbackUse, str], ...]


def row_views(session: Session, vault: Vault, rows: Sequence[Conversation]) -> list[RowView]:
    """The conversations of a list, in its order, each with the beginning of what was first asked."""
    ids = [row.id for row in rows]
    apps, keys = dict(people.all_apps(session)), PersonKeys(vault, people.wrapped_key, session)
    texts = corpus.clean_messages(session, [row.id for row in rows if row.state in READABLE])
    reasons, counted = conversations.reasons_of(session, ids), votes.count_votes_in(session, ids)
    return [
        RowView(
            row=row,
            app=apps.get(row.app_id, ""),
            excerpt=_excerpt(keys, row, texts.get(row.id, ())),
            up=counted[row.id, 1],
            down=counted[row.id, -1],
            why=in_words(reasons.get(row.id, "")) or reasons.get(row.id, ""),
        )
        for row in rows
    ]


def conversation_view(session: Session, vault: Vault, id: str) -> dict[str, Any]:
    """One conversation with its tree and its fate. Raises NotFound."""
    row = session.get(Conversation, id)
    if row is None:
        raise NotFound(f"there is no conversation with the id {id[:80]!r}")
    rejection, quarantine = conversations.rejection_of(session, id), conversations.quarantine_of(session, id)
    reason = rejection.rule if rejection else quarantine.reason if quarantine else ""
    turns = turns_of(session, vault, row)
    return {
        "row": row,
        "app": dict(people.all_apps(session)).get(row.app_id, ""),
        "turns": turns,
        "has_text": any(turn.pieces is not None for turn in turns),
        "satisfaction": conversations.satisfaction_of(session, id),
        "reason": reason,
        "why": in_words(reason),
        "detail": rejection.detail if rejection else "",
        "uses": _uses(session, id),
        "review": reviews.review_of(session, id),
    }


def turns_of(session: Session, vault: Vault, row: Conversation) -> list[TurnView]:
    """The messages of a conversation in the order to read them: an answer's branch before the next answer."""
    clean = corpus.clean_messages(session, [row.id])[row.id] if row.state in READABLE else []
    by_id = {message.id: newest for message, newest in clean}
    writers = {one.message_id: one.person_id for one in corrections.by_conversation(session, [row.id]).get(row.id, [])}
    keys = PersonKeys(vault, people.wrapped_key, session)

    def read(message: Message) -> Reading:
        newest = by_id.get(message.id)
        body = None if newest is None else _open(keys, row.person_id, writers.get(message.id), newest)
        return (body, None if body is None or newest is None else _pieces(body, newest))

    return views_of(session, row, read)


def views_of(session: Session, row: Conversation, read: Callable[[Message], Reading]) -> list[TurnView]:
    """As `turns_of`, with what is read of each message."""
    said = {one.position: one for one in feedback_on(session, row.app_id, row.id)}
    tags = votes.tags_of(session, row.app_id, row.id)
    views = []
    for message, level, nth, siblings in _walk(curation.raw_messages(session, [row.id])[row.id]):
        body, pieces = read(message)
        views.append(
            TurnView(
                id=message.id,
                position=message.position,
                role=message.role,
                level=level,
                nth=nth,
                siblings=siblings,
                pieces=pieces,
                body=body,
                model=message.served_by or message.model or "",
                state=message.state,
                at=message.occurred_at,
                feedback=said.get(message.position),
                tags=tags.get(message.client_hmac, ()),
            )
        )
    return views


def _walk(messages: Sequence[Message]) -> Iterator[tuple[Message, int, int, int]]:
    """Every message with its level and its place among its siblings; depth first, without recursion."""
    known = {message.id for message in messages}
    children: Mapping[str | None, list[Message]] = defaultdict(list)
    for message in messages:
        children[message.parent_id if message.parent_id in known else None].append(message)
    waiting = _branches(children[None], 0)
    while waiting:
        message, level, nth, siblings = waiting.pop()
        yield message, level, nth, siblings
        waiting += _branches(children[message.id], level)


def _branches(siblings: Sequence[Message], level: int) -> list[tuple[Message, int, int, int]]:
    """The siblings as they wait on a stack: the first one on top."""
    inner = level + (1 if len(siblings) > 1 else 0)
    return [(one, inner, nth, len(siblings)) for nth, one in reversed(list(enumerate(siblings, start=1)))]


def _open(keys: PersonKeys, owner: str, writer: str | None, clean: CleanMessage) -> Body | None:
    """What a clean message says; None once a person it belongs to was forgotten, or where it is damaged."""
    key = keys.of_text(owner, writer)
    if key is None:
        return None
    try:
        return decode(key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)), clean.structured)
    except PerennialError:
        return None


def _pieces(body: Body, clean: CleanMessage) -> tuple[Piece, ...]:
    pieces, done = [], 0
    for start, end in clean.features.get("surrogates", ()):
        pieces += [Piece(body.content[done:start]), Piece(body.content[start:end], stands_for=True)]
        done = end
    return tuple(piece for piece in (*pieces, Piece(body.content[done:])) if piece.text)


def _excerpt(keys: PersonKeys, row: Conversation, messages: Sequence[tuple[Message, CleanMessage]]) -> str:
    first = next((clean for message, clean in messages if message.role == "user"), None)
    body = None if first is None else _open(keys, row.person_id, None, first)
    text = "" if body is None else " ".join(body.content[: 4 * _EXCERPT].split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT].rsplit(" ", 1)[0] + " …"


def _uses(session: Session, id: str) -> list[UseView]:
    return [
        UseView(
            round=use.round,
            outcome=use.outcome,
            words=_NOT_CLEAN if use.reason == "not_clean" else CONVERSATION_REASONS.get(use.reason, use.reason),
            feedback=tuple((one, FEEDBACK_REASONS.get(one.rule, one.rule)) for one in use.feedback),
        )
        for use in decided(session, id)
    ]
