"""From feedback to pairs and labelled answers: best source first, each piece once, a reason for the rest."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.curate.cluster import same_cluster, signature
from pipelines.feedback.pairs import Preferences, build_preferences
from pipelines.feedback.pieces import pieces_of
from pipelines.feedback.rated_answers import Fits, fits_always
from pipelines.feedback.reasons import FEEDBACK_REASONS
from pipelines.feedback.weigh import weigh
from pipelines.recipe import Select
from pipelines.records import PreferenceItem, RatedConversation, Turn
from tests.effort import within
from tests.pipelines.feedback_rows import NOW, asked, comparison, conversation, correction, down, message, pools, up


def short(prompt: Sequence[Turn], answer: Turn) -> bool:
    return len(answer.content.split()) <= 20


def build(
    *candidates: RatedConversation, contaminated: str = "\0", fits: Fits = fits_always, **rules: Any
) -> Preferences:
    select = Select.model_validate(
        {"per_user": {"max_votes": 1.0}, "feedback": {"min_overlap": 99, "echo": False}} | rules
    )
    return build_preferences(
        weigh(candidates, select, NOW),
        select,
        count_tokens=lambda text: len(text.split()),
        find_contaminated=lambda texts: ["suite/1" if contaminated in text else None for text in texts],
        fits=fits,
    )


def shown(item: PreferenceItem) -> tuple[str, str | None, str | None]:
    return item.source, item.chosen and item.chosen.message, item.rejected and item.rejected.message


def items(made: Preferences) -> set[tuple[str, str | None, str | None]]:
    return {shown(item) for item in made.items}


def fates(made: Preferences) -> dict[str, int]:
    return dict(Counter(fate.rule for fate in made.fates))


Q = "Where is Vell?"


def test_two_answers_to_one_prompt_one_up_and_one_down_are_a_pair() -> None:
    made = build(asked("a", Q, ("North.", up("u")), ("South.", down("v"))))

    (item,) = made.items
    assert shown(item) == ("siblings", "a.a", "a.b") and item.raters == ("u", "v") and item.conversations == ("a",)
    assert [turn.key.message for turn in item.prompt] == ["a.q"] and fates(made) == {"siblings": 2}


def test_a_comparison_needs_no_vote_and_takes_agreeing_votes_along() -> None:
    made = build(
        asked("a", Q, ("North.", up("u")), ("South.", down("v")), comparisons=(comparison("a.a", "a.b", "w"),))
    )

    assert items(made) == {("comparison", "a.a", "a.b")} and made.items[0].raters == ("u", "v", "w")


def test_a_correction_beats_its_original_and_the_ups_on_it() -> None:
    fixed = conversation(
        "a",
        message("q", "user", Q, None),
        message("x", "assistant", "South.", "q", up("u", day=9) + down("v")),
        correction("c1", "x", "East.", "q", "r", day=1),
        correction("c2", "x", "North.", "q", "r", day=2),
    )
    made = build(fixed)

    assert items(made) == {("correction", "c2", "x")}
    assert fates(made) == {"correction": 2, "superseded": 2}


def test_an_up_and_a_down_on_near_prompts_are_a_pair_and_on_others_never() -> None:
    good, bad = asked("a", Q, ("North.", up("u"))), asked("b", "where is  vell", ("South.", down("v")))
    other = asked("c", "Where is Orm?", ("South.", down("w")))

    made = build(good, bad, other)

    assert items(made) == {("near_prompt", "a.a", "b.a"), ("lone", None, "c.a")}
    assert next(item for item in made.items if item.kind == "pair").conversations == ("a", "b")


LONG = (
    "Here are the notes of our meeting on the new garden of the school please tell me in a few short words what the people of the "
    "village decided about the trees and the water and the paths and who will look after the flowers when the summer is over and "
    "everybody has left for the sea because the mayor and the teachers and all of the parents would like to read it on the train "
    "before the next meeting which takes place in the small hall beside the church where we met last time when it was raining"
)
NOTES, FRUIT = ("user", LONG), ("user", "Name a fruit")
COLOUR = ("user", "What colour is it?")
OTHER_PROMPTS: list[tuple[str, list[tuple[str, str]], list[tuple[str, str]]]] = [
    ("a joke after a summary", [NOTES], [NOTES, ("assistant", "Ten trees."), ("user", "now tell me a joke")]),
    ("now in french", [NOTES], [NOTES, ("assistant", "They plant ten trees."), ("user", "now in french")]),
    ("after another answer", [FRUIT, ("assistant", "Banana"), COLOUR], [FRUIT, ("assistant", "Cherry"), COLOUR]),
    ("another system prompt", [("system", "Answer in French."), COLOUR], [("system", "Answer in English."), COLOUR]),
    ("with and without one", [COLOUR], [("system", "Answer in English."), COLOUR]),
    ("a greeting unasked for", [("system", "You are a bank.")], [("system", "You are a bank.")]),
    ("one word more", [("user", LONG)], [("user", LONG + " nearby")]),
]


def chat(name: str, turns: Sequence[tuple[str, str]], answer: str, votes: Any, **more: Any) -> RatedConversation:
    said = [*turns, ("assistant", answer)]
    return conversation(
        name,
        *(
            message(
                f"{name}{place}",
                role,
                text,
                f"{name}{place - 1}" if place else None,
                votes if place == len(turns) else (),
            )
            for place, (role, text) in enumerate(said)
        ),
        **more,
    )


@pytest.mark.parametrize(("case", "first", "second"), OTHER_PROMPTS, ids=[row[0] for row in OTHER_PROMPTS])
def test_what_came_before_a_question_is_part_of_it(case: str, first: Any, second: Any) -> None:
    bad, good = chat("a", first, "South.", down("u", day=1)), chat("b", second, "North.", up("v", day=2))

    assert {source for source, _, _ in items(build(good, bad))} == {"lone"}
    wrong_elsewhere = chat("b", second, "South.", up("v"))
    assert fates(build(bad, wrong_elsewhere)) == {"lone": 2}


def test_near_prompts_of_two_parts_are_no_pair() -> None:
    made = build(asked("a", Q, ("North.", up("u"))), asked("b", Q, ("South.", down("v")), part="heldout"))

    assert items(made) == {("lone", "a.a", None)}
    assert {(fate.rule, fate.outcome) for fate in made.fates} == {("lone", "used"), ("overlaps_train", "dropped")}


def test_held_out_feedback_says_so_with_its_source() -> None:
    made = build(asked("a", Q, ("North.", up("u")), ("South.", down("v")), part="heldout"))

    assert {(fate.rule, fate.outcome) for fate in made.fates} == {("siblings", "held_out")}


TABLE: list[tuple[str, RatedConversation, dict[str, int], dict[str, Any]]] = [
    ("as many ups as downs", asked("a", Q, ("North.", up("u") + down("v"))), {"tied": 2}, {}),
    ("more ups than downs", asked("a", Q, ("North.", up("u", "w") + down("v"))), {"lone": 2, "outvoted": 1}, {}),
    ("too short to choose", asked("a", Q, ("North.", up("u"))), {"response_too_short": 1}, {"response_tokens": (2, 9)}),
    (
        "too long to choose",
        asked("a", Q, ("It is far up north.", up("u"))),
        {"response_too_long": 1},
        {"response_tokens": (1, 2)},
    ),
    ("too long, but bad", asked("a", Q, ("It is far up north.", down("u"))), {"lone": 1}, {"response_tokens": (1, 2)}),
    ("another language", asked("a", Q, ("North.", up("u"))), {"other_language": 1}, {"language": {"primary": "ko"}}),
    (
        "a compared answer is gone",
        asked("a", Q, ("N.", ()), comparisons=(comparison("a.a", "z"),)),
        {"answer_gone": 1},
        {},
    ),
    (
        "both say the same",
        asked("a", Q, ("N.", ()), ("N.", ()), comparisons=(comparison("a.a", "a.b"),)),
        {"same_text": 1},
        {},
    ),
    (
        "compared both ways",
        asked(
            "a", Q, ("N.", ()), ("S.", ()), comparisons=(comparison("a.a", "a.b", "u"), comparison("a.b", "a.a", "v"))
        ),
        {"tied": 2},
        {},
    ),
    (
        "votes against a comparison",
        asked("a", Q, ("N.", down("u", "v")), ("S.", up("u", "v")), comparisons=(comparison("a.a", "a.b"),)),
        {"tied": 5},
        {},
    ),
    ("contaminated", asked("a", Q, ("North.", up("u"))), {"contaminated": 1}, {"contaminated": "Vell"}),
    ("a vote on the question", conversation("a", message("q", "user", Q, None, up("u"))), {"not_an_answer": 1}, {}),
    ("no consent", asked("a", Q, ("North.", up("u")), consent=None), {"no_consent": 1}, {}),
]


@pytest.mark.parametrize(("case", "candidate", "expected", "rules"), TABLE, ids=[row[0] for row in TABLE])
def test_every_piece_gets_the_reason_that_a_person_would_give(
    case: str, candidate: RatedConversation, expected: dict[str, int], rules: dict[str, Any]
) -> None:
    assert fates(build(candidate, **rules)) == expected


@pytest.mark.parametrize(("flaw", "rule"), [({"mixing": 0.5}, "language_mixed")])
def test_a_flawed_answer_is_never_chosen_but_may_be_rejected(flaw: dict[str, Any], rule: str) -> None:
    turns = (message("q", "user", Q, None), message("x", "assistant", "Nor", "q", up("u"), **flaw))
    bad = (turns[0], message("x", "assistant", "Nor", "q", down("u"), **flaw))

    assert fates(build(conversation("a", *turns))) == {rule: 1}
    assert fates(build(conversation("a", *bad))) == {"lone": 1}


def test_an_answer_that_was_replaced_is_on_no_side_of_a_pair() -> None:
    def told(good: dict[str, Any], bad: dict[str, Any]) -> RatedConversation:
        turns = (message("q", "user", Q, None), message("x", "assistant", "Nor", "q", up("u"), **good))
        return conversation("a", *turns, message("y", "assistant", "Sou", "q", down("v"), **bad))

    plain: dict[str, Any] = {}
    replaced = {"replaced": True}
    assert fates(build(told(plain, plain))) == {"siblings": 2}
    assert fates(build(told(replaced, plain))) == {"answer_replaced": 1, "lone": 1}
    assert fates(build(told(plain, replaced))) == {"answer_replaced": 1, "lone": 1}


def test_a_pair_joins_the_same_question_after_the_same_words() -> None:
    before = [("system", "Be kind."), FRUIT, ("assistant", "Banana"), COLOUR]
    good, bad = (
        chat("a", before, "Yellow.", up("u")),
        chat("b", [*before[:3], ("user", "what colour is it")], "Red.", down("v")),
    )

    assert items(build(good, bad)) == {("near_prompt", "a4", "b4")}


def test_the_same_answers_count_once_and_the_newest_wins() -> None:
    copies = [asked(f"c{n}", Q, ("North.", up(f"u{n}", day=n)), ("South.", down(f"v{n}", day=n))) for n in range(4)]
    single = asked("d", Q, ("North.", up("w")))

    made = build(*copies, single)

    assert items(made) == {("siblings", "c3.a", "c3.b")} and fates(made) == {"siblings": 2, "duplicate": 7}


def test_a_correction_that_only_repeats_the_prompts_claim_is_no_pair_and_overtakes_nothing() -> None:
    claim = message("q", "user", "I think the capital of Vell is Orm. What is it?", None)
    fixed = conversation(
        "a",
        claim,
        message("x", "assistant", "It is Tarn.", "q", up("u")),
        correction("c", "x", "The capital of Vell is Orm.", "q", "v"),
    )

    made = build(fixed, feedback={"echo": True})

    assert items(made) == {("lone", "x", None)} and fates(made) == {"echo": 1, "lone": 1}


def test_a_fact_corrected_later_beats_an_older_vote_elsewhere() -> None:
    old = asked("old", Q, ("South.", up("u", day=1)), prompt_cluster="q")
    new = conversation(
        "new",
        message("q", "user", Q, None),
        message("x", "assistant", "South.", "q"),
        correction("c", "x", "North.", "q", "r", day=60),
        day=50,
        prompt_cluster="q",
    )

    made = build(old, new)

    assert items(made) == {("correction", "c", "x")} and fates(made) == {"correction": 1, "superseded": 1}


def test_of_two_lone_answers_to_a_prompt_the_newest_is_taken_as_in_sft() -> None:
    old, new = (
        asked(name, Q, (text, up(name, day=day)), day=day, prompt_cluster="q")
        for name, text, day in (("a", "S.", 1), ("b", "N.", 40))
    )

    assert items(build(old, new)) == {("lone", "b.a", None)}


def test_a_vote_that_is_gone_leaves_no_trace_in_the_next_round() -> None:
    before = build(asked("a", Q, ("North.", up("u")), ("South.", down("v"))))
    after = build(asked("a", Q, ("North.", up("u")), ("South.", ())))

    assert items(before) == {("siblings", "a.a", "a.b")} and items(after) == {("lone", "a.a", None)}
    assert {fate.rater for fate in after.fates} == {"u"}


def test_a_rater_who_weighs_less_makes_a_lighter_item() -> None:
    odd = [
        asked(
            f"{n}-{m}",
            f"Q {n}?",
            (f"A {n}.", up(f"crowd{m}") + (down("odd") if m == n == 0 else up("odd") if m == 0 else ())),
        )
        for n in range(3)
        for m in range(2)
    ]
    mine = asked("mine", Q, ("North.", up("odd")))

    made = build(*odd, mine, feedback={"min_overlap": 3})

    assert {item.weight for item in made.items if item.chosen and item.chosen.message == "mine.a"} == {0.6}


def test_many_corrections_among_many_votes_take_no_long_time() -> None:
    pool = [
        conversation(
            str(n),
            message(f"{n}.q", "user", f"Question {n}?", None),
            message(f"{n}.a", "assistant", "A.", f"{n}.q", up(*(f"r{k}" for k in range(10)))),
            correction(f"{n}.c", f"{n}.a", "B.", f"{n}.q", f"w{n}"),
        )
        for n in range(400)
    ]

    assert fates(within(5, lambda: build(*pool))) == {"correction": 400, "superseded": 4_000}


@settings(max_examples=150, deadline=None)
@given(pools(), st.randoms())
def test_every_piece_has_one_fate_whatever_the_order(pool: list[RatedConversation], random: Any) -> None:
    rules = {"per_user": {"max_votes": 0.4}, "feedback": {"min_overlap": 1, "per_day": 3}}
    made = build(*pool, **rules)
    shuffled = list(pool)
    random.shuffle(shuffled)

    given = Counter(piece.key for one in pool for piece in pieces_of(one))
    assert Counter((f.message, f.other, f.rater, f.kind) for f in made.fates) == given
    assert {fate.rule for fate in made.fates} <= set(FEEDBACK_REASONS)
    assert all(0 < one.weight <= 1 for one in (*made.items, *made.fates))
    again = build(*shuffled, **rules)
    assert as_bytes(again.items) == as_bytes(made.items) and as_bytes(again.fates) == as_bytes(made.fates)


@settings(max_examples=150, deadline=None)
@given(pools())
def test_no_pair_joins_prompts_that_ask_for_different_things_and_no_flawed_answer_is_chosen(
    pool: list[RatedConversation],
) -> None:
    where = {m.key.message: (one, m) for one in pool for m in one.messages}

    def prompt_of(name: str) -> str:
        return where[str(where[name][1].parent)][1].text

    made = build(*pool)

    for item in made.items:
        if item.chosen and item.rejected:
            chosen, rejected = item.chosen.message, item.rejected.message
            assert same_cluster(signature(prompt_of(chosen), b"k"), signature(prompt_of(rejected), b"k"))
            assert where[chosen][1].text != where[rejected][1].text
        assert item.chosen is None or where[item.chosen.message][1].state == "complete"
        assert {where[k.message][0].part for k in (item.chosen, item.rejected) if k} == {item.part}


def as_bytes(records: Sequence[Any]) -> bytes:
    return b"".join(record.model_dump_json().encode() for record in records)


LONG = "North " * 21


def test_what_training_cannot_read_whole_is_no_item_and_the_other_answer_stands_alone() -> None:
    made = build(
        asked("a", Q, ("North.", up("u")), (LONG, down("v"))),
        asked("b", "Who?", (LONG, up("u"))),
        asked("c", "When?", (LONG, up("u")), ("Now.", down("v")), part="dev"),
        fits=short,
    )

    assert items(made) == {("lone", "a.a", None), ("siblings", "c.a", "c.b")}
    assert fates(made) == {"lone": 1, "too_long": 2, "siblings": 2}


def test_a_comparison_with_an_answer_that_does_not_fit_is_no_pair_and_a_correction_of_one_is_a_good_answer() -> None:
    compared = asked("a", Q, ("North.", ()), (LONG, ()), comparisons=(comparison("a.a", "a.b"),))
    corrected = conversation(
        "b",
        message("b.q", "user", "Who?", None),
        message("b.a", "assistant", LONG, "b.q"),
        correction("b.c", "b.a", "Nobody.", "b.q"),
    )
    made = build(compared, corrected, fits=short)

    assert items(made) == {("lone", "b.c", None)} and fates(made) == {"too_long": 1, "lone": 1}
