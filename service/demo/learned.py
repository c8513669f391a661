"""Did the rounds learn? Questions in phrasings that no training text used, and a style that people prefer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.isolated import run_in_child
from pipelines.records import PreferenceExample, Turn
from service.models.answers import form_record
from service.store.tables import ServedForm

_SECONDS = 3600.0


@dataclass(frozen=True)
class Question:
    """A question about a changed fact; an answer is right if it holds `match`."""

    prompt: str
    match: str


def read_questions(path: Path) -> list[Question]:
    """The held-out questions of data/samples/facts.json."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    return [Question(row["prompt"], row["match"]) for row in facts["questions"]]


def read_style(path: Path) -> list[PreferenceExample]:
    """The held-out style prompts of data/samples/style.json: a preferred answer and the other one."""
    return [
        PreferenceExample(
            id=row["id"],
            kind="pair",
            source="siblings",
            topic="talk",
            prompt=(Turn(role="user", content=row["prompt"]),),
            chosen=row["preferred"],
            rejected=row["other"],
        )
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


def share_preferred(home: Path, form: ServedForm, style: Sequence[PreferenceExample]) -> float:
    """The share of prompts whose preferred answer is the likelier one under a served form, from a child process."""
    asked = {"form": form_record(home, form), "examples": [one.model_dump(mode="json") for one in style]}
    found = run_in_child("pipelines.suites.preference:prefer_here", asked, timeout_seconds=_SECONDS)["prefers"]
    return sum(found) / len(found)


def share_right(questions: Sequence[Question], answers: Sequence[str]) -> float:
    """The share of answers that hold what their question asks for."""
    right = sum(question.match in answer for question, answer in zip(questions, answers, strict=True))
    return right / len(questions)
