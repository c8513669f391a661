"""The thread that delivers what was handed over, in order, for as long as it takes.

One thread a process, also under asyncio: delivery goes on while an event loop is busy, ends, or is another one. It starts
with the first item, and again in a child process after a fork.
"""

import atexit
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Sequence
from itertools import groupby

from perennial.client.backlog import Backlog, Window
from perennial.client.records import Item, Status, Waiting
from perennial.client.rejects import Rejects
from perennial.client.wire import Outcome, Wire

MOST_ITEMS, MOST_BYTES = 100, 4 << 20  # of one request
MOST_LANES = 8
LINGER_SECONDS = 0.05  # for what comes right behind the first item
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS, MOST_RETRY_AFTER_SECONDS = 0.5, 60.0, 600.0
MOST_FAILURES = 10  # of one item at a service that answers: about three minutes, then it stands in nobody's way
LOOK_SECONDS = 30.0
_JOIN_SECONDS = 1.0
_log = logging.getLogger("perennial.client")


class Outbox:
    """Takes lines from any thread; one of its own delivers them."""

    def __init__(self, wire: Wire, backlog: Backlog, rejects: Rejects, exit_seconds: float) -> None:
        self._wire, self._backlog, self._rejects, self._exit_seconds = wire, backlog, rejects, exit_seconds
        self._changed = threading.Condition()
        self._handed = self._settled = self._delivered = self._rejected = self._dropped = 0
        self._state: Waiting = "idle"
        self._thread: threading.Thread | None = None
        self._is_urgent = self._is_closed = False
        self._looked = time.monotonic()
        _living.add(self)
        if backlog.waiting:
            with self._changed:
                self._start()

    def append(self, item: Item) -> bool:
        """Takes an item and returns; false where the outbox is full or closed."""
        line = item.to_line()
        with self._changed:
            if self._is_closed or not self._backlog.append(line):
                self._drop(item)
                return False
            self._handed += 1
            self._start()
            self._changed.notify_all()
            return True

    def reject(self, item: Item, detail: str) -> None:
        """Notes an item that could not even be written."""
        with self._changed:
            self._rejected += 1
        self._rejects.add(item, None, detail)

    def flush(self, seconds: float | None) -> bool:
        """Waits until everything that was handed over before is stored or rejected; false if time ran out first."""
        with self._changed:
            goal = self._handed
            if self._settled >= goal:
                return True
            self._is_urgent = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._settled >= goal, seconds)
            self._is_urgent = False
            return done

    def close(self, seconds: float) -> bool:
        """Flushes, and ends the thread; whether nothing is left. What is left stays in the spool, if there is one."""
        done = self.flush(seconds)
        with self._changed:
            if self._is_closed:
                return done
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)
        with self._changed:
            self._tell_left()
            if thread is None or not thread.is_alive():  # else it is in a request; the files close with the process
                self._backlog.close()
                self._wire.close()
        _living.discard(self)
        return done

    def status(self) -> Status:
        """Counts, and how delivery stands."""
        with self._changed:
            waiting = self._backlog.waiting
            state = self._state if waiting else "idle"
            return Status(state, waiting, self._delivered, self._rejected, self._dropped)

    def close_at_exit(self) -> None:
        """Flushes for a bounded time, because the interpreter ends."""
        self.close(self._exit_seconds)

    def after_fork(self) -> None:
        """A child process starts with nothing: thread, locks and connections are the parent's."""
        self._changed = threading.Condition()
        self._handed = self._settled = self._delivered = self._rejected = self._dropped = 0
        self._thread, self._state, self._is_urgent = None, "idle", False
        self._backlog.forget()
        self._wire.after_fork()

    def _start(self) -> None:
        """The thread runs; the lock is held. Where none can be started, the next item tries again."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, name="perennial-client", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            _log.error("nothing is delivered now: %s", error)

    def _run(self) -> None:
        attempt = 0
        while not self._is_closed:
            try:
                self._turn()
                attempt = 0
            except Exception as error:  # a file that cannot be read, say: what waits is tried again
                attempt += 1
                _log.error("delivery stumbled (%s), what waits is tried again", type(error).__name__)
                self._pause(attempt, None)

    def _turn(self) -> None:
        """Delivers what comes next, and looks from time to time what other processes left."""
        window = self._next_window()
        if window.lines and self._deliver(window):
            with self._changed:
                self._backlog.settle(window)
                self._settled += window.own
                self._changed.notify_all()
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._look_around()

    def _next_window(self) -> Window:
        """What to deliver next; empty if nothing came for a while, or the outbox was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._backlog.waiting or self._is_closed, LOOK_SECONDS)
            if 0 < self._backlog.waiting < MOST_ITEMS and not self._is_urgent and not self._is_closed:
                self._changed.wait_for(
                    lambda: self._backlog.waiting >= MOST_ITEMS or self._is_urgent or self._is_closed, LINGER_SECONDS
                )
            return Window((), 0) if self._is_closed else self._backlog.window(MOST_ITEMS, MOST_BYTES)

    def _deliver(self, window: Window) -> bool:
        """Sends until every item is stored or rejected; false if the outbox was closed before."""
        items = [item for line in window.lines if (item := Item.from_line(line)) is not None]
        if len(items) < len(window.lines):
            _log.warning("%d damaged lines of the spool were skipped", len(window.lines) - len(items))
        return all(self._deliver_lanes(_lanes(run)) for run in _runs(items))

    def _deliver_lanes(self, lanes: Sequence[Sequence[Sequence[Item]]]) -> bool:
        """Delivers several lanes at a time: the service commits what comes together at once."""
        if len(lanes) == 1:
            return all([self._deliver_run(run) for run in lanes[0]])
        done: list[bool] = []
        threads = [
            threading.Thread(target=lambda lane=lane: done.append(self._deliver_lanes([lane])), daemon=True)
            for lane in lanes[1:]
        ]
        own = [lanes[0]]
        for thread, lane in zip(threads, lanes[1:], strict=True):
            try:
                thread.start()
            except RuntimeError:  # at the end of the interpreter there are no new threads
                own.append(lane)
        done += [self._deliver_lanes([lane]) for lane in own]
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        return len(done) == len(lanes) and all(done)

    def _deliver_run(self, items: Sequence[Item]) -> bool:
        attempt = failures = 0
        while items:
            outcomes = self._send(items)
            items, last = self._count(items, outcomes)
            if last is None:
                continue
            attempt += 1
            failures += last.fate == "failed"
            if failures >= MOST_FAILURES and last.fate == "failed":
                return self._give_up(items, last)
            self._say("server refuses" if last.fate == "refused" else "server away", last)
            if not self._pause(attempt, last.after_seconds):
                return False
        self._say("delivering", None)
        return True

    def _give_up(self, items: Sequence[Item], last: Outcome) -> bool:
        """Rejects an item over which the service stumbles again and again; of several each gets its own chance first."""
        if len(items) > 1:
            return all(self._deliver_run([item]) for item in items)
        self._count(items, [Outcome("rejected", last.detail, last.status)])
        return True

    def _send(self, items: Sequence[Item]) -> list[Outcome]:
        if items[0].kind == "conversation":
            return self._wire.send_conversations(items)
        return [self._wire.send(items[0])]

    def _count(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> tuple[list[Item], Outcome | None]:
        """The items that must be sent again, and the last outcome among theirs."""
        again: list[Item] = []
        last = None
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.fate == "stored":
                with self._changed:
                    self._delivered += 1
            elif outcome.fate == "rejected":
                with self._changed:
                    self._rejected += 1
                self._rejects.add(item, outcome.status, outcome.detail)
            else:
                again.append(item)
                last = outcome
        return again, last

    def _pause(self, attempt: int, after_seconds: float | None) -> bool:
        """Waits before the next attempt, less where a flush asks for one now; false once the outbox is closed."""
        pause = min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempt - 1, 10)) * random.uniform(0.5, 1.0)
        if after_seconds is not None:
            pause = max(pause, min(after_seconds, MOST_RETRY_AFTER_SECONDS))
        with self._changed:
            may_hurry = after_seconds is None
            if may_hurry and self._is_urgent:
                pause, may_hurry = min(pause, FIRST_PAUSE_SECONDS), False
            self._changed.wait_for(lambda: self._is_closed or (may_hurry and self._is_urgent), pause)
            return not self._is_closed

    def _say(self, state: Waiting, why: Outcome | None) -> None:
        """Logs a change of the state once; the service's sentence about a key or an address quotes no user."""
        with self._changed:
            before, self._state = self._state, state
            waiting = self._backlog.waiting
        if state == before or {state, before} == {"idle", "delivering"}:
            return
        if state == "delivering":
            _log.info("the server takes what waits")
        elif state == "server refuses" and why is not None:
            _log.error(
                "the server refuses: status %s; %d wait. Is the key right, and the address?", why.status, waiting
            )
        else:
            _log.warning("the server is away: %d wait", waiting)

    def _drop(self, item: Item) -> None:
        """Counts an item for which there is no room; logged at the first, the tenth, the hundredth, ..."""
        self._dropped += 1
        if str(self._dropped).strip("0") == "1":
            why = "the client is closed" if self._is_closed else "as much waits already as may wait"
            _log.error("%s: a %s was dropped, %d so far", why, item.kind, self._dropped)

    def _look_around(self) -> None:
        with self._changed:
            try:
                self._backlog.look_around()
            except OSError as error:
                _log.warning("the spool folder cannot be read: %s", error.strerror or error)

    def _tell_left(self) -> None:
        if (left := self._backlog.waiting) and self._backlog.keeps:
            _log.warning("%d stay in the spool for the next process", left)
        elif left:
            _log.error("%d were not delivered and are lost: there is no spool", left)


def _runs(items: Sequence[Item]) -> list[list[Item]]:
    """Items as they are sent, conversations and feedback in turn, in order.

    Conversations go before the feedback between them, so that they travel together, up to the first that brings feedback
    of its own: that must not overtake what was said before it.
    """
    first = next((at for at, item in enumerate(items) if item.brings_feedback), len(items))
    head = [item for item in items[:first] if item.kind == "conversation"]
    ordered = [*head, *(item for item in items[:first] if item.kind != "conversation"), *items[first:]]
    return [list(run) for _, run in groupby(ordered, lambda item: item.kind == "conversation")]


def _lanes(run: Sequence[Item]) -> list[list[list[Item]]]:
    """Conversations as one request; feedback one by one, in lanes that may go side by side: what is said of one message
    stays in order."""
    if run[0].kind == "conversation":
        return [[list(run)]]
    by_message: dict[str | None, list[list[Item]]] = {}
    for item in run:
        by_message.setdefault(item.message, []).append([item])
    lanes: list[list[list[Item]]] = [[] for _ in range(min(MOST_LANES, len(by_message)))]
    for at, said in enumerate(by_message.values()):
        lanes[at % len(lanes)] += said
    return lanes


_living: "weakref.WeakSet[Outbox]" = weakref.WeakSet()


def _close_all() -> None:
    for outbox in list(_living):
        outbox.close_at_exit()


def _fork_all() -> None:
    for outbox in list(_living):
        outbox.after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
