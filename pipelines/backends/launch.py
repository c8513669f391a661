"""A training job in a child process: this one watches it, and kills it when the claim on the round is lost.

parent (still_ours once a second) ── stdin pipe, closed by death ──> python -m pipelines.backends.child request.json
out/progress.jsonl, out/<kind>.log <── written by the child ── out/result.json or out/error.json
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from pipelines import errors
from pipelines.artifacts import write_atomic
from pipelines.backends.base import Job, PreferJob, PreferOutput, PreferRequest, TrainJob, TrainOutput, TrainRequest
from pipelines.backends.open import check_backend
from pipelines.errors import PerennialError, TrainingError

Result = TypeVar("Result", bound=BaseModel)
_PROJECT = Path(__file__).resolve().parents[2]
_WATCH_SECONDS = 0.5
_STOP_SECONDS = 10.0


def train(request: TrainRequest, out: Path, still_ours: Callable[[], None] = lambda: None) -> TrainOutput:
    """Train in a child process; the adapter, loss_history.csv and training_metrics.json end up in `out`.

    A call on a folder that an earlier, killed run left goes on from its newest whole checkpoint. Raises what run_job does.
    """
    return run_job(TrainJob(request=request), TrainOutput, out, still_ours)


def prefer(request: PreferRequest, out: Path, still_ours: Callable[[], None] = lambda: None) -> PreferOutput:
    """Train in a child process; the adapter, preference_history.csv and preference_metrics.json end up in `out`.

    A call on a folder that an earlier, killed run left goes on from its newest whole checkpoint. Raises what run_job does.
    """
    return run_job(PreferJob(request=request), PreferOutput, out, still_ours)


def run_job(job: Job, result: type[Result], out: Path, still_ours: Callable[[], None]) -> Result:
    """What the child gave back; its files are in `out`, where a killed run's are taken up again.

    Raises:
        Cancelled: `still_ours` raised it; the child is gone by then.
        TrainingError: the child failed or was killed; its log is `out`/<kind>.log.
        RecipeError, ModelError, DataError, MissingDependency: what the child could not act on.
    """
    check_backend(job.request.train.backend)
    for name in ("result.json", "error.json"):
        (out / name).unlink(missing_ok=True)
    job = job.model_copy(update={"request": _with_whole_paths(job.request)})
    write_atomic(out / "request.json", job.model_dump_json(indent=1))
    log = f"{job.kind}.log"
    status = _run(out.resolve(), log, still_ours)
    given = out / "result.json"
    if status != 0 or not given.is_file():
        raise _failure(out, log, status)
    output = result.model_validate(json.loads(given.read_text(encoding="utf-8")))
    for name in ("request.json", "result.json"):  # they hold paths of this machine, or are in the manifest
        (out / name).unlink()
    return output


def _with_whole_paths(request: TrainRequest | PreferRequest) -> TrainRequest | PreferRequest:
    """The child starts in the project's folder, so relative paths must not depend on ours."""
    values = {name: getattr(request, name) for name in type(request).model_fields}
    return request.model_copy(
        update={name: value.resolve() for name, value in values.items() if isinstance(value, Path)}
    )


def _run(out: Path, log: str, still_ours: Callable[[], None]) -> int:
    """The child's exit status. Its working folder comes first on its import path, so no other `pipelines` is found."""
    command = [sys.executable, "-m", "pipelines.backends.child", str(out / "request.json")]
    with (out / log).open("ab") as output:
        child = subprocess.Popen(command, cwd=_PROJECT, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
        try:
            while True:
                still_ours()
                try:
                    return child.wait(_WATCH_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Kill the child if it still runs, and wait until it is gone: its files are free then."""
    if child.stdin is not None:
        child.stdin.close()
    if child.poll() is None:
        child.kill()
        child.wait(_STOP_SECONDS)


def _failure(out: Path, log: str, status: int) -> PerennialError:
    report = out / "error.json"
    if not report.is_file():
        cause = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return TrainingError(f"the training process {cause} without a word; the end of {log}: {_last_line(out / log)}")
    said = json.loads(report.read_text(encoding="utf-8"))
    kind = getattr(errors, said["kind"], TrainingError)
    is_ours = isinstance(kind, type) and issubclass(kind, PerennialError)
    return kind(said["message"]) if is_ours else TrainingError(said["message"])


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "(empty)")
