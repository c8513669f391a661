"""What was handed over and is not delivered: a queue of lines, in memory here, on disk in spool.py.

Not safe for several threads by itself: the outbox holds its lock around every call.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Window:
    """The next lines to deliver; `own` is how many of them this process handed over itself."""

    lines: tuple[bytes, ...]
    own: int


class Backlog(Protocol):
    """A first-in, first-out queue of lines with a bound."""

    def append(self, line: bytes) -> bool:
        """Takes a line, or says that there is no room: what waits already is kept, what is new is not."""

    def window(self, most_lines: int, most_bytes: int) -> Window:
        """The next lines, at least one if any waits; they stay until `settle`."""

    def settle(self, window: Window) -> None:
        """Lets the lines of the last window go."""

    def look_around(self) -> None:
        """Takes over what processes that ended have left."""

    def forget(self) -> None:
        """Starts empty in a child process: what waits is the parent's to deliver."""

    def close(self) -> None:
        """Lets go of files; on disk what waits stays for the next process."""

    @property
    def waiting(self) -> int:
        """How many lines wait."""

    @property
    def keeps(self) -> bool:
        """Whether what waits at the end is on disk, and goes out with the next process."""


class Memory:
    """A backlog that ends with its process."""

    keeps = False

    def __init__(self, most_lines: int, most_bytes: int) -> None:
        self._most_lines, self._most_bytes = most_lines, most_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    def append(self, line: bytes) -> bool:
        """Takes a line if there is room."""
        if len(self._lines) >= self._most_lines or self._bytes + len(line) > self._most_bytes:
            return False
        self._lines.append(line)
        self._bytes += len(line)
        return True

    def window(self, most_lines: int, most_bytes: int) -> Window:
        """The next lines."""
        taken: list[bytes] = []
        size = 0
        for line in self._lines:
            size += len(line)
            if taken and (len(taken) >= most_lines or size > most_bytes):
                break
            taken.append(line)
        return Window(tuple(taken), len(taken))

    def settle(self, window: Window) -> None:
        """Lets the window's lines go."""
        for _ in window.lines:
            self._bytes -= len(self._lines.popleft())

    def look_around(self) -> None:
        """Nobody leaves anything in memory."""

    def forget(self) -> None:
        """Starts empty."""
        self._lines.clear()
        self._bytes = 0

    def close(self) -> None:
        """Nothing to let go of."""
