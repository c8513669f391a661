"""Which chats and preferences are exported, judged as selection does, by rules that bound nothing.

Consent and ratings decide as in a round. No length, language or share is asked for, nothing is thrown out as a duplicate,
and no suite is looked at: those are decisions of the recipe that somebody will train with.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.feedback.held_back import hold_back
from pipelines.feedback.pairs import build_preferences
from pipelines.feedback.select import select
from pipelines.feedback.weigh import weigh
from pipelines.recipe import Feedback, Language, PerUser, Select
from pipelines.records import Body, Corpus, MessageKey, Part, PreferenceItem, RatedConversation, RatedMessage, Turn
from service.export.shapes import LabelledAnswer, Shape, SharedChat, SharedPair, until_bad

OPEN = Select(
    response_tokens=(0, 10**9),
    language=Language(max_mixing=1.0),
    per_user=PerUser(max_share=1.0, max_votes=1.0),
    feedback=Feedback(per_app=1.0, echo=False, min_overlap=10**9, min_weight=0.0),
)
_ITEMS_AT_A_TIME = 500
EVERY_PART: tuple[Part, ...] = ("train", "dev", "heldout")


@dataclass
class ExampleChoice:
    """The chats to learn from, one at a time; counted by the reason are those that are left out.

    Attributes:
        unrated: chats that nobody rated come along as good ones.
        unsaid: good answers that the shape cannot hold, because an answer before them must not be learnt.
    """

    corpus: Corpus
    now: datetime
    parts: Sequence[Part] = EVERY_PART
    unrated: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
    unsaid: int = 0

    def chats(self, shape: Shape) -> Iterator[SharedChat]:
        """Every chat with an answer that this shape can hold, oldest first."""
        for candidate in hold_back(self.corpus.candidates(), OPEN):
            chat = self._chat(candidate)
            if chat is None or chat.part not in self.parts:
                continue
            kept = chat if shape == "openai" else until_bad(chat)
            self.unsaid += chat.answers - (kept.answers if kept else 0)
            if kept is not None:
                yield kept

    def _chat(self, candidate: RatedConversation) -> SharedChat | None:
        """The best path of a chat, as selection finds it, of this chat alone."""
        [weighed] = weigh([candidate], OPEN, self.now).candidates
        if (
            self.unrated
            and weighed.satisfaction is None
            and not any(_is_rated(message) for message in weighed.messages)
        ):
            weighed = weighed.model_copy(update={"satisfaction": OPEN.min_satisfaction})
        [item], _ = select([weighed], OPEN, count_tokens=len, find_contaminated=_find_nothing)
        if item.outcome == "left_out":
            self.left_out[item.reason] += 1
            return None
        messages = {message.key: message for message in weighed.messages}
        return SharedChat(candidate.part, tuple(messages[turn.key].turn(turn.trained) for turn in item.turns))


@dataclass
class PreferenceChoice:
    """The pairs and labelled answers of all feedback that counts; counted by the rule are pieces that do not."""

    corpus: Corpus
    now: datetime
    parts: Sequence[Part] = EVERY_PART
    left_out: Counter[str] = field(default_factory=Counter)
    unsaid: int = 0

    def pairs(self) -> Iterator[SharedPair]:
        """Every pair; `unsaid` are the labelled answers beside them."""
        for item, texts in self._items("pair"):
            assert item.chosen is not None and item.rejected is not None
            chosen, rejected = (texts[key].turn("assistant", True) for key in (item.chosen, item.rejected))
            yield SharedPair(item.part, _prompt(item, texts), chosen, rejected)

    def labelled(self) -> Iterator[LabelledAnswer]:
        """Every answer that was voted on and stands in no pair; `unsaid` are the pairs."""
        for item, texts in self._items("labelled"):
            key = item.chosen or item.rejected
            assert key is not None
            yield LabelledAnswer(item.part, _prompt(item, texts), texts[key].turn("assistant", True), item.good)

    def _items(self, kind: str) -> Iterator[tuple[PreferenceItem, Mapping[MessageKey, Body]]]:
        """The items of this kind, each with the text of its messages; fetched a few hundred at a time."""
        weighed = weigh(hold_back(self.corpus.candidates(), OPEN), OPEN, self.now)
        built = build_preferences(weighed, OPEN, count_tokens=len, find_contaminated=_find_nothing)
        self.left_out.update(fate.rule for fate in built.fates if fate.outcome == "dropped")
        inside = [item for item in built.items if item.part in self.parts]
        items = [item for item in inside if item.kind == kind]
        self.unsaid = len(inside) - len(items)
        for start in range(0, len(items), _ITEMS_AT_A_TIME):
            group = items[start : start + _ITEMS_AT_A_TIME]
            texts = self.corpus.texts(list(dict.fromkeys(key for item in group for key in _keys(item))))
            yield from ((item, texts) for item in group)


def _keys(item: PreferenceItem) -> list[MessageKey]:
    answers = [key for key in (item.chosen, item.rejected) if key is not None]
    return [*(turn.key for turn in item.prompt), *answers]


def _prompt(item: PreferenceItem, texts: Mapping[MessageKey, Body]) -> tuple[Turn, ...]:
    return tuple(texts[turn.key].turn(turn.role) for turn in item.prompt)


def _is_rated(message: RatedMessage) -> bool:
    return bool(message.up or message.down or message.corrects)


def _find_nothing(texts: Sequence[str]) -> list[None]:
    return [None] * len(texts)
