"""After the storm, straight from the database: is everything acknowledged there, once, and as it was said last?"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from bench.storm.check_api import Verdict
from bench.storm.ledger import Chat, Corrections, Ledger, Talk
from bench.storm.service import APP
from service.settings import Settings
from service.store import people
from service.store.session import open_store
from service.store.tables import (
    CleanMessage,
    Cluster,
    Comparison,
    ComparisonEvent,
    Conversation,
    Correction,
    Message,
    Quarantine,
    Rejection,
    Satisfaction,
    Vote,
    VoteEvent,
)
from service.vault import PersonKeys, Vault, open_vault, raw_place


def check_database(settings: Settings, ledger: Ledger, verdict: Verdict, all_curated: bool = True) -> None:
    """Compares every row of the storm's app with what the clients know; nothing may wait for curation any more."""
    with closing(open_store(settings)) as store:
        vault = open_vault(settings, store)
        with store.read() as session:
            app = people.app_id(session, APP)
            assert app is not None
            database = _Database(session, vault, app, ledger, verdict)
            database.check_conversations()
            database.check_votes()
            database.check_comparisons()
            database.check_corrections()
            database.check_curation(all_curated)
        if store.is_sqlite:
            with store.read() as session:
                if session.execute(text("PRAGMA integrity_check")).scalar_one() != "ok":
                    verdict.wrong["pages of the database"] += 1


class _Database:
    """The rows of one app beside the ledger."""

    def __init__(self, session: Session, vault: Vault, app: str, ledger: Ledger, verdict: Verdict) -> None:
        self._session, self._vault, self._app, self._ledger, self._verdict = session, vault, app, ledger, verdict
        rows = session.exec(select(Conversation).where(Conversation.app_id == app)).all()
        self._rows = {row.client_hmac: row for row in rows}
        self._owners = {row.id: row.person_id for row in rows}
        self._keys = PersonKeys(vault, people.wrapped_key, session)
        self._written = {one.message_id: one for one in session.exec(select(Correction)).all()}
        self._newest = {
            (one.corrected_message_id, one.person_id): one
            for one in sorted(self._written.values(), key=lambda one: (one.at, one.id))
        }
        self._by_id = {message.id: message for message in session.exec(select(Message).order_by(col(Message.position)))}
        self._messages: dict[str, list[Message]] = defaultdict(list)
        for message in self._by_id.values():
            self._messages[message.conversation_id].append(message)

    def check_conversations(self) -> None:
        known = set()
        for one in [*self._ledger.talks.values(), *self._ledger.chats.values()]:
            hmac = self._vault.conversation_hash(self._app, one.id)
            known.add(hmac)
            acknowledged = one.messages if isinstance(one, Talk) else one.turns
            row = self._rows.get(hmac)
            if row is None:
                self._verdict.lost["conversations"] += bool(acknowledged)
                continue
            self._verdict.stored["conversations"] += bool(acknowledged)
            messages = [message for message in self._messages[row.id] if message.id not in self._written]
            if isinstance(one, Talk):
                self._check_talk(one, messages)
            else:
                self._check_chat(one, messages)
        self._verdict.double["conversations"] += len(self._rows.keys() - known)

    def _check_talk(self, talk: Talk, rows: Sequence[Message]) -> None:
        by_hash = defaultdict(list)
        for row in rows:
            by_hash[row.client_hmac].append(row)
        for number, message in enumerate([*talk.messages, *talk.unanswered]):
            here = by_hash.pop(self._vault.message_hash(self._app, message.id), [])
            self._count("messages", len(here), must=number < len(talk.messages))
            if here and (here[0].role, self._text(here[0])) != (message.role, message.content):
                self._verdict.wrong["messages"] += 1
        self._verdict.double["messages"] += sum(map(len, by_hash.values()))

    def _check_chat(self, chat: Chat, rows: Sequence[Message]) -> None:
        turns = Counter(self._text(row) for row in rows if row.role == "user")
        for turn in chat.turns | chat.perhaps:
            self._count("chat_turns", turns.pop(turn, 0), must=turn in chat.turns)
        self._verdict.double["chat_turns"] += turns.total()
        replies = {row.client_hmac: row for row in rows if row.role == "assistant"}
        for id, reply in chat.replies.items():
            row = replies.pop(self._vault.message_hash(self._app, id), None)
            self._count("chat_replies", row is not None, must=reply.whole)
            if row is not None:
                stored = self._text(row)
                good = (
                    stored == reply.text and row.state == "complete" if reply.whole else stored.startswith(reply.text)
                )
                self._verdict.wrong["chat_replies"] += not good
        self._verdict.double["chat_replies"] += max(0, len(replies) - chat.nameless)

    def check_votes(self) -> None:
        rows = self._session.exec(select(Vote).where(Vote.app_id == self._app)).all()
        history = self._history(VoteEvent, lambda event: (event.message_hmac, event.rater_hmac))
        standing = {(row.message_hmac, row.rater_hmac): row.value for row in rows}
        hashed = {
            (self._vault.message_hash(self._app, message), self._vault.person_hash(self._app, rater)): register
            for (message, rater), register in self._ledger.votes.items()
        }
        self._compare("votes", hashed, standing, history)

    def check_comparisons(self) -> None:
        rows = self._session.exec(select(Comparison).where(Comparison.app_id == self._app)).all()
        history = self._history(ComparisonEvent, lambda event: (event.rater_hmac, event.first_hmac, event.second_hmac))
        standing = {(row.rater_hmac, row.first_hmac, row.second_hmac): row.value for row in rows}
        hashed = {}
        for (rater, pair), register in self._ledger.comparisons.items():
            names = {self._vault.message_hash(self._app, name): name for name in pair}
            first, second = sorted(names)
            hashed[self._vault.person_hash(self._app, rater), first, second] = register
            value = standing.get((self._vault.person_hash(self._app, rater), first, second), 0)
            chosen = {0: None, 1: names[first], -1: names[second]}[value]
            self._verdict.wrong["comparisons"] += not register.may_be(chosen)
        self._compare("comparisons", hashed, standing, history, values=False)

    def _history(self, table: Any, key: Any) -> dict[Any, list[int]]:
        events: dict[Any, list[int]] = defaultdict(list)
        for event in self._session.exec(select(table).where(table.app_id == self._app).order_by(table.at, table.id)):
            events[key(event)].append(event.value)
        return events

    def _compare(
        self,
        what: str,
        sent: Mapping[Any, Any],
        standing: Mapping[Any, int],
        history: Mapping[Any, Sequence[int]],
        values: bool = True,
    ) -> None:
        """What stands against what was sent; a history that repeats itself holds something twice."""
        for key, register in sent.items():
            if register.answers and register.acknowledged and not register.unanswered and key not in standing:
                self._verdict.lost[what] += 1
            elif values and not register.may_be(standing.get(key, 0)):
                self._verdict.wrong[what] += 1
            else:
                self._verdict.stored[what] += key in standing
        self._verdict.double[what] += len(standing.keys() - sent.keys())
        for key, value in standing.items():
            events = [0, *history.get(key, ())]
            self._verdict.double[f"{what} in the history"] += any(
                one == other for one, other in zip(events, events[1:], strict=False)
            )
            self._verdict.wrong[f"{what} in the history"] += events[-1] != value

    def check_corrections(self) -> None:
        by_place: dict[tuple[str, str], list[Correction]] = defaultdict(list)
        for one in sorted(self._written.values(), key=lambda one: (one.at, one.id)):
            by_place[self._by_id[one.corrected_message_id].client_hmac, one.person_id].append(one)
        ids = self._people({rater for _, rater in self._ledger.corrections})
        for (message, rater), sent in self._ledger.corrections.items():
            rows = by_place.pop((self._vault.message_hash(self._app, message), ids.get(rater, "")), [])
            self._check_corrections_of_one(sent, rows)
        self._verdict.double["corrections"] += sum(map(len, by_place.values()))

    def _check_corrections_of_one(self, sent: Corrections, rows: Sequence[Correction]) -> None:
        texts = {row.id: self._text(self._by_id[row.message_id], row.person_id) for row in rows}
        for id, content in sent.texts.items():
            self._count("corrections", id in texts, must=True)
            self._verdict.wrong["corrections"] += texts.get(id, content) != content
        self._verdict.double["corrections"] += len(texts) - len(set(texts.values()))
        newest = None if not rows or rows[-1].retracted_at is not None else texts[rows[-1].id]
        self._verdict.wrong["newest corrections"] += not sent.newest.may_be(newest)

    def check_curation(self, all_curated: bool) -> None:
        """Each conversation ends in one state, with what belongs to it and nothing twice."""
        clean = defaultdict(set)
        for row in self._session.exec(select(CleanMessage)).all():
            clean[row.conversation_id, row.revision].add(row.message_id)
        rejected = set(self._session.exec(select(Rejection.conversation_id)).all())
        quarantined = set(self._session.exec(select(Quarantine.conversation_id)).all())
        for row in self._rows.values():
            self._verdict.states[row.state] += 1
            done = row.curated_revision == row.revision and row.state != "received"
            self._verdict.wrong["curation that never ended"] += all_curated and not done
            if done:
                self._check_curated(row, clean, row.id in rejected, row.id in quarantined)
        twins = select(Cluster.kind, Cluster.exact).group_by(Cluster.kind, Cluster.exact).having(func.count() > 1)
        self._verdict.double["clusters"] += len(self._session.exec(twins).all())
        self._check_satisfaction()

    def _check_curated(self, row: Conversation, clean: Any, rejected: bool, quarantined: bool) -> None:
        states = {"clean": not (rejected or quarantined), "rejected": rejected, "quarantined": quarantined}
        self._verdict.wrong["states"] += not states.get(row.state, False) or (rejected and quarantined)
        here = clean[row.id, row.revision]
        if row.state != "clean":
            self._verdict.wrong["clean text of what is not clean"] += bool(here)
            return
        messages = {message.id for message in self._messages[row.id]}
        left_out = {id for id in messages & self._written.keys() if self._is_left_out(self._written[id])}
        perhaps = {id for id in messages & self._written.keys() if self._written[id].retracted_at is not None}
        good = messages - left_out - perhaps <= here <= (messages - left_out) | perhaps
        self._verdict.wrong["clean messages"] += not good
        self._verdict.stored["curated"] += good

    def _is_left_out(self, one: Correction) -> bool:
        """Whether a correction is refused, or an older one of its person. One taken back was clean until then."""
        return one.refused is not None or self._newest[one.corrected_message_id, one.person_id] is not one

    def _check_satisfaction(self) -> None:
        values = dict(self._session.exec(select(Satisfaction.conversation_id, Satisfaction.value)).all())
        for talk in self._ledger.talks.values():
            row = self._rows.get(self._vault.conversation_hash(self._app, talk.id))
            if row is not None:
                self._verdict.wrong["satisfaction"] += not talk.satisfaction.may_be(values.get(row.id))

    def _people(self, users: Iterable[str]) -> dict[str, str]:
        hashes = {self._vault.person_hash(self._app, user): user for user in users}
        known = people.people_by_hash(self._session, self._app, sorted(hashes))
        return {hashes[hmac]: id for hmac, (id, *_) in known.items()}

    def _text(self, message: Message, writer: str | None = None) -> str:
        key = self._keys.of_text(self._owners[message.conversation_id], writer)
        assert key is not None and message.sealed is not None
        return key.unseal(message.sealed, raw_place(message.id)).decode()

    def _count(self, what: str, times: int, must: bool) -> None:
        self._verdict.lost[what] += must and not times
        self._verdict.stored[what] += must and bool(times)
        self._verdict.double[what] += max(0, times - 1)
