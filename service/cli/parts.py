"""The processes of `perennial up`: started, started again when they end, and ended with it.

A part that was at work and ended is started again, a little later each time within a minute. One that ends again and
again before it ever was at work cannot be helped by starting it: the web process then ends `up`, and so does any part
as long as `up` has not said that it is up.
"""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pipelines.errors import PerennialError
from pipelines.isolated import ended_with

WINDOW_SECONDS = 60.0
MAX_FAILURES = 5
_MAX_PAUSE_SECONDS = 30.0
_AT_WORK_SECONDS = 10.0
_STOP_SECONDS = 15.0


@dataclass
class Ends:
    """How often a part ended within the last minute, and how often of that before it was at work."""

    pause_seconds: float = 1.0
    ended: deque[float] = field(default_factory=deque)
    failed: deque[float] = field(default_factory=deque)

    def note(self, at: float, was_at_work: bool) -> float:
        """Count one end; the seconds to wait before the next start."""
        self.ended.append(at)
        if not was_at_work:
            self.failed.append(at)
        for ends in (self.ended, self.failed):
            while ends and ends[0] <= at - WINDOW_SECONDS:
                ends.popleft()
        return _MAX_PAUSE_SECONDS if self.is_hopeless else min(_MAX_PAUSE_SECONDS, self.pause_seconds * len(self.ended))

    @property
    def is_hopeless(self) -> bool:
        """Whether it ended too often without ever being at work."""
        return len(self.failed) >= MAX_FAILURES


@dataclass
class _Part:
    """A process, and when it was started or is to be started again. `at_work` once it did what it is there for."""

    command: Sequence[str]
    process: "subprocess.Popen[bytes]"
    started: float
    ends: Ends
    at_work: bool = False
    start_at: float | None = None


class Parts:
    """The running parts by name. `say` tells people what becomes of them."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        sockets: Sequence[int],
        say: Callable[[str], None],
        pause_seconds: float = 1.0,
    ) -> None:
        self._sockets, self._say = sockets, say
        self._parts = {name: self._start(words, Ends(pause_seconds)) for name, words in commands.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop([part.process for part in self._parts.values()])

    def mark_at_work(self, name: str) -> None:
        """Note that a part does what it is there for."""
        self._parts[name].at_work = True

    def is_at_work(self, name: str) -> bool:
        """Whether a part runs and was seen at work since its last start."""
        part = self._parts[name]
        return part.at_work and part.start_at is None and part.process.poll() is None

    def look(self, is_up: bool) -> None:
        """Start again what ended and has waited long enough.

        Raises:
            PerennialError: a part cannot be kept running, and `up` is nothing without it.
        """
        at = time.monotonic()
        for name, part in self._parts.items():
            if part.start_at is not None:
                if at >= part.start_at:
                    self._start_again(name, part)
            elif part.process.poll() is not None:
                _close(part.process)
                self._note_end(name, part, at, is_up)

    def _start_again(self, name: str, part: _Part) -> None:
        try:
            self._parts[name] = self._start(part.command, part.ends)
        except OSError as error:  # no memory or no process to be had now
            part.start_at = time.monotonic() + _MAX_PAUSE_SECONDS
            self._say(f"{name} could not be started: {error.strerror}; trying again in {_MAX_PAUSE_SECONDS:.0f} s")

    def _note_end(self, name: str, part: _Part, at: float, is_up: bool) -> None:
        how = ended_with(part.process.returncode)
        was_at_work = part.at_work or (name != "serve" and at - part.started > _AT_WORK_SECONDS)
        pause = part.ends.note(at, was_at_work)
        if part.ends.is_hopeless and (name == "serve" or not is_up):
            raise PerennialError(
                f"`perennial {name}` ended {len(part.ends.failed)} times before it was at work, the last time with {how}; "
                "what it said stands above"
            )
        part.start_at = at + pause
        self._say(f"{name} ended with {how}; starting it again in {pause:.0f} s")

    def _start(self, command: Sequence[str], ends: Ends) -> _Part:
        process = start(command, self._sockets if command[0] == "serve" else ())
        return _Part(command, process, time.monotonic(), ends)


def start(command: Sequence[str], sockets: Sequence[int] = (), log: Path | None = None) -> "subprocess.Popen[bytes]":
    """A command of `perennial` as a process that ends when this one does; it inherits the open `sockets`.

    What it says goes where this process's words go, or to the end of the file `log`.
    """
    words = [sys.executable, "-m", "service.part", str(os.getpid()), *command]
    with log.open("ab") if log else nullcontext(None) as said:
        return subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=sockets, stdout=said, stderr=said)


def stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End the processes, politely first."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _close(process)


def _close(process: "subprocess.Popen[bytes]") -> None:
    """Close our end of an ended process's pipe."""
    assert process.stdin is not None
    process.stdin.close()
