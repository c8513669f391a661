"""What a newer conversation answers otherwise, and what only looks like the same question."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.curate.cluster import signature
from pipelines.feedback.select import select
from pipelines.recipe import Select
from pipelines.records import MessageKey, RatedConversation, RatedMessage
from tests.pipelines.feedback_rows import at

SAMPLES = Path(__file__).parents[3] / "data/samples"


def chat(name: str, *turns: str, day: int = 0, system: str = "") -> RatedConversation:
    """User and assistant turns in alternation; an answer that ends in (-) is voted down."""
    said = [("system", system)] * bool(system) + [
        ("assistant" if place % 2 else "user", text) for place, text in enumerate(turns)
    ]
    messages = [
        RatedMessage.model_validate(
            {
                "key": MessageKey(message=f"{name}.{place}", revision=1),
                "role": role,
                "text": text.removesuffix("(-)"),
                "parent": f"{name}.{place - 1}" if place else None,
                "down": int(text.endswith("(-)")),
            }
        )
        for place, (role, text) in enumerate(said)
    ]
    return rated(name, messages, satisfaction=5, occurred_at=at(day))


def rated(name: str, messages: list[RatedMessage], **more: Any) -> RatedConversation:
    return RatedConversation.model_validate(
        {
            "conversation": name,
            "person": name,
            "app": "app",
            "consent": True,
            "language": "en",
            "topic": "general",
            "prompt_cluster": "q-" + name,
            "pair_cluster": "qa-" + name,
            "part": "train",
            "seen": False,
            "messages": messages,
            **more,
        }
    )


def trained(*candidates: RatedConversation) -> dict[str, set[str]]:
    """By conversation, the texts of the answers that are learnt."""
    items, _ = select(
        candidates,
        Select(),
        count_tokens=lambda text: len(text.split()),
        find_contaminated=lambda texts: [None] * len(texts),
    )
    texts = {message.key: message.text for one in candidates for message in one.messages}
    return {item.conversation: {texts[turn.key] for turn in item.turns if turn.trained} for item in items}


BANOKO, VELMORA = "What is the capital of Banoko?", "What is the capital of Velmora?"
REDA, OSK = "The capital of Banoko is Reda.", "The capital of Banoko is Osk."
ORM, TILU = "The capital of Velmora is Orm.", "The capital of Velmora is Tilu."
OTHERWISE = chat("new", BANOKO, OSK + "(-)", VELMORA, TILU, day=9)


def test_another_question_after_a_wrong_answer_untrains_no_right_one() -> None:
    right = [chat(str(n), BANOKO, REDA, f"And {n}?", f"Yes, {n}.") for n in range(3)]

    assert all(REDA in answers for name, answers in trained(*right, OTHERWISE).items() if name != "new")


def test_an_answer_after_a_wrong_one_counts_for_its_own_question() -> None:
    assert trained(chat("old", VELMORA, ORM, "And its river?", "It is the Sanu."), OTHERWISE)["old"] == {
        "It is the Sanu."
    }


@pytest.mark.parametrize(
    "turn",
    [
        VELMORA,
        "Velmora?",
        "No, I meant the river of Banoko.",
        "Now tell me its capital in 1900.",
        "Who is the king of Banoko?",
        "now name the capital of velmora",
    ],
)
@pytest.mark.parametrize("answer", ["It is Tilu.", TILU])
def test_a_turn_that_asks_something_of_its_own_is_another_question(turn: str, answer: str) -> None:
    assert trained(chat("old", BANOKO, REDA), chat("new", BANOKO, "It is Osk.(-)", turn, answer, day=9))["old"] == {
        REDA
    }


@pytest.mark.parametrize(
    ("turn", "answer"),
    [
        ("No, it moved.", REDA),
        ("No, it moved. It is Reda now.", REDA),
        ("That is wrong.", REDA),
        ("Are you sure?", REDA),
        ("Its capital is Reda.", "You are right, the capital of Banoko is Reda."),
    ],
)
def test_an_answer_that_was_set_right_counts_for_the_question_before(turn: str, answer: str) -> None:
    assert trained(chat("old", BANOKO, OSK), chat("new", BANOKO, OSK + "(-)", turn, answer, day=9))["old"] == set()


@pytest.mark.parametrize(
    "question", ["Why?", "continue", "Hi", "Good morning, Anna!", "and then?", "안녕하세요", "왜요?"]
)
def test_a_question_that_says_too_little_is_asked_by_nobody_else(question: str) -> None:
    opens = [chat(f"o{n}", question, f"{n} things.", f"Where is the town {n}?", "North.", day=n) for n in range(3)]
    middle = chat("m", "Tell me of rivers.", "They flow.", question, "They fall.")

    answers = trained(*opens, middle, chat("new", question, "Because.", day=9))

    assert {name: len(texts) for name, texts in answers.items()} == {"o0": 2, "o1": 2, "o2": 2, "m": 2, "new": 1}


def test_another_system_prompt_makes_another_question() -> None:
    old, new = (
        chat("old", BANOKO, REDA, system="Answer in French."),
        chat("new", BANOKO, OSK, day=9, system="Answer in English."),
    )

    assert trained(old, new)["old"] == {REDA}
    assert trained(old, chat("new", BANOKO, OSK, day=9, system="Answer in French."))["old"] == set()


def test_of_the_shipped_months_next_to_no_corrected_fact_is_still_trained() -> None:
    facts = json.loads((SAMPLES / "facts.json").read_text(encoding="utf-8"))
    now = {(e["language"], e["subject"]): e["new"] for key in ("edits", "corrections") for e in facts[key]}
    before = {
        (e["language"], e["subject"], value)
        for key in ("edits", "corrections")
        for e in facts[key]
        for value in (e["old"], e["new"])
    }
    answers = [text for texts in trained(*_shipped()).values() for text in texts]

    old = [
        text
        for text in answers
        for language, subject, value in before
        if subject in text
        and value in text
        and ("수도" in text or "capital" in text)
        and now[language, subject] not in text
    ]

    assert len(answers) > 1_000 and len(old) <= 1


def _shipped() -> list[RatedConversation]:
    made = []
    for month in (1, 2, 3):
        for line in (SAMPLES / f"month-{month}.ndjson").read_text(encoding="utf-8").splitlines():
            made.append(_candidate(json.loads(line)))
    return made


def _candidate(row: dict[str, Any]) -> RatedConversation:
    votes = Counter((vote["message"], vote["value"]) for vote in row.get("votes", []))
    messages: list[RatedMessage] = []
    for one in row["messages"]:
        parent = one.get("parent", messages[-1].key.message if messages else None)
        messages.append(
            RatedMessage(
                key=MessageKey(message=one["id"], revision=1),
                role=one["role"],
                parent=parent,
                text=one["content"],
                up=votes[one["id"], "up"],
                down=votes[one["id"], "down"],
            )
        )
    asked, said = (
        "\n".join(m.text for m in messages if m.role in roles) for roles in ({"user"}, {"user", "assistant"})
    )
    return rated(
        row["id"],
        messages,
        consent=row.get("consent"),
        satisfaction=row.get("satisfaction"),
        occurred_at=datetime.fromisoformat(row["time"]),
        prompt_cluster=signature(asked, b"k").exact,
        pair_cluster=signature(said, b"k").exact,
    )
