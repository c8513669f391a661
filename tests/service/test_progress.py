"""Progress where nobody looks at a terminal: plain lines through a real pipe, while the work goes on."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from service.progress import PlainProgress, open_progress, span
from service.rounds import requests
from service.settings import Settings
from service.store import rounds
from service.store.health import beat, is_worked_for
from service.store.session import Store, migrate, open_store
from service.store.tables import Attempt, now
from tests.factories import conversation, ndjson

PROJECT = Path(__file__).resolve().parents[2]
CLI = [sys.executable, "-m", "service.cli"]


def told_by(*updates: tuple[float, str, int | None, int | None], in_bytes: bool = False) -> list[str]:
    """The lines of plain progress for updates at these moments."""
    lines: list[str] = []
    clock = iter([moment for moment, *_ in updates])
    shown = PlainProgress(lines.append, in_bytes=in_bytes, clock=lambda: next(clock))
    for _, step, done, total in updates:
        shown.update(step, done, total)
    return lines


def test_a_line_comes_at_the_start_and_every_five_seconds_with_the_time_left() -> None:
    assert told_by(*((at / 2, "train", at, 100) for at in range(25))) == [
        "train: 0 of 100, 0 %",
        "train: 10 of 100, 10 %, about 45 s left",
        "train: 20 of 100, 20 %, about 40 s left",
    ]


def test_the_time_left_counts_from_where_a_resumed_step_began() -> None:
    assert told_by((0, "train", 90, 100), (10, "train", 95, 100))[-1] == "train: 95 of 100, 95 %, about 10 s left"


def test_a_slow_start_is_forgotten_after_half_a_minute() -> None:
    slow = [(0, "train", 0, 1000), (50, "train", 10, 1000)]
    steady = [(50 + 5 * at, "train", 10 + 50 * at, 1000) for at in range(1, 9)]
    assert told_by(*slow, *steady)[-1] == "train: 410 of 1000, 41 %, about 59 s left"


def test_a_step_without_parts_says_how_long_it_takes_so_far() -> None:
    assert told_by((0, "export", 0, 1), (12, "export", 0, 1)) == ["export: started", "export: 12 s so far"]
    assert told_by((0, "score", 0, 52.5), (12, "score", 0, 52.5))[-1] == "score: 0 of 52, 0 %, 12 s so far"


def test_a_step_of_unknown_length_says_how_long_it_takes_so_far() -> None:
    assert told_by((0, "export", None, None), (3, "export", None, None), (75, "export", None, None)) == [
        "export: started",
        "export: 1 min 15 s so far",
    ]


def test_bytes_are_shown_as_people_read_them() -> None:
    assert told_by((0, "f", 1_500_000, 3_000_000), in_bytes=True) == ["f: 1.5 MB of 3.0 MB, 50 %"]


def test_a_step_ends_once() -> None:
    lines: list[str] = []
    shown = PlainProgress(lines.append)
    shown.finish("mix", "1.0 s")
    shown.finish("mix", "1.0 s")
    assert lines == ["mix: done, 1.0 s"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_terminal_gets_bars_with_the_time_left() -> None:
    shown = io.StringIO()
    with open_progress(Console(file=shown, force_terminal=True, width=100)) as progress:
        progress.update("train", 40, 221, "loss 2.3")
    assert "train" in shown.getvalue() and "40/221" in shown.getvalue() and "-:--:--" in shown.getvalue()


def test_an_import_in_a_pipe_says_how_far_it_is(sqlite_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.ndjson").write_bytes(ndjson(*(conversation() for _ in range(5))))
    done = subprocess.run(
        [*CLI, "import", str(tmp_path / "rows.ndjson")],
        cwd=PROJECT,
        env=own(sqlite_settings),
        capture_output=True,
        text=True,
    )
    assert "rows.ndjson: " in done.stdout and ", 100 %" in done.stdout and "5 created" in done.stdout


def test_a_round_is_carried_out_by_its_own_command_where_no_worker_runs(
    sqlite_settings: Settings, store_at_home: Store
) -> None:
    done = subprocess.run(
        [*CLI, "round", "run", "--recipe", "data/recipes/tiny.yaml"],
        cwd=PROJECT, env=own(sqlite_settings), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "no worker runs: this command carries the round out itself; its log is " in done.stdout
    assert "round 1: skipped" in done.stdout and done.returncode == 0
    with store_at_home.read() as session:
        assert not is_worked_for(session, 60)  # it ended with its command


def test_a_round_in_a_pipe_is_told_while_it_runs(sqlite_settings: Settings, store_at_home: Store) -> None:
    beat(store_at_home, "a worker elsewhere")
    with subprocess.Popen(
        [*CLI, "round", "run", "--recipe", "data/recipes/tiny.yaml"],
        cwd=PROJECT, env=own(sqlite_settings), stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(iter(child.stdout.readline, "")))  # type: ignore[union-attr]
        reader.start()
        wait_for(lines, "wait for a worker: started")
        claim, folder = begin(store_at_home, sqlite_settings)
        for done in (40, 80):
            note(folder, done)
            wait_for(lines, f"train: {done} of 221, {100 * done // 221} %")
        claim.finish("error", "stopped by the test", now())
        child.wait(60)
        reader.join()
    assert any(line.startswith("train: 80 of 221") and " left, loss 2.5" in line for line in lines)
    assert "wait for a worker: done\n" in lines and "  - stopped by the test\n" in lines


@pytest.fixture
def store_at_home(sqlite_settings: Settings) -> Iterator[Store]:
    migrate(sqlite_settings)
    store = open_store(sqlite_settings)
    yield store
    store.close()


def own(settings: Settings) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    return kept | {"PERENNIAL_HOME": str(settings.home), "PYTHONPATH": str(PROJECT)}


def begin(store: Store, settings: Settings) -> tuple[requests.Claim, Path]:
    """The round as a worker leaves it that has begun to train: claimed, an attempt with a folder, the stage named."""
    claimed = requests.claim_round(store, "test", 600)
    assert claimed is not None
    claim = claimed[1]
    folder = settings.home / "rounds" / f"{claim.round_id}" / "a1"
    with claim.writing() as session:
        session.add(Attempt(round_id=claim.round_id, number=1, state="running", folder=str(folder)))
        rounds.change_round(session, claim.round_id, claim.fence, stage="train")
    return claim, folder


def note(folder: Path, done: int) -> None:
    path = folder / "train" / "progress.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"stage": "train", "done": done, "total": 221, "loss": 2.5}) + "\n")


def wait_for(lines: list[str], start: str) -> None:
    deadline = time.monotonic() + 60
    while not any(line.startswith(start) for line in lines):
        assert time.monotonic() < deadline, (start, lines)
        time.sleep(0.1)
