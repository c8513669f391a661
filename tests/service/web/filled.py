"""A home as the pages find it after some weeks: a champion, a candidate that passed, one that failed, a round that trains."""

import json
from pathlib import Path

from sqlmodel import Session

from service.settings import Settings
from service.store.session import open_store
from service.store.tables import App, Attempt, Conversation, Person, Rejection, Snapshot, SnapshotItem, Stage, now
from tests.service.served import add_model, add_round, crown

RECIPE = """
name: tiny
base: {model: models/tiny}
mixture: {user: 1.0}
evaluate: {suites: [tiny_math]}
gates: [{suite: tiny_math, margin: {champion: 3.0, origin: 3.0}}]
preference: {method: auto}
"""


def fill(settings: Settings) -> None:
    store = open_store(settings)
    add_model(store, settings, "origin", kind="origin", verdict=None)
    crown(store, "origin")
    add_round(store, counts={"champion": "origin"}, stage="gate", recipe=RECIPE)
    reasons = ["tiny_math: surely inside the margin of 3.0: pass", "<script>alert(1)</script>"]
    add_model(store, settings, "good", round_id=1, reasons=reasons)
    add_model(store, settings, "bad", "second", round_id=1, verdict="fail", reasons=["tiny_math lost 9 points"])
    _finished_attempt(settings.home / "rounds" / "0001" / "attempt-1")
    _report(settings.home / "rounds" / "0001" / "attempt-1")
    add_round(store, state="running", stage="train")
    _training_attempt(settings.home / "rounds" / "0002" / "attempt-1")
    with store.begin() as session:
        session.add(
            Attempt(
                round_id=1, number=1, folder="rounds/0001/attempt-1", state="finished", verdict="pass", reasons=reasons
            )
        )
        session.add(Attempt(round_id=2, number=1, folder="rounds/0002/attempt-1"))
        session.flush()
        session.add(Stage(attempt_id=2, name="snapshot", digest="d", fence=1, seconds=0.4))
        _conversations(session)
    store.close()


def _conversations(session: Session) -> None:
    session.add(app := App(name="default"))
    session.flush()
    session.add(person := Person(app_id=app.id, hmac="p"))
    session.flush()
    for number, state in enumerate(["clean", "clean", "received", "rejected"]):
        conversation = Conversation(
            app_id=app.id,
            client_hmac=str(number),
            person_id=person.id,
            consent=True,
            state=state,
            digest="d",
            occurred_at=now(),
            sealed_meta=b"",
        )
        session.add(conversation)
        session.flush()
        if state == "rejected":
            session.add(Rejection(conversation_id=conversation.id, rule="too_short", detail="3 characters"))
    item = {"round_id": 1, "conversation_id": "c", "person_id": person.id, "part": "train"}
    session.add(Snapshot(round_id=1, digest="d"))
    session.add(SnapshotItem(**item, outcome="left_out", reason="cannot_be_rendered"))


def _finished_attempt(folder: Path) -> None:
    check = {
        "suite": "tiny_math",
        "criterion": "margin",
        "outcome": "pass",
        "reason": "inside",
        "baseline": "champion",
        "candidate": 70.1,
        "reference": 71.3,
        "difference": -1.2,
        "lower": -2.0,
        "upper": -0.4,
        "n": 600,
        "needed": None,
    }
    write_manifest(folder, {"outcome": "pass", "checks": [check]})


def write_manifest(folder: Path, output: dict[str, object]) -> None:
    """A finished gate stage."""
    said = {"stage": "gate", "input": "i", "output": output, "files": {}, "seconds": 0.1, "finished_at": 1.0}
    (folder / "gate").mkdir(parents=True)
    (folder / "gate" / "manifest.json").write_text(json.dumps(said))


def _report(folder: Path) -> None:
    told = {
        "method": "kto",
        "why": "Few pairs.",
        "notes": ["At most 3.7 % per person."],
        "used": {"siblings": 360},
        "dropped": {"over_user_cap": 31, "echo": 8},
        "held_out": 74,
        "heldout_before": 0.1,
        "heldout_after": 0.95,
        "n": 40,
        "lower": 0.705,
        "upper": 0.92,
        "sources": {"siblings": 180},
    }
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "report.json").write_text(json.dumps({"recipe": "tiny", "preference": told}))


def _training_attempt(folder: Path) -> None:
    (folder / "train.1.tmp").mkdir(parents=True)
    lines = [
        {"stage": "train", "done": 1, "total": 100, "loss": 3.0},
        {"stage": "train", "done": 20, "total": 100, "dev_loss": 2.9},
        {"stage": "train", "done": 40, "total": 100, "loss": 1.0},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"half a li'
    (folder / "train.1.tmp" / "progress.jsonl").write_text(text)
