"""The most influential group of accounts, and the items without it."""

from pipelines.feedback.cohort import Cohort, influential_cohort, without_raters
from pipelines.feedback.pairs import build_preferences
from pipelines.feedback.weigh import weigh
from pipelines.recipe import Select
from pipelines.records import PreferenceItem, RatedConversation
from tests.pipelines.feedback_rows import NOW, asked, down, up

RULES = Select.model_validate({"per_user": {"max_votes": 1.0}})


def cohort(*candidates: RatedConversation) -> tuple[Cohort | None, tuple[PreferenceItem, ...]]:
    weighed = weigh(candidates, RULES, NOW)
    made = build_preferences(weighed, RULES, count_tokens=len, find_contaminated=lambda texts: [None] * len(texts))
    return influential_cohort(weighed, made.items), made.items


def honest(count: int) -> list[RatedConversation]:
    return [asked(f"h{n}", f"Question {n}?", (f"Answer {n}", up(f"h{n}"))) for n in range(count)]


def test_accounts_that_rate_the_same_things_are_one_group() -> None:
    ring = [
        asked(
            f"x{n}",
            f"Planted {n % 3}?",
            (f"Good {n}", up(f"ring{n % 2}")),
            (f"Bad {n}", down(f"ring{n % 2}")),
            prompt_cluster=f"x{n % 3}",
        )
        for n in range(6)
    ]

    found, items = cohort(*ring, *honest(10))

    assert found is not None and found.raters == ("ring0", "ring1") and 0.3 < found.share < 0.6
    assert {rater for item in without_raters(items, found.raters) for rater in item.raters} == {
        f"h{n}" for n in range(10)
    }


def test_without_a_group_the_single_heaviest_rater_is_it() -> None:
    busy = [asked(f"b{n}", f"Busy {n}?", (f"Answer {n}", up("busy"))) for n in range(4)]

    found, _ = cohort(*busy, *honest(8))

    assert found is not None and found.raters == ("busy",)


def test_where_everybody_is_connected_the_crowd_is_no_cohort() -> None:
    shared = [asked(f"s{n}", f"Shared {n}?", (f"Answer {n}", up("a", "b", "c"))) for n in range(3)]

    found, _ = cohort(*shared)

    assert found is not None and len(found.raters) == 1


def test_without_feedback_there_is_none() -> None:
    assert cohort()[0] is None
