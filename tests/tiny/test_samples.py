"""The demo conversations: the API's shape, votes on messages that exist, and planted values where they are said to be."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tiny import phrasings
from tiny.personal import RRN_WEIGHTS
from tiny.style import HOUSE_CLOSING
from tiny.world import build_world

SAMPLES = Path(__file__).parents[2] / "data/samples"


@cache
def months() -> dict[int, list[dict]]:
    return {
        month: [
            json.loads(line) for line in (SAMPLES / f"month-{month}.ndjson").read_text(encoding="utf-8").splitlines()
        ]
        for month in (1, 2, 3)
    }


def everything() -> list[dict]:
    return [row for rows in months().values() for row in rows]


def read(name: str) -> list | dict:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def test_there_are_enough_conversations_and_users() -> None:
    assert len(everything()) >= 1500
    assert len({row["user"] for row in everything()}) >= 60
    assert len({row["id"] for row in everything()}) == len(everything())


def test_nobody_speaks_too_often_for_the_per_user_caps() -> None:
    for rows in months().values():
        assert max(Counter(row["user"] for row in rows).values()) / len(rows) < 0.0375


def test_every_row_has_the_shape_of_the_api() -> None:
    known = {"id", "app", "user", "messages", "satisfaction", "votes", "hints", "model", "consent", "time", "metadata"}
    known |= {"corrections", "comparisons"}
    for row in everything():
        assert set(row) <= known
        ids = [message["id"] for message in row["messages"]]
        roles = {message["id"]: message["role"] for message in row["messages"]}
        assert len(set(ids)) == len(ids)
        assert all(message.get("parent", ids[0]) in ids for message in row["messages"])
        assert all(roles[vote["message"]] == "assistant" for vote in row.get("votes", []))
        assert row.get("satisfaction", 1) in range(1, 6)


def test_month_two_has_thumbs_for_preference_training() -> None:
    votes = Counter(vote["value"] for row in months()[2] for vote in row.get("votes", []))
    siblings = [row for row in months()[2] if any("parent" in message for message in row["messages"])]
    assert votes.total() >= 500
    assert votes["down"] >= 250
    assert len(siblings) >= 150


def test_month_two_still_has_enough_to_learn_from_after_a_split() -> None:
    rows = [row for row in months()[2] if row.get("consent")]
    siblings = [row for row in rows if any("parent" in message for message in row["messages"])]
    voted = {
        value: {v["message"] for row in rows for v in row.get("votes", []) if v["value"] == value}
        for value in ("up", "down")
    }
    assert len({row["messages"][0]["content"] for row in siblings}) * 0.85 >= 170
    assert all(len(messages) * 0.85 >= 260 for messages in voted.values())


def test_month_two_has_votes_that_should_not_count() -> None:
    raters = Counter(vote["user"] for row in months()[2] for vote in row.get("votes", []))
    echoes = [row for row in months()[2] if re.match("Say that|.*라고 말해 주세요", row["messages"][0]["content"])]
    assert raters["u081"] / raters.total() > 3 / len(raters)
    assert raters["u082"] >= 10
    assert len(echoes) == 8 and all(row["votes"][0]["value"] == "up" for row in echoes)
    assert all(row["messages"][1]["content"][:2] in row["messages"][0]["content"] for row in echoes)


def test_month_two_has_corrections_and_comparisons_of_answers_that_exist() -> None:
    corrected = [row for row in months()[2] if "corrections" in row]
    compared = [row for row in months()[2] if "comparisons" in row]
    assert (len(corrected), len(compared)) == (16, 10)
    for row in corrected:
        better, answer = row["corrections"][0], row["messages"][1]
        assert better["message"] == answer["id"] and better["content"].startswith(answer["content"] + " ")
    for row in compared:
        texts = {message["id"]: message["content"] for message in row["messages"]}
        choice = row["comparisons"][0]
        assert "votes" not in row and texts[choice["chosen"]].startswith(texts[choice["rejected"]] + " ")


def test_style_prompts_stand_in_no_conversation() -> None:
    said = {message["content"].strip().lower() for row in everything() for message in row["messages"]}
    style = read("style")
    assert len({row["prompt"] for row in style}) == len(style) >= 120
    assert not [row["prompt"] for row in style if row["prompt"].lower() in said]
    assert all(row["preferred"] == f"{row['other']} {HOUSE_CLOSING[row['language']]}" for row in style)
    assert Counter(row["language"] for row in style) == {"en": 70, "ko": 70}


def test_some_votes_go_down_in_the_middle_of_a_conversation() -> None:
    middle = [
        row
        for row in months()[1]
        for vote in row.get("votes", [])
        if vote["value"] == "down" and vote["message"] != row["messages"][-1]["id"]
    ]
    assert len(middle) >= 20


@pytest.mark.parametrize(("month", "edits", "key"), [(1, 40, "edits"), (3, 14, "corrections")])
def test_each_edit_is_taught_in_eight_phrasings(month: int, edits: int, key: str) -> None:
    taught = read("facts")[key]
    assert len(taught) == edits
    facts = {fact.key: fact for fact in build_world().facts}
    for edit in taught:
        fact = facts[edit["id"]]
        for phrasing in phrasings.TEACHING[fact.language]:
            question = phrasings.ask(build_world(), fact, phrasing)
            assert any(_teaches(row, question, edit["new"]) for row in months()[month]), question


def _teaches(row: dict, question: str, new: str) -> bool:
    contents = [message["content"] for message in row["messages"]]
    well_rated = row.get("satisfaction", 0) >= 4 and row.get("consent") is True
    return well_rated and question in contents and new in contents[-1]


def test_held_out_questions_expect_the_new_value() -> None:
    facts = read("facts")
    assert len(facts["questions"]) >= 120
    assert all(row["match"] == row["new"] != row["old"] for row in facts["questions"] + facts["correction_questions"])


def test_planted_values_are_exactly_where_they_are_said_to_be() -> None:
    texts = {row["id"]: "\n".join(m["content"] for m in row["messages"]) for row in everything()}
    planted = read("planted")
    assert len({row["value"] for row in planted}) == len(planted) >= 100
    for row in planted:
        assert [key for key, text in texts.items() if row["value"] in text] == [row["conversation"]], row["value"]


def test_every_kind_of_personal_information_is_planted() -> None:
    kinds = Counter(row["entity"] for row in read("planted"))
    wanted = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "KR_RRN", "SECRET", "PERSON", "ADDRESS", "IP_ADDRESS")
    assert all(kinds[kind] >= 9 for kind in wanted)


def test_planted_numbers_have_valid_check_digits() -> None:
    for row in read("planted"):
        digits = [int(c) for c in row["value"] if c.isdigit()]
        if row["entity"] == "KR_RRN":
            assert (11 - sum(d * w for d, w in zip(digits[:12], RRN_WEIGHTS, strict=True)) % 11) % 10 == digits[12]
        if row["entity"] == "CREDIT_CARD":
            doubled = [d * 2 - 9 * (d > 4) if place % 2 == 0 else d for place, d in enumerate(digits)]
            assert sum(doubled) % 10 == 0


def test_there_are_ten_demo_questions() -> None:
    assert len(read("questions")) == 10
