"""A round in the terminal: one live progress bar per stage, until the round ends."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from service.rounds.requests import RoundView

FINAL_STATES = frozenset({"passed", "failed", "inconclusive", "skipped", "cancelled", "error"})
_NOT_NUMBERS = {"stage", "time", "done", "total"}


class RoundProgress:
    """Shows the stage that runs and how far it is; finished stages stay with their seconds."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, view: RoundView) -> None:
        """Bring the bars up to date with a round."""
        for attempt in view.attempts:
            for stage in attempt.stages:
                task = self._task(stage.name)
                self._progress.update(task, total=1, completed=1, note=f"{stage.seconds:.1f} s")
        running = view.round.stage
        if running is None or view.round.state != "running":
            return
        task = self._task(running)
        line = view.progress
        if line is not None and line.get("stage") == running:
            self._progress.update(task, total=line["total"], completed=line["done"], note=_note(line))

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=None, note="")
        return self._tasks[stage]


def follow_round(look: Callable[[], RoundView], console: Console) -> str:
    """Follow a round until it ends, and give its state; says so if no worker takes it."""
    started, warned = time.monotonic(), False
    with RoundProgress(console) as bar:
        while (view := look()).round.state not in FINAL_STATES:
            bar.show(view)
            if not warned and view.round.state == "requested" and time.monotonic() - started > 10:
                console.print("no worker has taken the round yet: start one with `perennial worker` or `perennial up`")
                warned = True
            time.sleep(0.3)
        bar.show(view)
    console.print(f"round {view.round.id}: {view.round.state}")
    for reason in (view.attempts[-1].attempt.reasons if view.attempts else []) or [view.round.message]:
        console.print(f"  - {reason}", markup=False)
    return view.round.state


def _note(line: object) -> str:
    if not isinstance(line, dict):
        return ""
    shown = {key: value for key, value in line.items() if key not in _NOT_NUMBERS}
    return "  ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
    )
