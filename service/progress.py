"""How far something long is: bars with the time left on a terminal, elsewhere a plain line every few seconds.

train: 40 of 221, 18 %, about 1 min 50 s left, loss 2.31
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY_SECONDS = 5.0
_SAMPLES = 7
Clock = Callable[[], float]


class ProgressView(Protocol):
    """Where the steps of something long are shown."""

    def update(self, step: str, done: float | None = None, total: float | None = None, note: str = "") -> None:
        """A step is this far; None where it cannot be told."""

    def finish(self, step: str, note: str = "") -> None:
        """A step has ended; the same again changes nothing."""


@contextmanager
def open_progress(console: Console, *, in_bytes: bool = False) -> Iterator[ProgressView]:
    """Shows steps until the block ends, as the console allows."""
    if not console.is_terminal:
        yield PlainProgress(lambda line: _say(console, line), in_bytes=in_bytes)
        return
    counts: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    with Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        counts,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    ) as bars:
        yield _Bars(bars)


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Shows that something goes on of which nobody knows how far it is."""
    if console.is_terminal:
        with console.status(what):
            yield
        return
    ended, started = threading.Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(EVERY_SECONDS):
            _say(console, f"{what}: {span(time.monotonic() - started)} so far")

    _say(console, f"{what} ...")
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


@dataclass
class _Step:
    """When a step was first seen and last spoken of, and how far it was whenever it was: (moment, done)."""

    since: float
    said_at: float
    samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))

    def seconds_left(self, done: float, total: float) -> float | None:
        """By the pace of the last half minute, as a first step is often slow; None before there is one."""
        moment, before = self.samples[0]
        if done <= before or self.said_at <= moment:
            return None
        return (total - done) * (self.said_at - moment) / (done - before)


class PlainProgress:
    """Says a line when a step begins, every few seconds while it goes on, and when it ends."""

    def __init__(self, say: Callable[[str], None], *, in_bytes: bool = False, clock: Clock = time.monotonic) -> None:
        self._say, self._in_bytes, self._clock = say, in_bytes, clock
        self._steps: dict[str, _Step] = {}
        self._finished: set[str] = set()

    def update(self, step: str, done: float | None = None, total: float | None = None, note: str = "") -> None:
        """A step is this far; None where it cannot be told."""
        now = self._clock()
        known = self._steps.get(step)
        if known is None:
            known = self._steps[step] = _Step(since=now, said_at=now)
        elif now - known.said_at < EVERY_SECONDS:
            return
        known.said_at = now
        if done is not None:
            known.samples.append((now, done))
        self._say(f"{step}: {', '.join(self._parts(known, done, total, note))}")

    def finish(self, step: str, note: str = "") -> None:
        """A step has ended; the same again changes nothing."""
        if step not in self._finished:
            self._finished.add(step)
            self._say(f"{step}: done" + (f", {note}" if note else ""))

    def _parts(self, step: _Step, done: float | None, total: float | None, note: str) -> Iterator[str]:
        so_far = f"{span(step.said_at - step.since)} so far"
        if done is None or not total or total <= 1:
            yield "started" if step.said_at == step.since else so_far
        else:
            yield f"{self._count(done)} of {self._count(total)}"
            yield f"{100 * done / total:.0f} %"
            left = step.seconds_left(done, total)
            if left is not None:
                yield f"about {span(left)} left"
            elif step.said_at > step.since:
                yield so_far
        if note:
            yield note

    def _count(self, number: float) -> str:
        return decimal(round(number)) if self._in_bytes else f"{number:.0f}"


class _Bars:
    """A bar for each step; those that ended stay with their note."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def update(self, step: str, done: float | None = None, total: float | None = None, note: str = "") -> None:
        self._bars.update(self._task(step), total=total, completed=done, note=note)

    def finish(self, step: str, note: str = "") -> None:
        self._bars.update(self._task(step), total=1, completed=1, note=note)

    def _task(self, step: str) -> TaskID:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=None, note="")
        return self._tasks[step]


def span(seconds: float) -> str:
    """A duration as people say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
