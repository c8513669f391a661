"""What the clients know: everything they sent, and what of it was acknowledged.

A value that changes (a vote, a correction, a comparison) may end as what was acknowledged last, or as something that was
sent after that and never answered; nothing else. Texts that were acknowledged must be stored once, word for word.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass
class Register:
    """A value that is replaced: what was acknowledged last, and what was sent since without an answer."""

    acknowledged: Hashable
    unanswered: list[Hashable] = field(default_factory=list)
    answers: int = 0

    def send(self, value: Hashable) -> None:
        self.unanswered.append(value)

    def acknowledge(self, value: Hashable) -> None:
        self.acknowledged, self.unanswered = value, []
        self.answers += 1

    def may_be(self, value: Hashable) -> bool:
        return value == self.acknowledged or value in self.unanswered


@dataclass(frozen=True)
class Message:
    """A message as a client sent it, under the id that the app knows it by."""

    id: str
    role: str
    content: str
    parent: str | None


@dataclass
class Talk:
    """A conversation: `messages` were acknowledged, `unanswered` were sent after them."""

    id: str
    user: str
    messages: list[Message] = field(default_factory=list)
    unanswered: list[Message] = field(default_factory=list)
    satisfaction: Register = field(default_factory=lambda: Register(None))

    def acknowledge(self) -> None:
        self.messages += self.unanswered
        self.unanswered = []

    @property
    def answers(self) -> list[Message]:
        return [message for message in self.messages if message.role == "assistant"]


@dataclass
class Reply:
    """What a client read of a chat's reply; `whole` once its end was told. A blank one is not stored."""

    text: str = ""
    whole: bool = False


@dataclass
class Chat:
    """A conversation with the champion: turns that were surely stored, turns that may be, replies by id.

    `nameless` counts requests that broke off before the reply's id was known: each may have left one reply.
    """

    id: str
    user: str
    turns: set[str] = field(default_factory=set)
    perhaps: set[str] = field(default_factory=set)
    replies: dict[str, Reply] = field(default_factory=dict)
    nameless: int = 0
    history: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Corrections:
    """One person's corrections of one answer: the newest text (None: taken back), and each text by its answered id."""

    newest: Register = field(default_factory=lambda: Register(None))
    texts: dict[str, str] = field(default_factory=dict)
    sent: int = 0


Pair = tuple[str, str]  # message ids in the order of the alphabet


@dataclass
class Ledger:
    """Everything that the clients of one database sent."""

    talks: dict[str, Talk] = field(default_factory=dict)
    chats: dict[str, Chat] = field(default_factory=dict)
    votes: dict[tuple[str, str], Register] = field(default_factory=dict)
    corrections: dict[tuple[str, str], Corrections] = field(default_factory=dict)
    comparisons: dict[tuple[str, Pair], Register] = field(default_factory=dict)

    def vote(self, message: str, rater: str) -> Register:
        """Whether the rater likes the message: 1, -1, or 0 for no vote."""
        return self.votes.setdefault((message, rater), Register(0))

    def correction(self, message: str, rater: str) -> Corrections:
        return self.corrections.setdefault((message, rater), Corrections())

    def comparison(self, rater: str, one: str, other: str) -> Register:
        """Which of the two the rater prefers; None for neither."""
        pair = (min(one, other), max(one, other))
        return self.comparisons.setdefault((rater, pair), Register(None))

    def acknowledged(self) -> Counter[str]:
        """How many of each kind the service said that it has stored."""
        talks = [talk for talk in self.talks.values() if talk.messages]
        chats = [chat for chat in self.chats.values() if chat.turns]
        replies = [reply for chat in chats for reply in chat.replies.values()]
        return Counter(
            conversations=len(talks) + len(chats),
            messages=sum(len(talk.messages) for talk in talks),
            chat_turns=sum(len(chat.turns) for chat in chats),
            chat_replies=sum(reply.whole for reply in replies),
            votes=sum(vote.answers for vote in self.votes.values()),
            corrections=sum(len(one.texts) for one in self.corrections.values()),
            comparisons=sum(one.answers for one in self.comparisons.values()),
        )
