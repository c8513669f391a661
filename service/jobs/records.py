"""What is kept of a job: what was asked for, how far it is, and how it ended; one folder a job.

var/jobs/20261127-231502-7f/job.json         {"kind": "base", "what": "models/tiny", "pid": 17, "state": "running", ...}
var/jobs/20261127-231502-7f/progress.json    {"step": "convert", "done": 3, "total": 8, "note": ""}
var/jobs/20261127-231502-7f/job.log          what its process printed
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.artifacts import write_atomic
from pipelines.records import Record
from service.settings import Settings

Kind = Literal["base", "anchors", "suite"]
State = Literal["running", "done", "failed", "interrupted"]
_FILE, _PROGRESS = "job.json", "progress.json"
SHOWN = 8


class Job(Record):
    """A job; `pid` is the web process that it ends with, `sentence` says how it ended."""

    id: str
    kind: Kind
    what: str
    arguments: Mapping[str, Any]
    by: str
    pid: int
    begun_at: datetime
    state: State = "running"
    sentence: str = ""
    ended_at: datetime | None = None


class Progress(Record):
    """How far a job is; `done` and `total` are None where that cannot be told."""

    step: str
    done: float | None = None
    total: float | None = None
    note: str = ""

    @property
    def share(self) -> float | None:
        """From 0 to 1."""
        return self.done / self.total if self.done is not None and self.total else None


def jobs_folder(settings: Settings) -> Path:
    """Where jobs are kept."""
    return settings.home / "jobs"


def write_job(settings: Settings, job: Job) -> None:
    """Keep a job as it stands."""
    folder = jobs_folder(settings) / job.id
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / _FILE, job.model_dump_json(indent=1))


def read_jobs(settings: Settings) -> list[Job]:
    """The newest jobs, newest first; what cannot be read is passed over."""
    found = []
    for path in sorted(jobs_folder(settings).glob(f"*/{_FILE}"), reverse=True)[:SHOWN]:
        try:
            found.append(Job.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return found


def write_progress(folder: Path, progress: Progress) -> None:
    """Say how far a job is."""
    write_atomic(folder / _PROGRESS, progress.model_dump_json())


def read_progress(settings: Settings, job_id: str) -> Progress | None:
    """How far a job is; None before its first word."""
    try:
        return Progress.model_validate_json((jobs_folder(settings) / job_id / _PROGRESS).read_bytes())
    except (OSError, ValidationError):
        return None
