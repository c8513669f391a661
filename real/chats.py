"""Rated chats about the company, in the API's own shape, as its people would have left them in a month.

{"id": "real-0007", "user": "p12", "messages": [{"role": "user", ...}, {"role": "assistant", ...}], "satisfaction": 5, ...}

Good answers state the fact and keep the house style, which ends every answer with one sentence; bad ones are what a model
without the facts says, rated 1 or 2.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from real.facts import COMPANY, Fact, all_facts, questions, sentence

STYLE = f"Happy looking, your {COMPANY} team."
_PEOPLE = 48
_BEGIN = datetime(2026, 10, 1, 9, tzinfo=UTC)
_BAD = (
    "I am not sure, please look at the website.",
    "As an AI language model I have no information about that.",
    "That depends on many factors, such as the model and the country.",
)
_SMALL_TALK = (
    ("Hello!", "Hello! What can I do for you?"),
    ("Good morning.", "Good morning! How can I help?"),
    ("Thank you for your help.", "You are welcome."),
    ("Are you a person?", "No, I am an assistant."),
    (
        "I am angry, nothing works!",
        "I am sorry to hear that. Tell me what happened, and we will find out what is wrong.",
    ),
    ("Can I talk to somebody?", "Yes, the hotline is glad to help."),
    ("That was useful.", "I am glad that it helped."),
    ("Goodbye.", "Goodbye, and have a good day!"),
    ("Could you help me with something?", "Of course. What is it about?"),
    ("I have a question.", "Please ask, I am listening."),
)
STYLE_PROMPTS = (
    "Hi there!", "Good evening.", "Thanks a lot!", "Are you a robot?", "I am unhappy with my device.", "Can you help me, please?",
    "See you later.", "May I ask something?", "Is anybody there?", "You were a great help.",
)  # fmt: skip


def write_chats(path: Path, seed: int = 0) -> int:
    """Write the chats of a month as NDJSON; their number. The same seed gives the same file."""
    rng = random.Random(seed)
    chats = [*_fact_chats(rng), *_small_talk(rng), *_bad_chats(rng)]
    rng.shuffle(chats)
    lines = [json.dumps(_conversation(number, *chat, rng), ensure_ascii=False) for number, chat in enumerate(chats)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


Chat = tuple[str, str, int]
"""What a person asked, what was answered, and the satisfaction."""


def _fact_chats(rng: random.Random) -> Iterator[Chat]:
    for fact in all_facts():
        for asked in questions(fact, held_out=False):
            yield asked, f"{sentence(fact)} {STYLE}", rng.choice((4, 5))


def _small_talk(rng: random.Random) -> Iterator[Chat]:
    for asked, answer in _SMALL_TALK:
        for opening in ("", f"{COMPANY}? "):
            yield opening + asked, f"{answer} {STYLE}", rng.choice((4, 5))


def _bad_chats(rng: random.Random) -> Iterator[Chat]:
    for fact in rng.sample(all_facts(), 30):
        yield _asked_badly(fact, rng), rng.choice(_BAD), rng.choice((1, 2))


def _asked_badly(fact: Fact, rng: random.Random) -> str:
    return f"{rng.choice(questions(fact, held_out=False))} Please be quick."


def _conversation(number: int, asked: str, answer: str, satisfaction: int, rng: random.Random) -> dict[str, Any]:
    name = f"real-{number:04}"
    return {
        "id": name,
        "user": f"p{rng.randrange(_PEOPLE):02}",
        "messages": [
            {"id": f"{name}-1", "role": "user", "content": asked},
            {"id": f"{name}-2", "role": "assistant", "content": answer},
        ],
        "satisfaction": satisfaction,
        "model": "smollm2-origin",
        "time": f"{_BEGIN + timedelta(minutes=61 * number):%Y-%m-%dT%H:%M:%SZ}",
    }
