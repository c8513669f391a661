"""Begins jobs, one at a time, each in a process of its own that ends with this one, and notes how they end.

A job outlives the request that asked for it and is seen after a reload. Where the web process ends, its job does too; it
stands there as interrupted, and asked for again it goes on where it was, as its command in the terminal does.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import structlog

from pipelines.errors import Busy, Cancelled, NotFound, PerennialError
from pipelines.isolated import Child
from service.jobs.records import Job, Kind, Progress, State, jobs_folder, read_jobs, read_progress, write_job
from service.liveness import another_lives
from service.rounds.child import settings_record
from service.settings import Settings
from service.store import audit
from service.store.session import Store
from service.store.tables import now

_WORK = "service.jobs.work:work"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class JobView:
    """A job as people see it."""

    job: Job
    progress: Progress | None


class JobDesk:
    """The jobs of one web process."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.Lock()
        self._children: dict[str, Child] = {}
        self._stopped: set[str] = set()

    def begin(self, kind: Kind, what: str, arguments: Mapping[str, Any], by: str) -> str:
        """Begin a job and give its id. Raises Busy while another one runs."""
        with self._lock:
            if any(view.job.state == "running" for view in self.look()):
                raise Busy("something else is being made already; wait for its end, or stop it")
            job = Job(
                id=f"{now():%Y%m%d-%H%M%S}-{token_hex(2)}",
                kind=kind,
                what=what,
                arguments=arguments,
                by=by,
                pid=os.getpid(),
                begun_at=now(),
            )
            write_job(self._settings, job)
            folder = jobs_folder(self._settings) / job.id
            asked = {"kind": kind, "what": what, "arguments": dict(arguments), "folder": str(folder)}
            request = asked | {"settings": settings_record(self._settings)}
            self._children[job.id] = Child(_WORK, request, log=folder / "job.log", own_group=True)
        with self._store.begin() as session:
            audit.record(session, by, f"job.{kind}", job.id)
        threading.Thread(target=self._wait, args=(job,), name="job", daemon=True).start()
        return job.id

    def stop(self, job_id: str, by: str) -> None:
        """End a job that this process began. Raises NotFound where it runs no more, or elsewhere."""
        if job_id not in self._children:
            raise NotFound("this job does not run here any more")
        with self._store.begin() as session:
            audit.record(session, by, "job.stop", job_id)
        self._stopped.add(job_id)

    def look(self) -> list[JobView]:
        """The newest jobs, newest first; one whose web process is gone is interrupted."""
        return [
            JobView(self._as_it_is(job), read_progress(self._settings, job.id)) for job in read_jobs(self._settings)
        ]

    def _as_it_is(self, job: Job) -> Job:
        ours = job.id in self._children
        if job.state != "running" or ours or another_lives(job.pid):
            return job
        return job.model_copy(update={"state": "interrupted"})

    def _wait(self, job: Job) -> None:
        state: State = "done"
        try:
            with self._children[job.id] as child:
                sentence = str(child.answer(still_ours=lambda: self._check(job.id))["sentence"])
        except PerennialError as error:
            state, sentence = "failed", self._settings.without_paths(str(error))
        ended = job.model_copy(update={"state": state, "sentence": sentence, "ended_at": now()})
        write_job(self._settings, ended)
        self._children.pop(job.id, None)
        _log.info("job_ended", job=job.id, kind=job.kind, state=state)

    def _check(self, job_id: str) -> None:
        if job_id in self._stopped:
            raise Cancelled("it was stopped; asked for again it goes on where it was")
