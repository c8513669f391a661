"""A backlog on disk: every call's line is appended to a private file before the call returns.

What a process handed over outlives it: kill -9 takes nothing. (A power cut may: nothing here waits for the disk.)
Several processes may share a folder; each writes segments of its own (segment.py) and takes over those of the dead.

    spool/                     0700
      lock                     held for moments, while segments are made or looked for
      *.ndjson, *.sent         0600, gone once delivered
      rejected.ndjson          0600, what the service refused (rejects.py)
"""

import logging
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.client.backlog import Memory, Window
from perennial.client.segment import HAS_LOCKS, SUFFIX, Segment, lock

SEGMENT_BYTES = 4 << 20
_log = logging.getLogger("perennial.client")


class Spool:
    """A backlog of segments: those taken over first, then this process's own, then what found no room on the disk."""

    keeps = True

    def __init__(self, folder: Path, most_bytes: int, memory: Memory) -> None:
        """`memory` takes what the disk refuses. Raises OSError where the folder cannot be used privately."""
        if not HAS_LOCKS:
            raise OSError("a spool needs the file locks of a POSIX system; leave `spool` out here")
        self._folder, self._most_bytes, self._memory = folder, most_bytes, memory
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(f"others may write in the spool folder {folder}: chmod 700 it, or name another")
        self._segments: deque[Segment] = deque()
        self._others_bytes = 0
        self._refused = False
        self._last: tuple[Segment | None, Window] | None = None
        self.look_around()

    @property
    def waiting(self) -> int:
        """How many lines wait, those of ended processes too."""
        return sum(segment.lines for segment in self._segments) + self._memory.waiting

    def append(self, line: bytes) -> bool:
        """Takes a line if there is room: on disk, or in memory while the disk refuses."""
        if self._others_bytes + sum(segment.size for segment in self._segments) + len(line) > self._most_bytes:
            return False
        return self._memory.append(line) if self._memory.waiting or not self._write(line) else True

    def window(self, most_lines: int, most_bytes: int) -> Window:
        """The next lines of the oldest segment, or of memory after them."""
        segment = next((one for one in self._segments if one.lines), None)
        if segment is None:
            window = self._memory.window(most_lines, most_bytes)
        else:
            lines = tuple(segment.read(most_lines, most_bytes))
            window = Window(lines, len(lines) if segment.own else 0)
        self._last = (segment, window)
        return window

    def settle(self, window: Window) -> None:
        """Lets the lines of the last window go, and files of which nothing waits."""
        assert self._last is not None and self._last[1] is window
        segment = self._last[0]
        if segment is None:
            self._memory.settle(window)
            return
        segment.settle(len(window.lines), sum(map(len, window.lines)))
        if segment.lines == 0 and segment is not self._writing():
            self._segments.remove(segment)
            segment.let_go(delete=True)

    def look_around(self) -> None:
        """Takes over segments of processes that ended, oldest first, and measures those of the others."""
        known = {segment.path for segment in self._segments}
        self._others_bytes, orphans = 0, []
        with self._locked():
            for path in sorted(self._folder.glob(f"*-*-*{SUFFIX}")):
                if path not in known and (segment := Segment.take_over(path)) is not None:
                    orphans.append(segment)
                elif path not in known:
                    self._others_bytes += path.stat().st_size if path.exists() else 0
        for segment in reversed(orphans):
            if segment.lines:
                self._segments.appendleft(segment)
            else:
                segment.let_go(delete=True)

    def forget(self) -> None:
        """Starts without segments in a child process; closing its copies keeps the parent's locks."""
        for segment in self._segments:
            segment.let_go(delete=False)
        self._segments.clear()
        self._memory.forget()
        self._last = None

    def close(self) -> None:
        """Deletes what is empty, and leaves the rest to whoever looks next."""
        for segment in self._segments:
            segment.let_go(delete=segment.lines == 0)
        self._segments.clear()

    def _write(self, line: bytes) -> bool:
        """Whether the line stands on disk."""
        try:
            writing = self._writing()
            if writing is None or writing.size >= SEGMENT_BYTES:
                with self._locked():
                    writing = Segment.create(self._folder)
                self._segments.append(writing)
            writing.append(line)
        except OSError as error:
            if not self._refused:
                _log.warning(
                    "the spool cannot be written (%s): what comes now waits in memory", error.strerror or error
                )
            self._refused = True
            return False
        self._refused = False
        return True

    def _writing(self) -> Segment | None:
        """The segment that lines are appended to."""
        last = self._segments[-1] if self._segments else None
        return last if last is not None and last.own else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody makes or looks for segments in this folder meanwhile."""
        fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            lock(fd, wait=True)
            yield
        finally:
            os.close(fd)
