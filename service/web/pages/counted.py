"""Figures that take longer to count than a page may take: counted in a thread, and shown as they were counted last."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 0.04  # that a visitor waits for a newer count
FIRST_SECONDS = 2.0  # and for the first one
_SHARE = 20  # times what counting took: so long a count is good, which costs a twentieth of a core however many look


class Counted(Generic[Found]):
    """What a function counts. Whoever asks gets the newest count; where it is old, a new one begins.

    A count that is done within PATIENCE_SECONDS is waited for, so that a small home always shows what is. One that fails
    is told to whoever asks, and tried again at the next look.
    """

    def __init__(self, count: Callable[[], Found]) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._seen: Found | None = None
        self._failed: Exception | None = None
        self._running: threading.Event | None = None
        self._due = 0.0

    def __call__(self) -> Found | None:
        """The newest count; None while the first one takes longer than FIRST_SECONDS. Raises what the last count raised."""
        with self._lock:
            if self._running is None and time.monotonic() >= self._due:
                self._running = threading.Event()
                threading.Thread(target=self._run, args=(self._running,), name="count", daemon=True).start()
            running, seen = self._running, self._seen
        if running is not None:
            running.wait(FIRST_SECONDS if seen is None else PATIENCE_SECONDS)
        with self._lock:
            if self._failed is not None:
                raise self._failed
            return self._seen

    def _run(self, done: threading.Event) -> None:
        started = time.monotonic()
        found, failed = None, None
        try:
            found = self._count()
        except Exception as error:
            failed = error
        took = time.monotonic() - started
        with self._lock:
            self._seen, self._failed = found if failed is None else self._seen, failed
            self._running, self._due = None, time.monotonic() + (max(1.0, _SHARE * took) if failed is None else 0.0)
        done.set()
