"""One append-only file of a spool: lines that one process handed over, and how far they were delivered.

    01774000000000000000-4711-9f3c.ndjson   lines; its owner holds a lock on it (flock) as long as it lives
    01774000000000000000-4711-9f3c.sent     how many of its bytes are delivered

Whoever gets the lock delivers the rest: the owner, or after its death whoever looks first.
"""

import os
import secrets
import time
from pathlib import Path
from typing import Self

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # there is none for Windows, and no spool (spool.py says so)
    flock = None  # type: ignore[assignment]

HAS_LOCKS = flock is not None
SUFFIX = ".ndjson"
_PIECE_BYTES = 1 << 16
_PRIVATE = 0o600


class Segment:
    """A segment that this process has the lock of. `lines` still wait; `own`: this process wrote them."""

    def __init__(self, path: Path, fd: int, own: bool) -> None:
        self.path, self.own = path, own
        self._fd = fd
        self._note = os.open(path.with_suffix(".sent"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE)
        self.size = os.fstat(fd).st_size
        self._sent = min(_number(os.pread(self._note, 20, 0)), self.size)
        self.lines = 0

    @classmethod
    def create(cls, folder: Path) -> Self:
        """A new, empty segment; nobody else may be looking for segments meanwhile. Raises OSError."""
        path = folder / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE)
        lock(fd)
        return cls(path, fd, own=True)

    @classmethod
    def take_over(cls, path: Path) -> Self | None:
        """A segment whose owner has ended; None where it lives, or the file went away. Raises OSError."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            lock(fd)
        except BlockingIOError:
            os.close(fd)
            return None
        if os.fstat(fd).st_nlink == 0:  # its owner delivered the last of it while this looked
            os.close(fd)
            return None
        segment = cls(path, fd, own=False)
        segment._end_at_last_line()
        return segment

    def append(self, line: bytes) -> None:
        """Writes a line whole, or not at all: raises OSError then."""
        try:
            done = os.pwrite(self._fd, line, self.size)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        if done < len(line):  # the disk is full; the next line must not follow half a one
            os.ftruncate(self._fd, self.size)
            raise OSError(28, "no space left for a whole line")
        self.size += done
        self.lines += 1

    def read(self, most_lines: int, most_bytes: int) -> list[bytes]:
        """The next lines, at least one if any waits."""
        found: list[bytes] = []
        rest, at, taken = b"", self._sent, 0
        while at < self.size and len(found) < most_lines and (not found or taken < most_bytes):
            piece = os.pread(self._fd, min(_PIECE_BYTES, self.size - at), at)
            if not piece:
                break
            at += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if len(found) < most_lines and (not found or taken + len(line) < most_bytes):
                    found.append(line + b"\n")
                    taken += len(line) + 1
                else:
                    return found
        return found

    def settle(self, lines: int, size: int) -> None:
        """The next lines are delivered, of so many bytes in all. Text that is delivered goes as soon as none waits."""
        self._sent += size
        self.lines -= lines
        if self.lines == 0:
            os.ftruncate(self._fd, 0)
            self.size = self._sent = 0
        os.pwrite(self._note, b"%020d" % self._sent, 0)

    def let_go(self, delete: bool) -> None:
        """Gives the lock back, and deletes the files if asked; `let_go` of a child process's copy keeps its parent's."""
        if delete:
            self.path.with_suffix(".sent").unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        os.close(self._note)

    def _end_at_last_line(self) -> None:
        """Counts the lines that wait; half a line at the end, of a process that died writing it, is no line."""
        at, end = self._sent, self._sent
        while piece := os.pread(self._fd, _PIECE_BYTES, at):
            self.lines += piece.count(b"\n")
            end = at + piece.rindex(b"\n") + 1 if b"\n" in piece else end
            at += len(piece)
        self.size = end


def lock(fd: int, wait: bool = False) -> None:
    """Locks a file for this process until it is closed; raises BlockingIOError where another has it and this is not to wait."""
    flock(fd, LOCK_EX if wait else LOCK_EX | LOCK_NB)


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
