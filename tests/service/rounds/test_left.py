"""How much longer a round takes, from the files that it writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.progress import PROGRESS_FILE
from service.rounds.follow import show_stages
from service.rounds.left import TimeLeft, time_left
from service.rounds.requests import RoundView
from service.store.tables import Round


def write_forecast(attempt: Path, **seconds: float) -> None:
    times = [{"name": name, "seconds": value, "ground": "rounds"} for name, value in seconds.items()]
    (attempt / "forecast.json").write_text(json.dumps(times))


def write_lines(attempt: Path, stage: str, *lines: tuple[float, float, float]) -> None:
    folder = attempt / f"{stage}.1.tmp"
    folder.mkdir()
    rows = [{"stage": stage, "time": time, "done": done, "total": total} for time, done, total in lines]
    (folder / PROGRESS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_running_stage_goes_by_its_pace_and_those_to_come_by_the_forecast(tmp_path: Path) -> None:
    write_forecast(tmp_path, train=500, export=30, evaluate=120, gate=1, report=1)
    write_lines(tmp_path, "train", (1000, 0, 1), (1000, 0, 100), (1010, 10, 100), (1030, 30, 100))
    left = time_left(tmp_path, {"snapshot", "origin", "mix"}, "train", now=1040)
    assert left == TimeLeft(stage=60.0, total=60.0 + 30 + 120 + 1 + 1)


def test_only_the_last_minute_is_a_pace(tmp_path: Path) -> None:
    # the first step took five minutes; since then it is ten seconds each
    write_lines(tmp_path, "train", (1000, 0, 20), (1300, 1, 20), (1310, 2, 20), (1350, 6, 20))
    assert time_left(tmp_path, (), "train", now=1350).stage == pytest.approx(14 * 10)


def test_a_stage_without_a_pace_goes_by_the_forecast_less_what_has_passed(tmp_path: Path) -> None:
    write_forecast(tmp_path, evaluate=120, gate=1, report=1)
    write_lines(tmp_path, "evaluate", (1000, 0, 1))
    assert time_left(tmp_path, {"export"}, "evaluate", now=1050) == TimeLeft(stage=70.0, total=72.0)
    assert time_left(tmp_path, {"export"}, "evaluate", now=2000).stage == 0.0


def test_without_a_forecast_only_the_running_stage_has_a_time(tmp_path: Path) -> None:
    write_lines(tmp_path, "train", (1000, 0, 100), (1010, 10, 100))
    assert time_left(tmp_path, (), "train", now=1010) == TimeLeft(stage=90.0, total=None)
    assert time_left(tmp_path, (), "export", now=1010) == TimeLeft(stage=None, total=None)


class Seen:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, step: str, done: Any = None, total: Any = None, note: str = "") -> None:
        self.notes.append(note)

    def finish(self, step: str, note: str = "") -> None:
        raise AssertionError("nothing has finished")


def test_following_a_round_says_how_long_it_still_takes_in_all() -> None:
    row = Round(id=1, recipe_name="r", recipe="", recipe_digest="", requested_by="me", state="running", stage="train")
    line = {"stage": "train", "time": 0.0, "done": 1, "total": 4, "loss": 2.5}
    view, seen = RoundView(row, (), {}, (), line, TimeLeft(stage=60.0, total=3900.0)), Seen()
    show_stages(view, seen)
    assert seen.notes == ["loss 2.5  round: about 1 h 5 min left"]
