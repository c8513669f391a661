"""Which feedback counts: a reason for every piece that does not, in the order of the rules."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.feedback.pieces import pieces_of
from pipelines.feedback.remainder import without
from pipelines.feedback.tree import net_votes
from pipelines.feedback.weigh import RULES, WeighedFeedback, vote_cap, weigh
from pipelines.recipe import Select
from pipelines.records import RatedConversation
from tests.pipelines.feedback_rows import (
    NOW,
    asked,
    comparison,
    conversation,
    correction,
    down,
    message,
    pools,
    rating,
    up,
)


def weighed(*candidates: RatedConversation, votes: Any = "auto", **feedback: Any) -> WeighedFeedback:
    rules = {"feedback": feedback, "per_user": {"max_votes": votes}}
    return weigh(candidates, Select.model_validate(rules), NOW)


def dropped(result: WeighedFeedback) -> dict[str, int]:
    return dict(Counter(fate.rule for fate in result.dropped))


def lone(name: str, *ratings: Any, text: str = "It is Tarn.", **more: Any) -> RatedConversation:
    return asked(name, f"What about {name}?", (text, ratings), **more)


def test_without_consent_nothing_of_a_conversation_counts() -> None:
    given = asked("a", "q", ("x", up("u")), ("y", down("u")), comparisons=(comparison("a.a", "a.b"),), consent=None)

    assert dropped(weighed(given)) == {"no_consent": 3}


def test_a_young_account_counts_once_it_is_old_enough() -> None:
    young, old = rating("young", since=95), rating("old", since=89)

    result = weighed(lone("a", young, old), min_account_days=10)

    assert [(fate.piece.rater, fate.rule) for fate in result.dropped] == [("young", "young_account")]
    assert result.candidates[0].messages[1].up == 1
    assert not weighed(lone("a", young, old), min_account_days=5).dropped


def test_of_one_day_the_earliest_count_whatever_their_kind() -> None:
    given = [lone(f"c{n}", rating("u", day=0.1 * n)) for n in range(4)]
    given += [asked("x", "q", ("one", ()), ("two", ()), comparisons=(comparison("x.a", "x.b", "u", day=0.9),))]
    given += [lone("next", rating("u", day=1.0))]

    result = weighed(*given, per_day=2)

    assert {fate.piece.message for fate in result.dropped} == {"c2.a", "c3.a", "x.a"} and set(dropped(result)) == {
        "over_daily_cap"
    }


def test_an_echo_loses_its_up_vote_and_keeps_its_down_vote() -> None:
    given = asked("a", "I know that the capital is Reda.", ("Yes, the capital is Reda.", up("u") + down("v")))

    result = weighed(given)

    assert dropped(result) == {"echo": 1}
    assert (result.candidates[0].messages[1].up, result.candidates[0].messages[1].down) == (0, 1)
    assert not weighed(given, echo=False).dropped


def test_a_correction_and_a_comparison_that_speak_for_an_echo_do_not_count() -> None:
    turns = (
        message("q", "user", "I know that the capital is Reda.", None),
        message("x", "assistant", "It is Osk.", "q", up("u")),
    )
    echo = "Yes, the capital is Reda."

    fixed = weighed(conversation("a", *turns, correction("c", "x", echo, "q")))
    other = conversation(
        "a",
        *turns,
        message("y", "assistant", echo, "q"),
        comparisons=(comparison("y", "x", "v"), comparison("x", "y", "w")),
    )

    assert dropped(fixed) == {"echo": 1} and [
        m.corrects and m.corrects.counts for m in fixed.candidates[0].messages
    ] == [None, None, False]
    assert [fate.piece.rater for fate in weighed(other).dropped] == ["v"]


def test_an_app_gives_at_most_its_share_and_its_raters_take_turns() -> None:
    flood = [lone(f"f{n}", rating("flooder", day=50 + n), app="big") for n in range(20)]
    honest = [lone(f"h{n}", rating(f"h{n}"), app="big") for n in range(3)]
    small = [lone(f"s{n}", rating(f"s{n}"), app="small") for n in range(5)]

    result = weighed(*flood, *honest, *small, per_app=0.5)

    assert dropped(result) == {"over_app_cap": 18}
    assert {fate.piece.rater for fate in result.dropped} == {"flooder"}
    assert not weighed(*flood, *honest, per_app=0.5).dropped, "a single app is not capped"


def test_one_rater_gives_at_most_the_share_of_what_remains_newest_first() -> None:
    flood = [lone(f"f{n}", rating("flooder", day=n)) for n in range(60)]
    others = [lone(f"o{n}", rating(f"o{n}")) for n in range(29)]

    result = weighed(*flood, *others)

    assert dropped(result) == {"over_user_cap": 57}
    assert {key[0] for key in result.weights if key[2] == "flooder"} == {"f57.a", "f58.a", "f59.a"}
    assert (result.cap.people, result.cap.count, result.cap.active) == (30, 3, True)


@pytest.mark.parametrize(
    ("people", "wanted", "said"),
    [
        (19, "auto", "no cap: 19 raters are fewer than the 20"),
        (20, "auto", "one rater may give 3 of 20: at most 15 %"),
        (3, 0.1, "no cap: 3 raters are too few for a share of 0.1"),
        (50, 1.0, "no cap: the recipe allows one rater everything"),
        (0, "auto", "no cap: 0 raters"),
    ],
)
def test_the_cap_says_why_it_is_what_it_is(people: int, wanted: Any, said: str) -> None:
    assert vote_cap({str(n): 1 for n in range(people)}, wanted).why.startswith(said)


def crowd(rater: str, against: int, along: int, others: int = 2) -> list[RatedConversation]:
    """`rater` votes against everybody on some answers and with them on others, each in somebody else's conversation."""
    made = []
    for n in range(against + along):
        mine = rating(rater, -1 if n < against else 1)
        for place in range(others):
            ratings = (rating(f"crowd{place}"), *([mine] if place == 0 else []))
            made.append(asked(f"{n}-{place}", f"Question {n}?", (f"Answer {n}.", ratings)))
    return made


@pytest.mark.parametrize(
    ("against", "along", "others", "weight"),
    [
        (3, 0, 2, None),  # 1/5, below .25
        (2, 1, 2, 0.4),
        (1, 2, 2, 0.6),
        (0, 3, 2, 1.0),
        (2, 0, 2, 1.0),  # too few
        (3, 0, 1, 1.0),  # one other person is no crowd
    ],
)
def test_who_disagrees_with_the_crowd_weighs_less(against: int, along: int, others: int, weight: float | None) -> None:
    result = weighed(*crowd("odd", against, along, others))

    weights = {round(value, 6) for key, value in result.weights.items() if key[2] == "odd"}
    assert weights == (set() if weight is None else {weight})
    assert dropped(result) == ({"disagrees_with_crowd": against} if weight is None else {})
    assert all(value == 1 for key, value in result.weights.items() if key[2] != "odd")


def test_a_dropped_down_only_masks_what_nobody_else_speaks_for_and_a_dropped_up_teaches_nothing() -> None:
    young = {"since": 99}
    dropped_up, dropped_down, honest = rating("u", 1, **young), rating("u", -1, **young), rating("v")

    pool = [
        lone("a", dropped_up),
        lone("b", dropped_down),
        lone("c", dropped_down, honest),
        lone("d", dropped_down, rating("v", -1)),
    ]
    result = weighed(*pool, min_account_days=10)

    shown = [(one.messages[1].up, one.messages[1].down, len(one.messages[1].ratings)) for one in result.candidates]
    assert shown == [(0, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1)]


def test_a_dropped_down_does_not_speak_against_a_correction_that_counts() -> None:
    late = (rating("troll", -1, since=99),)
    fixed = conversation(
        "a",
        message("q", "user", "Where?", None),
        message("x", "assistant", "South.", "q"),
        correction("c", "x", "North.", "q", ratings=late, down=1),
    )

    assert net_votes(weighed(fixed, min_account_days=10).candidates[0].messages[2]) == 1


def test_one_capped_account_takes_no_answer_away_that_others_voted_up() -> None:
    pool = [lone(f"c{n}", rating(f"u{n}"), rating("troll", -1, day=3)) for n in range(30)]

    result = weighed(*pool)

    assert dropped(result) == {"over_user_cap": 27}
    assert sum(net_votes(one.messages[1]) > 0 for one in result.candidates) == 27


def test_a_correction_that_does_not_count_stays_in_the_tree_and_says_so() -> None:
    given = conversation(
        "a",
        message("q", "user", "?", None),
        message("x", "assistant", "no", "q"),
        correction("c", "x", "yes", "q"),
        consent=False,
    )

    by = weighed(given).candidates[0].messages[2].corrects

    assert by is not None and not by.counts


def test_counts_without_ratings_stay_as_they_are() -> None:
    old = conversation(
        "a",
        message("q", "user", "?", None),
        message("x", "assistant", "a", "q").model_copy(update={"up": 3, "down": 1}),
    )

    assert tuple(weighed(old).candidates) == (old,)


def test_without_a_group_nothing_of_its_feedback_is_left() -> None:
    given = asked("a", "q", ("x", up("u", "v")), ("y", down("u")), comparisons=(comparison("a.a", "a.b", "u"),))

    (left,) = without([given], frozenset({"u"}))

    assert [piece.rater for piece in pieces_of(left)] == ["v"] and (left.messages[1].up, left.messages[2].down) == (
        1,
        0,
    )


@settings(max_examples=60, deadline=None)
@given(
    pools(),
    st.randoms(),
    st.sampled_from([0.0, 95.0, 200.0]),
    st.sampled_from([None, 2]),
    st.sampled_from(["auto", 0.4]),
)
def test_every_piece_counts_or_has_one_reason_whatever_the_order(
    pool: list[RatedConversation], random: Any, days: float, per_day: int | None, votes: Any
) -> None:
    options = {"min_account_days": days, "per_day": per_day, "per_app": 0.6, "min_overlap": 1}
    result = weighed(*pool, votes=votes, **options)
    shuffled = list(pool)
    random.shuffle(shuffled)

    given = Counter(piece.key for one in pool for piece in pieces_of(one))
    fates = Counter(fate.piece.key for fate in result.dropped)
    assert fates + Counter(result.weights.keys()) == given
    assert all(0 < weight <= 1 for weight in result.weights.values()) and {f.rule for f in result.dropped} <= {
        rule.name for rule in RULES
    }
    again = weighed(*shuffled, votes=votes, **options)
    assert list(again.candidates) == list(result.candidates) and again.dropped == result.dropped
    assert (again.pieces, again.weights, again.cap) == (result.pieces, result.weights, result.cap)
