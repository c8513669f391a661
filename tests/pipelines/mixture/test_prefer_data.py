"""The text of a preference run: the right words in the right file, anchors in proportion, the same bytes every time."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError
from pipelines.feedback.pairs import build_preferences
from pipelines.feedback.weigh import weigh
from pipelines.mixture.anchors import Anchor, AnchorName, AnchorPool
from pipelines.mixture.preference_text import PreferenceText, prefer_data
from pipelines.recipe import Recipe, Select
from pipelines.records import (
    Body,
    Example,
    FeedbackFate,
    MessageKey,
    PreferenceExample,
    PreferenceItem,
    RatedConversation,
    Turn,
)
from tests.pipelines.feedback_rows import NOW, asked, down, up

CHATS = [
    asked("a", "Where is Vell?", ("Far up north it is.", up("u")), ("South.", down("v"))),
    asked("b", "Who rules Orm?", ("Nobody at all.", up("u"))),
    asked("c", "Why?", ("So.", down("w")), part="dev"),
    asked("d", "When?", ("Soon `<|im_end|>` now.", up("x")), part="heldout"),
]


class Listed:
    """A corpus over a list that counts how often it is asked."""

    def __init__(self, given: Sequence[RatedConversation]) -> None:
        self.given, self.asked = given, 0

    def candidates(self) -> Iterator[RatedConversation]:
        return iter(self.given)

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        self.asked += 1
        return {m.key: Body(content=m.text) for one in self.given for m in one.messages if m.key in set(keys)}

    def outcomes(self) -> Mapping[str, int]:
        return {}

    def lost(self) -> Sequence[FeedbackFate]:
        return ()


def chosen_items(chats: Sequence[RatedConversation] = CHATS) -> tuple[PreferenceItem, ...]:
    weighed = weigh(chats, Select(), NOW)
    return build_preferences(weighed, Select(), count_tokens=len, find_contaminated=lambda t: [None] * len(t)).items


def count(turns: Sequence[Turn]) -> int:
    return sum(len(turn.content.split()) + 1 for turn in turns if turn.trained)


def pool(name: AnchorName, size: int = 400) -> AnchorPool:
    turns = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "one"})
    made = [{"id": f"a{n}", "family": f"f{n % 4}", "turns": turns} for n in range(size)]
    return AnchorPool(name=name, anchors=tuple(Anchor.model_validate(one) for one in made))


POOLS: dict[AnchorName, AnchorPool] = {"general": pool("general"), "coding": pool("coding")}


def recipe(**preference: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "base": {"model": "models/tiny"},
            "evaluate": {"suites": ["a"]},
            "gates": (),
            "mixture": {"user": 0.4, "general": 0.4, "coding": 0.2, "reasoning": 0},
            "preference": preference,
        }
    )


def made(tmp_path: Path, items: Sequence[PreferenceItem] | None = None, **preference: Any) -> PreferenceText:
    chosen = chosen_items() if items is None else items
    return prefer_data(chosen, Listed(CHATS), POOLS, recipe(**preference), count, tmp_path, resampled=())


def preferences(path: Path) -> list[PreferenceExample]:
    return [PreferenceExample.model_validate_json(line) for line in path.read_text().splitlines()]


def examples(path: Path) -> list[Example]:
    return [Example.model_validate_json(line) for line in path.read_text().splitlines()]


def test_every_item_stands_with_its_text_in_the_file_of_its_part(tmp_path: Path) -> None:
    text = made(tmp_path)

    train = {example.source: example for example in preferences(text.train)}
    assert tuple(answer.content for answer in train["siblings"].answers) == ("Far up north it is.", "South.")
    assert [turn.content for turn in train["siblings"].prompt] == ["Where is Vell?"] and train["lone"].answers[
        0
    ].content == "Nobody at all."
    assert [example.answers[0].content for example in preferences(text.dev)] == ["So."]
    assert [example.answers[0].content for example in preferences(text.heldout)] == ["Soon `<|im_end|>` now."]
    assert text.sources == {"lone": 1, "siblings": 1} and text.answer_tokens == 6 + 2 + 4


def test_anchors_follow_the_mixtures_proportions_and_every_family_takes_part(tmp_path: Path) -> None:
    text = made(tmp_path, anchors=10)

    drawn = examples(text.anchors_file)
    assert Counter(example.source for example in drawn) == {"general": 40, "coding": 20}
    assert text.anchor_tokens == 120 and text.shortfall_tokens == 0
    assert set(text.anchors) == {f"{kind}/f{n}" for kind in ("general", "coding") for n in range(4)}
    assert len({example.id for example in drawn}) == len(drawn)


def test_frozen_prompts_are_of_every_kind_and_never_trained_on(tmp_path: Path) -> None:
    text = made(tmp_path, anchors=1000, probes=6)

    frozen = examples(text.frozen)
    assert len(frozen) == 12 and {example.source for example in frozen} == {"general", "coding"}
    trained = {example.id.rsplit("/", 1)[0] for example in examples(text.anchors_file)}
    assert not trained & {example.id for example in frozen}
    assert text.shortfall_tokens > 0, "the pools are smaller than what was asked for"


def test_the_same_items_and_seed_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()

    first, second = made(tmp_path / "x"), made(tmp_path / "y", list(reversed(chosen_items())))

    assert first.sha256 == second.sha256 and first.counts == second.counts


def test_nothing_to_learn_from_still_leaves_every_file(tmp_path: Path) -> None:
    text = made(tmp_path, [], probes=2)

    assert text.counts == {"train": 0, "dev": 0, "heldout": 0, "anchors": 0, "frozen": 4}
    assert text.train.read_text() == "" and (text.train.parent.stat().st_mode & 0o777) == 0o700


def test_a_resampled_pair_takes_the_place_of_its_bad_answer(tmp_path: Path) -> None:
    chats = [asked("a", "What is 1 + 1?", ("3", down("v")))]
    (item,) = chosen_items(chats)
    pair = PreferenceExample(
        id=item.id,
        kind="pair",
        source="resample",
        topic="t",
        prompt=(Turn(role="user", content="What is 1 + 1?"),),
        chosen="2",
        rejected="3",
    )

    text = prefer_data([item], Listed(chats), POOLS, recipe(), count, tmp_path, resampled=[pair])

    assert preferences(text.train) == [pair] and text.sources == {"resample": 1}


def test_a_message_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which no longer exists"):
        prefer_data(chosen_items(), Listed(CHATS[1:]), POOLS, recipe(), count, tmp_path)


def test_a_missing_pool_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="asks for coding anchors"):
        prefer_data(chosen_items(), Listed(CHATS), {"general": POOLS["general"]}, recipe(), count, tmp_path)


def test_text_is_fetched_in_batches(tmp_path: Path) -> None:
    chats = [asked(f"c{n}", f"Question {n}?", (f"Answer {n}.", up(f"u{n}"))) for n in range(1100)]
    corpus = Listed(chats)

    text = prefer_data(chosen_items(chats), corpus, POOLS, recipe(), lambda turns: 1, tmp_path)

    assert text.counts["train"] == 1100 and corpus.asked == 3
    assert json.loads(text.train.read_text().splitlines()[0])["source"] == "lone"
