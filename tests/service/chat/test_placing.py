"""Which stored conversation a chat continues: on both databases, without an engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from service.chat.place import SLOTS, Placement, Turn, place
from service.erasure import forget
from service.ingest import Incoming, NewMessage, Writer, describe
from service.store.session import Store
from service.store.tables import Conversation, Message, now
from service.vault import Vault

Turns = list[tuple[str, str]]
U, A, S = "user", "assistant", "system"


@dataclass
class Person:
    """Somebody who chats; what is placed is stored at once, with a reply."""

    store: Store
    vault: Vault
    writer: Writer
    name: str = "anna"

    def place(self, *turns: tuple[str, str], conversation: str | None = None, at: datetime | None = None) -> Placement:
        chat = [Turn(role, text) for role, text in turns]  # type: ignore[arg-type]
        return place(self.store, self.vault, "default", self.name, chat, conversation, at or now())

    def say(self, *turns: tuple[str, str], reply: str = "Hi!", conversation: str | None = None) -> Placement:
        placed = self.place(*turns, conversation=conversation)
        answer = NewMessage(placed.reply_id, A, reply, placed.parent, "origin")
        for messages in (placed.new, (answer,)):
            incoming = Incoming(
                "default", placed.conversation_id, self.name, messages, False, now(), describe(placed.conversation_id)
            )
            (outcome,) = self.writer.submit([incoming]).result(10)
            assert outcome.status < 400, outcome.detail
        return placed

    def shape(self) -> list[list[tuple[str, int | None]]]:
        """Role and parent's position of every message, by conversation in order of arrival."""
        with self.store.read() as session:
            rows = session.exec(select(Conversation.id).order_by(Conversation.received_at)).all()  # type: ignore[arg-type]
            found = []
            for row in rows:
                messages = session.exec(
                    select(Message).where(Message.conversation_id == row).order_by(Message.position)
                ).all()  # type: ignore[arg-type]
                places = {message.id: position for position, message in enumerate(messages)}
                found.append([(m.role, places.get(m.parent_id or "")) for m in messages])
            return found


@pytest.fixture
def anna(store: Store, vault: Vault) -> Iterator[Person]:
    with Writer(store, vault) as writer:
        yield Person(store, vault, writer)


def test_a_history_that_is_sent_again_finds_its_conversation(anna: Person) -> None:
    first = anna.say((S, "Be kind."), (U, "Hello"))
    second = anna.say((S, "Be kind."), (U, "Hello"), (A, "Hi!"), (U, "Who are you?"), reply="A model.")
    third = anna.place((S, "Be kind."), (U, "Hello"), (A, "Hi!"), (U, "Who are you?"), (A, "A model."), (U, "Really?"))
    assert first.conversation_id == second.conversation_id == third.conversation_id
    assert [turn.content for turn in third.new] == ["Really?"] and third.new[0].parent == second.reply_id
    assert anna.shape() == [[(S, None), (U, 0), (A, 1), (U, 2), (A, 3)]]


def test_the_same_question_again_is_a_regeneration_for_an_hour(anna: Person) -> None:
    first = anna.say((U, "Hello"))
    again = anna.place((U, "Hello"), at=now() + timedelta(minutes=59))
    later = anna.place((U, "Hello"), at=now() + timedelta(minutes=61))
    assert again.conversation_id == first.conversation_id and again.new == () and again.reply_id != first.reply_id
    assert later.conversation_id != first.conversation_id and len(later.new) == 1


def test_an_edited_question_branches_and_both_branches_go_on(anna: Person) -> None:
    anna.say((U, "Hello"))
    anna.say((U, "Hello"), (A, "Hi!"), (U, "left"), reply="L")
    anna.say((U, "Hello"), (A, "Hi!"), (U, "right"), reply="R")
    left = anna.place((U, "Hello"), (A, "Hi!"), (U, "left"), (A, "L"), (U, "on"))
    assert len(left.new) == 1
    assert anna.shape() == [[(U, None), (A, 0), (U, 1), (A, 2), (U, 1), (A, 4)]]


@pytest.mark.parametrize(
    ("label", "turns"),
    [
        ("another system prompt", [(S, "Be brief."), (U, "Hello"), (A, "Hi!"), (U, "next")]),
        ("an edited answer", [(S, "Be kind."), (U, "Hello"), (A, "Hi?"), (U, "next")]),
        ("a shorter history", [(U, "Hello"), (A, "Hi!"), (U, "next")]),
        ("another first question", [(S, "Be kind."), (U, "Hello!"), (A, "Hi!"), (U, "next")]),
    ],
)
def test_a_history_that_differs_is_a_conversation_of_its_own(anna: Person, label: str, turns: Turns) -> None:
    known = anna.say((S, "Be kind."), (U, "Hello"))
    placed = anna.place(*turns)
    assert placed.conversation_id != known.conversation_id and len(placed.new) == len(turns), label


def test_another_person_with_the_same_words_has_a_conversation_of_their_own(anna: Person) -> None:
    mine = anna.say((U, "Hello"))
    anna.name = "ben"
    assert anna.place((U, "Hello")).conversation_id != mine.conversation_id


def test_the_newest_of_two_equal_histories_is_continued(anna: Person, store: Store) -> None:
    old = anna.say((U, "Hello"))
    with store.begin() as session:
        session.exec(select(Conversation)).one().received_at = now() - timedelta(days=2)
    new = anna.say((U, "Hello"))
    placed = anna.place((U, "Hello"), (A, "Hi!"), (U, "next"))
    assert placed.conversation_id == new.conversation_id != old.conversation_id


def test_a_named_conversation_takes_everything_under_its_name(anna: Person) -> None:
    anna.say((U, "one"), conversation="mine")
    placed = anna.say((U, "two"), conversation="mine")
    assert placed.conversation_id == "mine" and anna.shape() == [[(U, None), (A, 0), (U, None), (A, 2)]]


def test_a_conversation_whose_text_is_gone_is_not_continued(anna: Person, store: Store) -> None:
    known = anna.say((U, "Hello"))
    with store.begin() as session:
        session.exec(select(Conversation)).one().raw_deleted_at = now()
    assert anna.place((U, "Hello"), (A, "Hi!"), (U, "next")).conversation_id != known.conversation_id


def test_a_person_who_was_erased_begins_anew(anna: Person, store: Store, vault: Vault) -> None:
    known = anna.say((U, "Hello"))
    forget(store, vault, "default", "anna")
    assert anna.say((U, "Hello")).conversation_id != known.conversation_id


def test_every_reply_of_many_under_one_turn_is_found_again(anna: Person) -> None:
    replies = [anna.say((U, "Hello"), reply=f"answer {number}").reply_id for number in range(6)]
    assert len(set(replies)) == 6 < SLOTS
    for number, reply_id in enumerate(replies):
        assert anna.place((U, "Hello"), (A, f"answer {number}"), (U, "next")).parent != reply_id
        assert anna.place((U, "Hello"), (A, f"answer {number}"), (U, "next")).new[0].parent == reply_id
