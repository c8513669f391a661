"""The permanent regression suite: what people corrected on prompts that are kept apart for good.

{"id": "3f..", "source": "correction", "part": "heldout", "app": "shop", "language": "ko", "person": "1c..",
 "prompt": [...], "chosen": {"message": "m7", "revision": 1}, "rejected": {"message": "m2", "revision": 1}, ...}

It is nothing that is stored: the part of a prompt never changes, and a correction stands until its person is erased or
takes it or the consent back. So it grows with every round, whatever the recipe's rules leave out of training, and
an erased person is in it no more than anywhere else. docs/decisions/regression-suite.md.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipelines.artifacts import digest_of
from pipelines.feedback.echo import echoes_its_prompt
from pipelines.feedback.lesson import UNTAUGHT, TurnCase
from pipelines.feedback.rules import first_against
from pipelines.feedback.same_prompt import Prompt, prompt_of
from pipelines.feedback.select import Renders
from pipelines.feedback.tree import correction_age, newest_corrections, path_before
from pipelines.recipe import Select
from pipelines.records import PreferenceItem, RatedConversation, RatedMessage, Record, TurnKey
from pipelines.text import digest, fold


class RegressionItem(PreferenceItem):
    """A held-out correction over the answer that it took the place of; `person` is whose conversation it is in."""

    app: str
    language: str
    person: str


class Regression(Record):
    """What the suite came to in one snapshot.

    Attributes:
        version: changes with its items, and with nothing else.
        items, people: how many it has, and whose conversations they are in.
        by_app: items by app.
        in_training: corrections that are not asked, since their prompts also stand in longer training conversations.
    """

    version: str = ""
    items: int = 0
    people: int = 0
    by_app: Mapping[str, int] = {}
    in_training: int = 0


@dataclass(frozen=True)
class _Correction:
    """An item, when it was written, and its user turns as they are compared with training."""

    item: RegressionItem
    age: tuple[float, str]
    asked: tuple[int, ...]


@dataclass
class HeldoutCorrections:
    """Collects the corrections of kept-apart conversations as all conversations pass by, in one reading of the corpus.

    Of training only what its user turns were is kept, eight bytes each.
    """

    renders: Renders
    _newest: dict[Prompt, _Correction] = field(default_factory=dict)
    _trained: "array[int]" = field(default_factory=lambda: array("Q"))

    def watch(self, candidates: Iterable[RatedConversation]) -> Iterator[RatedConversation]:
        """The same conversations."""
        for candidate in candidates:
            if candidate.consent is True and candidate.part == "heldout":
                self._collect(candidate)
            elif candidate.consent is True and candidate.part == "train" and _is_rated(candidate):
                self._trained.extend(_asked(candidate.messages))
            yield candidate

    def settle(self) -> tuple[list[RegressionItem], Regression]:
        """The suite of everything that passed, by id, and what it came to."""
        wanted = {asked for one in self._newest.values() for asked in one.asked}
        trained = wanted.intersection(self._trained)
        apart = [one.item for one in self._newest.values() if not trained.issuperset(one.asked)]
        items = sorted(apart, key=lambda item: item.id)
        return items, Regression(
            version=digest_of([item.id for item in items])[:8] if items else "",
            items=len(items),
            people=len({item.person for item in items}),
            by_app=dict(sorted(Counter(item.app for item in items).items())),
            in_training=len(self._newest) - len(items),
        )

    def _collect(self, candidate: RatedConversation) -> None:
        messages = {message.key.message: message for message in candidate.messages}
        for original, correction in newest_corrections(candidate.messages).items():
            if original not in messages or original == correction.key.message:
                continue
            before = path_before(messages, messages[original])
            if self._measures(before, messages[original], correction):
                prompt, _ = prompt_of(before, candidate.conversation)
                one = _Correction(
                    _item(candidate, before, messages[original], correction), correction_age(correction), _asked(before)
                )
                if prompt not in self._newest or self._newest[prompt].age < one.age:
                    self._newest[prompt] = one

    def _measures(self, before: tuple[RatedMessage, ...], original: RatedMessage, correction: RatedMessage) -> bool:
        """Whether a person wrote it, it says something else and something of its own, and a model can read it."""
        assert correction.corrects is not None
        if correction.corrects.source != "person" or fold(correction.said, "NFC") == fold(original.said, "NFC"):
            return False
        cases = [TurnCase(message, 0, Select(), before=before) for message in (original, correction)]
        if any(case.message.replaced or first_against(UNTAUGHT, case) for case in cases):
            return False
        if echoes_its_prompt(correction, before):
            return False
        prompt = [turn.turn() for turn in before]
        return all(self.renders([*prompt, message.turn(trained=True)]) for message in (original, correction))


def _item(
    candidate: RatedConversation, before: tuple[RatedMessage, ...], original: RatedMessage, correction: RatedMessage
) -> RegressionItem:
    assert correction.corrects is not None
    prompt = tuple(TurnKey(key=turn.key, role=turn.role, trained=False) for turn in before)
    keys = [turn.key.model_dump() for turn in prompt], original.key.model_dump(), correction.key.model_dump()
    return RegressionItem(
        id=digest_of(keys)[:32],
        kind="pair",
        source="correction",
        part="heldout",
        conversations=(candidate.conversation,),
        raters=(correction.corrects.rater,),
        topic=candidate.topic,
        month=candidate.occurred_at.strftime("%Y-%m"),
        prompt=prompt,
        chosen=correction.key,
        rejected=original.key,
        app=candidate.app,
        language=candidate.language,
        person=candidate.person,
    )


def _is_rated(candidate: RatedConversation) -> bool:
    return candidate.satisfaction is not None or any(
        message.up or message.down or message.corrects for message in candidate.messages
    )


def _asked(messages: Iterable[RatedMessage]) -> tuple[int, ...]:
    """The user turns, eight bytes each."""
    return tuple(
        int.from_bytes(digest(fold(message.text, "NFC"))[:8]) for message in messages if message.role == "user"
    )
