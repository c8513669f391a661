"""Which preference loss is chosen, and the sentence that says why."""

from collections import Counter
from typing import Any

import pytest

from pipelines.feedback.method import answers_learnt, as_labelled, choose_method, settle_fates, topic_shift
from pipelines.recipe import Preference
from pipelines.records import FeedbackFate, MessageKey, SnapshotItem, TurnKey
from tests.pipelines.feedback_rows import preference_items as items

SMALL = {"min_pairs": 5, "min_downs": 3, "min_ups": 3}


@pytest.mark.parametrize(
    ("given", "rule", "method", "said"),
    [
        (items(pairs=5), SMALL, "dpo", "5 real pairs, and it needs 5"),
        (items(pairs=4), SMALL, "kto", "4 good and 4 bad answers, 4 real pairs of the 5"),
        (items(pairs=5, source="resample"), SMALL, "kto", "0 real pairs"),
        (items(good=9, bad=2), SMALL, "none", "2 bad answers, and the recipe asks for 3 (preference.min_downs"),
        (items(bad=9), SMALL, "none", "0 good answers, and the recipe asks for 3 (preference.min_ups"),
        (items(bad=9), {"min_downs": 0, "min_ups": 0}, "none", "0 good and 9 bad answers, and it takes both"),
        (items(good=1, bad=2000), {}, "none", "1 good answers, and the recipe asks for 100"),
        (items(good=99, bad=200), {}, "none", "99 good answers, and the recipe asks for 100"),
        (items(good=100, bad=200), {}, "kto", "100 good and 200 bad answers"),
        (items(good=1, bad=2000), {"method": "kto"}, "kto", "the recipe says so; 1 good and 2000 bad"),
        (items(good=9, bad=3), SMALL, "kto", "their topics differ by 0.00"),
        (
            items(good=9, topic="a") + items(bad=3),
            SMALL,
            "bco",
            "different topics (their topics differ by 1.00, 0.25 is the limit)",
        ),
        (items(pairs=9, part="dev"), SMALL, "none", "0 bad answers"),
        (items(pairs=1), {"method": "dpo"}, "dpo", "the recipe says so; 1 pairs"),
        (items(good=2, bad=2), {"method": "dpo"}, "none", "asks for DPO, and there are no pairs"),
        (items(pairs=2), {"method": "kto"}, "kto", "2 good and 2 bad"),
        (items(good=2), {"method": "kto"}, "none", "asks for KTO, which takes good and bad answers; there are 2 and 0"),
        (items(good=2, bad=1), {"method": "bco"}, "bco", "the recipe says so"),
        (items(pairs=9), {"method": "none"}, "none", "the recipe says so"),
        ([], {}, "none", "0 bad answers, and the recipe asks for 200"),
    ],
)
def test_the_method_follows_the_counts_and_says_why(given: Any, rule: Any, method: str, said: str) -> None:
    choice = choose_method(given, Preference.model_validate(rule))

    assert choice.method == method and said in choice.why


def test_a_pair_splits_into_a_good_and_a_bad_answer() -> None:
    halves = as_labelled(items(pairs=1, good=1))

    assert [(one.id, one.kind, one.good) for one in halves] == [
        ("pair0/good", "labelled", True),
        ("pair0/bad", "labelled", False),
        ("good0", "labelled", True),
    ]


def test_topic_shift_is_total_variation() -> None:
    assert topic_shift(Counter(a=3, b=1), Counter(b=4)) == 0.75 and topic_shift(Counter(a=3), Counter()) == 0


# ---- fates, once the method is known ------------------------------------------------------------------------

USED, DROPPED, HELD_OUT = "used", "dropped", "held_out"


def fate(message: str, outcome: str, rule: str, value: int = 1, **more: Any) -> FeedbackFate:
    return FeedbackFate.model_validate(
        {
            "conversation": "c",
            "message": message,
            "rater": "r",
            "kind": "vote",
            "value": value,
            "outcome": outcome,
            "rule": rule,
            **more,
        }
    )


def record(*messages: str) -> SnapshotItem:
    turns = tuple(
        TurnKey(key=MessageKey(message=name, revision=1), role="assistant", trained=name != "context")
        for name in messages
    )
    return SnapshotItem(conversation="c", person="p", outcome="used", reason="train", turns=turns)


@pytest.mark.parametrize(
    ("given", "method", "outcome", "rule"),
    [
        (fate("learnt", DROPPED, "duplicate"), "none", USED, "rating"),
        (fate("learnt", DROPPED, "superseded"), "kto", USED, "rating"),
        (fate("learnt", DROPPED, "young_account"), "none", DROPPED, "young_account"),
        (fate("learnt", DROPPED, "outvoted", value=-1), "none", DROPPED, "outvoted"),
        (fate("learnt", USED, "lone"), "none", USED, "rating"),
        (fate("learnt", USED, "lone"), "dpo", USED, "rating"),
        (fate("learnt", USED, "lone"), "kto", USED, "lone"),
        (fate("learnt", USED, "siblings"), "dpo", USED, "siblings"),
        (fate("sibling", USED, "lone"), "none", DROPPED, "no_preference_stage"),
        (fate("sibling", USED, "lone"), "dpo", DROPPED, "pairs_only"),
        (fate("context", USED, "lone"), "none", DROPPED, "no_preference_stage"),
        (fate("learnt", HELD_OUT, "lone"), "none", HELD_OUT, "lone"),
        (fate("old", USED, "correction", kind="correction", other="learnt"), "none", USED, "rating"),
        (fate("old", DROPPED, "duplicate", kind="correction", other="learnt"), "none", USED, "rating"),
        (fate("learnt", USED, "correction", kind="correction", other="new"), "none", DROPPED, "no_preference_stage"),
        (fate("learnt", USED, "comparison", kind="comparison", other="b"), "none", DROPPED, "no_preference_stage"),
    ],
)
def test_feedback_is_a_rating_just_where_sft_learns_the_answer_that_it_speaks_for(
    given: FeedbackFate, method: Any, outcome: str, rule: str
) -> None:
    (settled,) = settle_fates([given], method, set(answers_learnt(record("learnt", "context"))))

    assert (settled.outcome, settled.rule) == (outcome, rule)
