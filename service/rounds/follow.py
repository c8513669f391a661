"""A round in the terminal or in a pipe: how far the stage is that runs, until the round ends."""

import time
from collections.abc import Callable

from rich.console import Console

from service.progress import ProgressView, open_progress, span
from service.rounds.requests import RoundView

FINAL_STATES = frozenset({"passed", "failed", "inconclusive", "skipped", "cancelled", "error"})
_QUEUE = "wait for a worker"
_NOT_NUMBERS = {"stage", "time", "done", "total"}


def show_stages(view: RoundView, shown: ProgressView) -> None:
    """Bring what is shown up to date with a round: finished stages with their seconds, and how far the running one is."""
    for attempt in view.attempts:
        for stage in attempt.stages:
            shown.finish(_title(stage.name, attempt.attempt.number), f"{stage.seconds:.1f} s")
    running = view.round.stage
    if running is None or view.round.state != "running":
        return
    title = _title(running, view.attempts[-1].attempt.number if view.attempts else 1)
    line = view.progress
    if line is not None and line.get("stage") == running:
        shown.update(title, line["done"], line["total"], "  ".join(filter(None, [_note(line), _left(view)])))
    else:
        shown.update(title, note=_left(view))


def follow_round(look: Callable[[], RoundView], console: Console, *, is_carried_here: bool = False) -> str:
    """Follow a round until it ends, and give its state; says so if no worker takes it, unless one of this command will."""
    started, warned, waited = time.monotonic(), is_carried_here, False
    with open_progress(console) as shown:
        while (view := look()).round.state not in FINAL_STATES:
            show_stages(view, shown)
            if view.round.state == "requested":
                waited = True
                shown.update(_QUEUE, note=view.round.message)
            elif waited:
                shown.finish(_QUEUE)
            waits = view.round.state == "requested" and not view.round.message
            if not warned and waits and time.monotonic() - started > 10:
                console.print("no worker has taken the round yet: start one with `perennial worker` or `perennial up`")
                warned = True
            time.sleep(0.3)
        show_stages(view, shown)
    console.print(f"round {view.round.id}: {view.round.state}")
    for reason in (view.attempts[-1].attempt.reasons if view.attempts else []) or [view.round.message]:
        console.print(f"  - {reason}", markup=False)
    return view.round.state


def _left(view: RoundView) -> str:
    """How long the round still takes, where that can be said."""
    total = view.left.total if view.left else None
    return f"round: about {span(total)} left" if total is not None else ""


def _title(stage: str, attempt: int) -> str:
    return stage if attempt == 1 else f"{stage} (attempt {attempt})"


def _note(line: object) -> str:
    if not isinstance(line, dict):
        return ""
    shown = {key: value for key, value in line.items() if key not in _NOT_NUMBERS}
    return "  ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
    )
