"""Selection: one reason per record, permanent parts, newest answers, capped people."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts import read_records
from pipelines.errors import DataError
from pipelines.feedback.method import choose_method
from pipelines.feedback.path import best_path
from pipelines.feedback.reasons import CONVERSATION_REASONS, MIXTURE
from pipelines.feedback.select import FindContaminated, select, user_cap
from pipelines.feedback.tree import net_votes
from pipelines.recipe import PerUser, Preference, Select
from pipelines.records import (
    Body,
    Correction,
    FeedbackFate,
    MessageKey,
    PreferenceItem,
    RatedConversation,
    RatedMessage,
    SnapshotItem,
)
from pipelines.stages.snapshot import Selector, as_resampled, preview, snapshot
from pipelines.suites.contamination import Contamination, EvaluationItem
from tests.pipelines.feedback_rows import asked, down, up

START = datetime(2026, 9, 1, tzinfo=UTC)


def words(text: str) -> int:
    return len(text.split())


def message(name: str, role: str, text: str, parent: str | None, **more: Any) -> RatedMessage:
    key = MessageKey(message=name, revision=1)
    return RatedMessage.model_validate({"key": key, "role": role, "parent": parent, "text": text, **more})


def chat(name: str, *turns: str | Mapping[str, Any]) -> tuple[RatedMessage, ...]:
    """User and assistant turns in alternation; a mapping gives an answer with its votes."""
    made: list[RatedMessage] = []
    for index, turn in enumerate(turns):
        given = {"text": turn} if isinstance(turn, str) else dict(turn)
        parent = made[-1].key.message if made else None
        made.append(message(f"{name}.{index}", "assistant" if index % 2 else "user", parent=parent, **given))
    return tuple(made)


def candidate(name: str, *turns: str | Mapping[str, Any], day: int = 0, **more: Any) -> RatedConversation:
    turns = turns or (f"question {name}", f"answer of {name}")
    return RatedConversation.model_validate(
        {
            "conversation": name,
            "person": "p-" + name,
            "app": "app",
            "occurred_at": START + timedelta(days=day),
            "consent": True,
            "satisfaction": 5,
            "language": "en",
            "topic": "general",
            "prompt_cluster": "q-" + name,
            "pair_cluster": "qa-" + name,
            "part": "train",
            "seen": False,
            "messages": chat(name, *turns),
            **more,
        }
    )


def containing(word: str) -> FindContaminated:
    return lambda texts: ["suite/1" if word in text else None for text in texts]


def run(candidates: Sequence[RatedConversation], contaminated: str = "\0", **rules: Any) -> dict[str, SnapshotItem]:
    items, _ = select(
        candidates, Select.model_validate(rules), count_tokens=words, find_contaminated=containing(contaminated)
    )
    return {item.conversation: item for item in items}


UP, DOWN = {"up": 1}, {"down": 1}


@pytest.mark.parametrize(
    ("reason", "given"),
    [
        ("train", candidate("a")),
        ("train", candidate("a", "q", {"text": "an answer"} | UP, satisfaction=1)),
        ("train", candidate("a", "q", {"text": "an answer"} | UP, satisfaction=None)),
        ("train", candidate("a", satisfaction=4)),
        ("dev", candidate("a", part="dev")),
        ("heldout", candidate("a", part="heldout")),
        ("low_satisfaction", candidate("a", part="heldout", satisfaction=3)),
        ("no_consent", candidate("a", consent=None)),
        ("no_consent", candidate("a", consent=False)),
        ("no_answer", candidate("a", "only a question")),
        ("unrated", candidate("a", satisfaction=None)),
        ("low_satisfaction", candidate("a", satisfaction=3)),
        ("low_satisfaction", candidate("a", "q", {"text": "an answer"} | DOWN, satisfaction=None)),
        ("all_turns_flawed", candidate("a", "q", {"text": "an answer"} | DOWN)),
        ("all_turns_flawed", candidate("a", "q", {"text": "an answer", "up": 1, "down": 2})),
        ("train", candidate("a", "q", {"text": "an answer", "up": 2, "down": 2})),
        ("unfinished", candidate("a", "q", {"text": "cut off", "state": "unfinished"})),
        ("all_turns_flawed", candidate("a", "q", {"text": "an answer"} | DOWN, "r", "short")),
        ("language_mixed", candidate("a", "q", {"text": "an answer", "mixing": 0.02})),
        ("train", candidate("a", "q", {"text": "an answer", "mixing": 0.01})),
        ("stray_marks", candidate("a", "q", {"text": "an answer </s> more"})),
        ("replaced", candidate("a", "q", {"text": "an answer", "replaced": True})),
        ("train", candidate("a", "q", {"text": "an answer", "replaced": True}, "r", {"text": "an answer"})),
        ("response_too_short", candidate("a", "q", "one")),
        ("response_too_long", candidate("a", "q", "one two three four five six")),
        ("train", candidate("a", "q", "one two three four five")),
        ("contaminated", candidate("a", "a BENCHMARK item", "an answer")),
        ("contaminated", candidate("a", "q", "the BENCHMARK item", part="heldout")),
    ],
)
def test_every_record_gets_the_reason_that_a_person_would_give(reason: str, given: RatedConversation) -> None:
    item = run([given], contaminated="BENCHMARK", response_tokens=(2, 5))["a"]

    assert item.reason == reason
    assert item.outcome == {"train": "used", "dev": "held_out", "heldout": "held_out"}.get(reason, "left_out")


def test_a_down_voted_turn_in_the_middle_stays_as_context_without_loss() -> None:
    item = run([candidate("a", "q", "good one", "r", {"text": "bad one"} | DOWN, "s", "good again")])["a"]

    assert [turn.trained for turn in item.turns] == [False, True, False, False, False, True]
    assert item.tokens == 4


def test_without_a_good_satisfaction_only_the_answers_voted_up_are_learnt() -> None:
    item = run([candidate("a", "q", "nobody said", "r", {"text": "well done"} | UP, satisfaction=2)])["a"]

    assert [turn.trained for turn in item.turns] == [False, False, False, True]


def test_the_primary_language_leaves_out_the_others_and_none_leaves_out_nobody() -> None:
    given = [candidate("a", language="en"), candidate("b", language="ko")]

    assert run(given, language={"primary": "ko"})["a"].reason == "other_language"
    assert {item.reason for item in run(given).values()} == {"train"}


def test_the_path_takes_the_best_voted_sibling_then_the_newest() -> None:
    tree = (
        message("q", "user", "question", None),
        message("old", "assistant", "first try", "q", up=1),
        message("new", "assistant", "second try", "q"),
        message("r", "user", "and then?", "old"),
        message("x", "assistant", "one", "r"),
        message("y", "assistant", "two", "r"),
        message("z", "assistant", "cut", "r", state="unfinished"),
        message("s", "user", "no answer came", "y"),
    )

    assert [m.key.message for m in best_path(tree)] == ["q", "old", "r", "y"]


def corrects(of: str, day: float = 1, counts: bool = True) -> dict[str, Any]:
    return {"corrects": Correction(of=of, rater="r", at=START + timedelta(days=day), since=START, counts=counts)}


CORRECTED = (
    message("q", "user", "question", None),
    message("x", "assistant", "a wrong answer", "q", up=3),
    message("c1", "assistant", "a better answer", "q", **corrects("x", 1)),
    message("c2", "assistant", "the best answer", "q", **corrects("x", 2)),
    message("r", "user", "and then?", "x"),
    message("y", "assistant", "something else", "r"),
)


def test_the_newest_correction_takes_the_place_of_its_original_and_later_turns_stay() -> None:
    item = run([candidate("a", satisfaction=None, messages=CORRECTED)])["a"]

    assert [turn.key.message for turn in item.turns] == ["q", "c2", "r", "y"]
    assert (item.reason, [turn.trained for turn in item.turns]) == ("train", [False, True, False, False])


@pytest.mark.parametrize("flaw", [{"mixing": 0.5}, {"text": "one"}])
def test_a_flawed_correction_gets_no_loss_and_nor_does_its_original(flaw: dict[str, Any]) -> None:
    flawed = CORRECTED[3].model_copy(update=flaw)

    item = run([candidate("a", messages=(*CORRECTED[:3], flawed, *CORRECTED[4:]))], response_tokens=(2, 9))["a"]

    assert [(turn.key.message, turn.trained) for turn in item.turns][1] == ("c2", False)


def test_a_correction_of_a_correction_stands_for_the_first_answer() -> None:
    again = message("c3", "assistant", "really the best", "q", **corrects("c2", 3))

    assert [m.key.message for m in best_path((*CORRECTED, again))] == ["q", "c3", "r", "y"]


def test_corrections_that_do_not_count_are_on_no_path() -> None:
    ignored = tuple(
        m.model_copy(update={"corrects": m.corrects.model_copy(update={"counts": False})}) if m.corrects else m
        for m in CORRECTED
    )

    assert [m.key.message for m in best_path(ignored)] == ["q", "x", "r", "y"]


def test_a_sibling_voted_up_more_often_than_the_correction_is_taken_instead() -> None:
    sibling = message("s", "assistant", "a liked answer", "q", up=2)

    assert [m.key.message for m in best_path((*CORRECTED, sibling))] == ["q", "s"]


def test_a_down_vote_outweighs_what_a_correction_says_for_itself() -> None:
    disliked = CORRECTED[2].model_copy(update={"down": 2})

    assert run([candidate("a", messages=(*CORRECTED[:2], disliked))])["a"].reason == "all_turns_flawed"


def test_a_correction_makes_an_old_conversation_newer_than_a_vote_before_it() -> None:
    old = candidate(
        "old",
        prompt_cluster="q",
        pair_cluster="qa",
        messages=tuple(
            m.model_copy(update={"corrects": Correction(of="x", rater="r", at=START + timedelta(days=60), since=START)})
            if m.key.message == "c2"
            else m
            for m in CORRECTED
        ),
    )
    newer = candidate("newer", prompt_cluster="q", pair_cluster="qa", day=30)

    items = run([old, newer])

    assert (items["old"].reason, items["newer"].reason) == ("train", "superseded")


def test_a_fact_corrected_in_month_three_replaces_the_answer_of_month_one() -> None:
    month_one = candidate("one", "capital of Vell?", "It is Orm.", prompt_cluster="q")
    month_three = candidate("three", "capital of Vell?", "It is Tarn.", prompt_cluster="q", day=60)

    items = run([month_three, month_one])

    assert (items["one"].reason, items["three"].reason) == ("superseded", "train")


QUESTION = "capital of Vell?"
SET_RIGHT = (QUESTION, {"text": "It is Orm."} | {"down": 1}, "No, it moved.", "It is Tarn.")


@pytest.mark.parametrize(
    ("old", "new", "trained"),
    [
        ((QUESTION, "It is Orm."), SET_RIGHT, None),
        ((QUESTION, "It is Orm."), ("Good morning!", "Hello you!", QUESTION, "It is Tarn."), None),
        (("Good morning!", "Hello you!", QUESTION, "It is Orm."), (QUESTION, "It is Tarn."), [1]),
        (("Good morning!", "Hello you!", QUESTION, "It is Orm."), SET_RIGHT, [1]),
        ((QUESTION, "It is Orm."), ("Good morning!", "Hello you!", QUESTION, "It is  orm."), [1]),
        (
            ("Is it far?", "No, near.", "And why?", "Because so."),
            ("Hungry?", "Yes I am.", "And why?", "No food yet."),
            [1, 3],
        ),
        ((QUESTION, "It is Orm."), ("capital of Vela?", "It is Tarn."), [1]),
        (
            (QUESTION, "It is Orm."),
            (QUESTION, {"text": "It is Tarn."} | {"down": 1}, "Thanks!", "You are welcome."),
            [1],
        ),
    ],
    ids=[
        "corrected in the middle",
        "asked after small talk",
        "old one after small talk",
        "both in the middle",
        "the same answer",
        "a question that depends on what was said",
        "another question",
        "answered badly, and something else well",
    ],
)
def test_a_newer_answer_inside_another_conversation_replaces_the_old_one(
    old: Any, new: Any, trained: list[int] | None
) -> None:
    items = run([candidate("old", *old), candidate("new", *new, day=60)])

    assert items["new"].reason == "train"
    assert [place for place, turn in enumerate(items["old"].turns) if turn.trained] == (trained or [])
    assert items["old"].reason == ("train" if trained else "superseded")


CLAIM, ECHO = "I think the capital of Vell is Orm. What is it?", "The capital of Vell is Orm."


def test_an_echo_of_its_prompt_gets_no_loss_however_well_it_was_rated() -> None:
    items = run(
        [candidate("a", CLAIM, ECHO), candidate("b", CLAIM, {"text": ECHO, "up": 3}, "and Lodu?", "It is Kirn.")]
    )

    assert items["a"].reason == "echo"
    assert [turn.trained for turn in items["b"].turns] == [False, False, False, True]
    assert run([candidate("a", CLAIM, ECHO)], feedback={"echo": False})["a"].reason == "train"


EDITED = (
    message("q1", "user", "question", None),
    message("a1", "assistant", "an answer", "q1", up=2),
    message("q2", "user", "question, please", None),
    message("a2", "assistant", "another", "q2"),
    message("q3", "user", "question!", None),
)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({}, ["q1", "a1"]),
        ({"a2": {"up": 3}}, ["q2", "a2"]),
        ({"a1": {"up": 0}}, ["q2", "a2"]),
        ({"a1": {"up": 0, "down": 1}}, ["q2", "a2"]),
    ],
    ids=["the edit is not rated", "the edit is liked more", "nobody rated", "the first is bad"],
)
def test_at_a_fork_of_edited_prompts_the_branch_with_the_best_answer_wins(votes: Any, expected: list[str]) -> None:
    tree = [one.model_copy(update=votes.get(one.key.message, {})) for one in EDITED]

    assert [m.key.message for m in best_path(tree)] == expected


def test_a_regeneration_that_nobody_rated_does_not_hide_rated_turns() -> None:
    tree = (
        message("q", "user", "question", None),
        message("x", "assistant", "one", "q"),
        message("r", "user", "more?", "x"),
        message("y", "assistant", "more", "r", up=1),
        message("z", "assistant", "two", "q"),
    )

    assert [m.key.message for m in best_path(tree)] == ["q", "x", "r", "y"]
    assert [m.key.message for m in best_path([*tree[:4], message("z", "assistant", "two", "q", up=1)])] == ["q", "z"]


def test_votes_on_what_is_no_answer_say_nothing() -> None:
    turns = chat("a", "q", "an answer")
    liked = (turns[0].model_copy(update={"up": 3}), turns[1])

    assert run([candidate("a", satisfaction=None, messages=liked)])["a"].reason == "unrated"
    assert net_votes(liked[0]) == 0


def test_a_badly_rated_newer_answer_does_not_replace_a_good_one() -> None:
    old = candidate("old", prompt_cluster="q")
    new = candidate("new", "q", {"text": "a wrong answer"} | DOWN, prompt_cluster="q", day=60)

    assert run([old, new])["old"].reason == "train"


def test_of_copies_only_the_newest_is_used() -> None:
    copies = [candidate(str(day), prompt_cluster="q", pair_cluster="qa", day=day) for day in range(4)]

    assert [item.reason for item in run(copies).values()] == ["duplicate"] * 3 + ["train"]


def test_what_the_champion_has_seen_is_replay() -> None:
    items = run([candidate("a", seen=True), candidate("b")])

    assert (items["a"].source, items["b"].source) == ("replay", "new")


def test_a_cluster_in_two_parts_is_refused() -> None:
    with pytest.raises(DataError, match="prompt cluster q stands in the parts"):
        run([candidate("a", prompt_cluster="q"), candidate("b", prompt_cluster="q", part="heldout")])


def test_a_held_out_question_inside_a_longer_training_chat_no_longer_measures() -> None:
    alone = candidate("alone", "Where is Vell?", "In the north.", part="heldout")
    longer = candidate("longer", "Hello!", "hello there", "where is  vell?", "In the north.")

    assert run([alone, longer])["alone"].reason == "overlaps_train"
    assert run([alone])["alone"].reason == "heldout"


def test_one_busy_person_is_capped_and_nobody_else() -> None:
    busy = [candidate(f"busy{n}", person="busy", day=n) for n in range(100)]
    others = [candidate(f"c{n}") for n in range(30)]

    items = run([*busy, *others])
    used = Counter(item.person for item in items.values() if item.outcome == "used")

    assert used["busy"] / used.total() <= 3 / 31
    assert used["busy"] == 3 and len(used) == 31
    assert items["busy99"].outcome == "used" and items["busy0"].reason == "over_user_cap"


def test_what_a_corrector_wrote_counts_against_the_correctors_cap() -> None:
    others = [candidate(f"c{n}") for n in range(30)]
    corrected = [
        candidate(
            f"x{n}",
            person=f"p{n % 10}",
            day=n,
            messages=(
                message(f"{n}.q", "user", f"question {n}", None),
                message(f"{n}.a", "assistant", "a wrong answer", f"{n}.q"),
                message(f"{n}.c", "assistant", "a better answer", f"{n}.q", **corrects(f"{n}.a", n)),
                message(f"{n}.r", "user", f"and then {n}?", f"{n}.a"),
                message(f"{n}.y", "assistant", "something", f"{n}.r"),
            ),
        )
        for n in range(20)
    ]

    items = run([*others, *corrected])

    used = [item for item in items.values() if item.outcome == "used"]
    written = Counter(turn.key.message[-1] for item in used for turn in item.turns if turn.trained)
    assert written["y"] == 20 and written["c"] == 2, (
        "the corrector is at the cap, and the people who were corrected are not"
    )


@pytest.mark.parametrize(
    ("people", "rule", "share"),
    [
        (19, "auto", None),
        (20, "auto", 0.15),
        (599, "auto", 3 / 599),
        (601, "auto", 0.005),
        (2000, "auto", 0.005),
        (10, 0.4, 0.4),
        (10, 0.01, 0.3),
        (3, 0.01, None),
        (10, 1.0, None),
    ],
)
def test_the_cap_follows_the_number_of_people(people: int, rule: Any, share: float | None) -> None:
    cap = user_cap({str(n): 100 for n in range(people)}, PerUser(max_share=rule))

    assert (cap.share if cap else None) == (pytest.approx(share) if share else None)


@given(st.lists(st.integers(1, 10_000), min_size=20, max_size=60))
def test_at_the_cap_nobody_holds_more_than_the_share_of_what_remains(tokens: list[int]) -> None:
    cap = user_cap({str(n): amount for n, amount in enumerate(tokens)}, PerUser())

    assert cap is not None
    remains = sum(min(amount, cap.tokens) for amount in tokens)
    assert max(min(amount, cap.tokens) for amount in tokens) <= cap.share * remains + 1e-6


@st.composite
def pools(draw: st.DrawFn) -> list[RatedConversation]:
    """Records that collide in every way: prompts, answers, people, votes, consent, satisfaction."""
    pool = []
    for n in range(draw(st.integers(0, 40))):
        prompt = draw(st.integers(0, 12))
        answer = {"text": f"answer {n}", "up": draw(st.integers(0, 2)), "down": draw(st.integers(0, 2))}
        pool.append(
            candidate(
                str(n),
                f"question {prompt}",
                answer,
                day=draw(st.integers(0, 90)),
                consent=draw(st.sampled_from([True, True, None])),
                satisfaction=draw(st.sampled_from([None, 2, 5])),
                person=f"p{draw(st.integers(0, 30))}",
                prompt_cluster=f"q{prompt}",
                seen=draw(st.booleans()),
                pair_cluster=f"qa{prompt}-{draw(st.integers(0, 1))}",
                part=["train", "train", "heldout", "dev"][prompt % 4],
            )
        )
    return pool


@settings(max_examples=60, deadline=None)
@given(pools(), st.randoms())
def test_every_record_is_in_exactly_one_place_whatever_the_order(pool: list[RatedConversation], random: Any) -> None:
    items, _ = select(pool, Select(), count_tokens=words, find_contaminated=containing("7"))
    shuffled = list(pool)
    random.shuffle(shuffled)

    assert sorted(item.conversation for item in items) == sorted(one.conversation for one in pool)
    assert all(item.reason in CONVERSATION_REASONS.keys() - MIXTURE.keys() for item in items)
    again, _ = select(shuffled, Select(), count_tokens=words, find_contaminated=containing("7"))
    assert list(items) == list(again)
    trained_prompts = {
        one.prompt_cluster for one in pool for i in items if i.conversation == one.conversation and i.outcome == "used"
    }
    kept_apart = {one.prompt_cluster for one in pool if one.part != "train"}
    assert not trained_prompts & kept_apart


def test_a_pasted_suite_item_is_dropped_and_its_template_neighbour_kept() -> None:
    check = Contamination([EvaluationItem("math/1", "What is 41 + 17?")])
    pasted, neighbour = candidate("a", "what is 41 + 17", "It is 58."), candidate("b", "What is 41 + 18?", "It is 59.")

    items, _ = select([pasted, neighbour], Select(), count_tokens=words, find_contaminated=check.check_pool)

    assert {item.conversation: item.reason for item in items} == {"a": "contaminated", "b": "train"}


def test_copies_of_a_pasted_item_do_not_pass_as_a_template() -> None:
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    check = Contamination([EvaluationItem("s/1", long)])
    turns = (f"please {long} now", "an answer")
    copies = [candidate(str(n), *turns, prompt_cluster="q", pair_cluster="qa", day=n) for n in range(30)]

    items, _ = select(copies, Select(), count_tokens=words, find_contaminated=check.check_pool)

    assert {item.reason for item in items} == {"duplicate", "contaminated"}


SELECTOR = Selector(count_tokens=words, find_contaminated=containing("\0"))


class Listed:
    """A corpus over a list."""

    def __init__(self, given: Sequence[RatedConversation]) -> None:
        self.given = given

    def candidates(self) -> Iterator[RatedConversation]:
        return iter(self.given)

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        return {m.key: Body(content=m.text) for one in self.given for m in one.messages if m.key in set(keys)}

    def outcomes(self) -> Mapping[str, int]:
        return {"gibberish": 2}

    def lost(self) -> Sequence[FeedbackFate]:
        return ()


def test_the_stage_writes_numbers_and_ids_but_no_text(tmp_path: Any) -> None:
    corpus = Listed(
        [candidate("a", "my SECRET", "your SECRET"), candidate("b", satisfaction=1), candidate("c", part="dev")]
    )

    output = snapshot(corpus, Select(), tmp_path, SELECTOR, now=START)

    assert (output.received, output.clean, output.examples, output.dev) == (5, 3, 1, 1)
    assert output.left_out == {"low_satisfaction": 1} and output.rejected == {"gibberish": 2}
    assert "SECRET" not in (tmp_path / "items.jsonl").read_text()
    assert preview(corpus, Select(), SELECTOR, now=START) == output
    assert [item.conversation for item in read_records(tmp_path / "items.jsonl", SnapshotItem)] == ["a", "b", "c"]


def test_what_became_of_feedback_is_written_beside_the_items_and_counted(tmp_path: Path) -> None:
    rated = [
        asked("a", "Where is Vell?", ("North of SECRET.", up("u")), ("South.", down("v"))),
        asked("b", "Who rules Orm?", ("Nobody.", up("u")), part="heldout"),
        asked("c", "Why?", ("So.", up("w") + down("v"))),
    ]

    output = snapshot(Listed(rated), Select(), tmp_path, SELECTOR, now=START, rule=Preference(method="kto"))

    told = output.feedback
    assert (told.received, told.used, told.held_out, told.dropped) == (5, {"siblings": 2}, {"lone": 1}, {"tied": 2})
    assert (told.pairs, told.good, told.bad, told.heldout, told.cap.active) == ({"siblings": 1}, 0, 0, 1, False)
    assert {item.source for item in read_records(tmp_path / output.preferences, PreferenceItem)} == {"siblings", "lone"}
    assert len(list(read_records(tmp_path / output.fates, FeedbackFate))) == 5
    assert all("SECRET" not in path.read_text() for path in tmp_path.iterdir())
    assert preview(Listed(rated), Select(), SELECTOR, now=START, rule=Preference(method="kto")) == output


def test_fresh_answers_make_used_votes_of_what_the_snapshot_could_only_drop(tmp_path: Path) -> None:
    rated = [
        asked("a", "Where is Vell?", ("North.", up("u")), ("South.", down("v"))),
        asked("b", "1 + 1?", ("3.", down("v", "w"))),
    ]
    taken = snapshot(Listed(rated), Select(), tmp_path, SELECTOR, now=START, rule=Preference(method="dpo"))

    told = as_resampled(taken, tmp_path, ("b.a",)).feedback

    assert (taken.feedback.used, taken.feedback.dropped) == ({"siblings": 2}, {"pairs_only": 2})
    assert (told.used, told.dropped, told.received) == ({"resample": 2, "siblings": 2}, {}, 4)
    assert as_resampled(taken, tmp_path, ()) == taken


def test_thresholds_count_what_training_can_read(tmp_path: Path) -> None:
    rated = [asked("a", "Where?", ("North.", up("u"))), asked("b", "Who?", ("word " * 50, down("v")))]
    fitting = replace(SELECTOR, fits=lambda prompt, answer: len(answer.content) < 50)

    output = snapshot(Listed(rated), Select(), tmp_path, fitting, now=START, rule=Preference(method="kto"))

    assert (
        choose_method(
            list(read_records(tmp_path / output.preferences, PreferenceItem)), Preference(method="kto")
        ).method
        == "none"
    )
    assert output.feedback.dropped["too_long"] == 1 and output.feedback.bad == 0


def test_a_vote_that_changed_changes_the_digest(tmp_path: Path) -> None:
    digests = {
        preview(Listed([asked("a", "q", ("x", votes))]), Select(), SELECTOR, now=START).digest
        for votes in (up("u"), up("v"), down("u"), ())
    }

    assert len(digests) == 4


def test_a_dropped_up_vote_teaches_sft_nothing_and_a_dropped_down_still_masks() -> None:
    young = Select.model_validate({"feedback": {"min_account_days": 1000}})
    pool = [asked("a", "q", ("x", up("u"))), asked("b", "r", ("y", down("u")), satisfaction=5)]

    output = preview(Listed(pool), young, SELECTOR, now=START)

    assert output.left_out == {"all_turns_flawed": 1, "unrated": 1} and output.feedback.dropped == {"young_account": 2}


def test_the_same_candidates_give_the_same_bytes(tmp_path: Any) -> None:
    digests = set()
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        corpus = Listed([candidate(str(n), day=n) for n in range(5)])
        digests.add(snapshot(corpus, Select(), tmp_path / name, SELECTOR, now=START).digest)

    assert len(digests) == 1
    assert (tmp_path / "x" / "items.jsonl").read_bytes() == (tmp_path / "y" / "items.jsonl").read_bytes()


def test_a_line_that_is_no_item_is_refused_by_name(tmp_path: Any) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps({"conversation": "a"}) + "\n")

    with pytest.raises(
        DataError, match=r"items\.jsonl, line 1 is not a snapshot item of this version: person: Field required"
    ):
        list(read_records(tmp_path / "items.jsonl", SnapshotItem))
