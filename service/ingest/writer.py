"""Group commit: one thread drains a bounded queue, commits once for everybody in it, then answers everybody.

Nothing is acknowledged before COMMIT returned. While one group commits the next one gathers, so a commit costs about
the same however many requests wait for it (FACTS section 5: four times the throughput of one commit per request).
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session

from pipelines.errors import Busy, PerennialError
from service.ingest.conversations import apply_conversations
from service.ingest.feedback import apply_comparisons, apply_corrections
from service.ingest.prepare import Incoming, NewComparison, NewCorrection, NewVote, Outcome, Result
from service.ingest.votes import apply_votes
from service.store import health
from service.store.bulk import sent_together
from service.store.clock import database_time
from service.store.session import Store, is_unavailable
from service.vault import Vault

MAX_GROUP_ROWS = 5_000
MAX_WAITING_CHARACTERS = 256 << 20
MAX_PATIENCE_SECONDS = 0.005
_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    conversations: Sequence[Incoming] = ()
    votes: Sequence[NewVote] = ()
    corrections: Sequence[NewCorrection] = ()
    comparisons: Sequence[NewComparison] = ()
    probe: bool = False
    done: "Future[list[Outcome]]" = field(default_factory=Future)

    @property
    def size(self) -> int:
        return len(self.conversations) + len(self.votes) + len(self.corrections) + len(self.comparisons)

    @property
    def rows(self) -> int:
        return self.size + sum(len(c.messages) + len(c.corrections) for c in self.conversations)

    @property
    def characters(self) -> int:
        corrections = [*self.corrections, *(one for c in self.conversations for one in c.corrections)]
        texts = sum(len(c.meta) + sum(m.size for m in c.messages) for c in self.conversations)
        return texts + sum(len(one.content or "") for one in corrections)

    def parts(self) -> "list[_Job]":
        each = [_Job(conversations=(c,)) for c in self.conversations]
        each += [_Job(votes=(v,)) for v in self.votes]
        each += [_Job(corrections=(c,)) for c in self.corrections]
        return each + [_Job(comparisons=(c,)) for c in self.comparisons]


class Writer:
    """Accepts conversations and feedback from any thread. Start it before the first submit; close it to drain."""

    def __init__(self, store: Store, vault: Vault, max_waiting: int = 20_000) -> None:
        self._store, self._vault, self._max_waiting = store, vault, max_waiting
        self._jobs: deque[_Job] = deque()
        self._waiting = self._characters = 0
        self._wanted = 1  # jobs for which the thread is woken
        self._expected, self._patience_seconds = 1, 0.0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="ingest-writer", daemon=True)

    def start(self) -> Self:
        """Itself, with its thread running."""
        self._thread.start()
        return self

    def close(self, timeout_seconds: float = 30.0) -> None:
        """Accepts nothing more, commits what waits, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Whether the thread that commits still runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Conversations and pieces of feedback that are not committed yet."""
        return self._waiting

    def submit(self, conversations: Sequence[Incoming]) -> "Future[list[Outcome]]":
        """Resolves to one outcome per conversation once they are committed, or to Busy if they could not be.

        Raises:
            Busy: the queue is full, or the writer closed; nothing was taken.
        """
        return self._put(_Job(conversations=conversations))

    def submit_votes(self, votes: Sequence[NewVote]) -> "Future[list[Outcome]]":
        """Like `submit`, for votes: `created` means that the vote changed."""
        return self._put(_Job(votes=votes))

    def submit_corrections(self, corrections: Sequence[NewCorrection]) -> "Future[list[Outcome]]":
        """Like `submit`, for corrections; the outcome of one that is stored has the correction's id."""
        return self._put(_Job(corrections=corrections))

    def submit_comparisons(self, comparisons: Sequence[NewComparison]) -> "Future[list[Outcome]]":
        """Like `submit_votes`, for comparisons."""
        return self._put(_Job(comparisons=comparisons))

    def probe(self) -> "Future[list[Outcome]]":
        """Resolves once a row was really changed and committed; how /healthz knows that the database takes writes."""
        return self._put(_Job(probe=True))

    def _put(self, job: _Job) -> "Future[list[Outcome]]":
        size, characters = job.size, job.characters
        with self._changed:
            if self._closing or not self._thread.is_alive():
                raise Busy("the service is shutting down; send this again in a moment")
            full = self._waiting + size > self._max_waiting or self._characters + characters > MAX_WAITING_CHARACTERS
            if full and self._waiting:  # one job larger than the queue is taken when nothing else waits
                raise Busy(f"{self._waiting} conversations wait to be stored already; send this again in a second")
            # From here on nobody can cancel it: what was taken is stored, and a cancelled future would end the thread.
            job.done.set_running_or_notify_cancel()
            # The first callback: whoever was answered finds the place in the queue free.
            job.done.add_done_callback(lambda _: self._release(job))
            self._jobs.append(job)
            self._waiting += size
            self._characters += characters
            if len(self._jobs) >= self._wanted:
                self._changed.notify()
        return job.done

    def _run(self) -> None:
        while group := self._next_group():
            self._commit(group)

    def _release(self, job: _Job) -> None:
        with self._changed:
            self._waiting -= job.size
            self._characters -= job.characters

    def _next_group(self) -> list[_Job]:
        """The jobs of the next transaction; empty when closing and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            self._gather()
            group: list[_Job] = []
            rows = 0
            while self._jobs and (not group or rows + self._jobs[0].rows <= MAX_GROUP_ROWS):
                rows += self._jobs[0].rows
                group.append(self._jobs.popleft())
            return group

    def _gather(self) -> None:
        """Waits for as many as were under way when the last group was done: their next ones are on their way.

        Half as long as that commit took at most, so that nobody waits long for who does not come; alone not at all.
        """
        self._wanted = self._expected
        self._changed.wait_for(lambda: len(self._jobs) >= self._wanted or self._closing, self._patience_seconds)
        self._wanted = 1

    def _commit(self, group: Sequence[_Job]) -> None:
        started = time.monotonic()
        try:
            results = self._try(group)
        except Exception as error:  # whatever it was, each waiting request must hear of it
            self._answer_failure(group, error)
            return
        with self._changed:
            self._expected = len(group) + len(self._jobs)
            self._patience_seconds = min((time.monotonic() - started) / 2, MAX_PATIENCE_SECONDS)
        for job, outcomes in zip(group, results, strict=True):
            job.done.set_result(outcomes)

    def _answer_failure(self, group: Sequence[_Job], error: Exception) -> None:
        _log.warning("group_not_stored", jobs=len(group), error=type(error).__name__)
        if is_unavailable(error):
            for job in group:
                job.done.set_exception(Busy(_UNSURE))
        elif len(group) > 1:
            for job in group:  # one bad row must not fail its group
                self._commit([job])
        elif group[0].size > 1:
            self._commit_apart(group[0])
        elif isinstance(error, _FAULTS_OF_A_ROW):
            group[0].done.set_result([_refused(group[0], "invalid", _UNSTORABLE)])
        else:
            group[0].done.set_exception(error)

    def _commit_apart(self, job: _Job) -> None:
        """Each row by itself: one that fails has that as its outcome, unless the database went away meanwhile."""
        parts = job.parts()
        for part in parts:
            self._commit([part])
        failures = [part.done.exception() for part in parts]
        away = next((failure for failure in failures if isinstance(failure, Busy)), None)
        if away is not None:
            job.done.set_exception(away)
            return
        job.done.set_result(
            [
                _refused(part, "failed", _failure_sentence(failure)) if failure else part.done.result()[0]
                for part, failure in zip(parts, failures, strict=True)
            ]
        )

    def _try(self, group: Sequence[_Job]) -> list[list[Outcome]]:
        with self._store.begin() as session:
            with sent_together(session.connection()):
                self._store.lock(session, "ingest")
                at = database_time(session)
            return apply_jobs(session, self._vault, group, at)


def apply_jobs(session: Session, vault: Vault, group: Sequence[_Job], at: datetime) -> list[list[Outcome]]:
    """The outcomes of each job, in order; conversations go before what is said about them."""
    if any(job.probe for job in group):
        health.probe_write(session)
    stored = iter(apply_conversations(session, vault, [one for job in group for one in job.conversations], at))
    votes = [one for job in group for one in job.votes]
    corrections = [one for job in group for one in job.corrections]
    comparisons = [one for job in group for one in job.comparisons]
    voted = iter(apply_votes(session, vault, votes) if votes else [])
    corrected = iter(apply_corrections(session, vault, corrections, at) if corrections else [])
    compared = iter(apply_comparisons(session, vault, comparisons) if comparisons else [])
    return [
        [
            *(next(stored) for _ in job.conversations),
            *(next(voted) for _ in job.votes),
            *(next(corrected) for _ in job.corrections),
            *(next(compared) for _ in job.comparisons),
        ]
        for job in group
    ]


_FAULTS_OF_A_ROW = (DataError, IntegrityError, UnicodeError, RecursionError, OverflowError)
# the connection may have broken after COMMIT was sent: then it is stored
_UNSURE = "the database did not confirm that it took this; send it again, it is stored once at most"
_UNSTORABLE = "the database refused this; a text or number in it cannot be stored"


def _refused(job: _Job, result: Result, sentence: str) -> Outcome:
    about = [*(c.id for c in job.conversations), *(v.message for v in job.votes), *(c.message for c in job.corrections)]
    return Outcome(about[0] if about else job.comparisons[0].chosen, result, sentence)


def _failure_sentence(failure: BaseException) -> str:
    """Why a row could not be stored that nothing is wrong with; an error of our own tree says it itself."""
    if isinstance(failure, PerennialError):
        return str(failure)
    return f"this could not be stored ({type(failure).__name__}); the log has more, and the other rows are stored"
