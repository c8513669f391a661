"""A training job in a child process: this one watches it, and kills it when the claim on the round is lost.

out/progress.jsonl, out/<kind>.log <── written by pipelines.backends.child; request and result go through pipes
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from pipelines.backends.base import (
    CalibrateRequest,
    Job,
    Machine,
    Pace,
    PreferJob,
    PreferOutput,
    PreferRequest,
    TrainJob,
    TrainOutput,
    TrainRequest,
)
from pipelines.backends.blas import blas_environment
from pipelines.isolated import run_in_child
from pipelines.recipe import Train

Result = TypeVar("Result", bound=BaseModel)
_LOOK_SECONDS = 120.0
_CALIBRATE_SECONDS = 900.0


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
        ChildCrashed: the child was killed; its log is `out`/<kind>.log.
        TrainingError: training cannot start here, or went wrong.
        RecipeError, ModelError, DataError, MissingDependency: what the child could not act on.
    """
    arguments = {"job": job.model_dump(mode="json"), "out": str(out)}
    log = out / f"{job.kind}.log"
    environment = blas_environment(job.request.train.backend, job.request.threads)
    return result.model_validate(
        run_in_child(
            "pipelines.backends.child:run_here", arguments, still_ours=still_ours, log=log, environment=environment
        )
    )


def check_machine(train: Train) -> None:
    """Refuse settings that cannot train here. Only where that may be is the machine asked, which takes some seconds.

    Raises:
        TrainingError: the device is not here, or the method cannot train on it. MissingDependency: the backend is not.
    """
    if train.method == "qlora" or train.backend not in ("auto", "cpu"):
        look_at_machine(train).require(train)


def look_at_machine(train: Train) -> Machine:
    """What would train with these settings here, asked in a child process: this one may do without torch.

    Raises:
        TrainingError: the device is not here. MissingDependency: the backend is not.
    """
    arguments = {"device": train.backend}
    return Machine.model_validate(
        run_in_child("pipelines.backends.child:machine_here", arguments, timeout_seconds=_LOOK_SECONDS)
    )


def calibrate(base: Path, train: Train, *, processor: bool = False, threads: int | None = None) -> Pace:
    """What training with these settings costs here, timed in a child process; takes seconds, on a large base minutes.

    Args:
        processor: count the processor's seconds instead of the clock's.

    Raises:
        ChildCrashed: it did not fit into memory, or (ChildTimedOut) took a quarter of an hour.
        TrainingError, RecipeError, ModelError, MissingDependency: what training would raise.
    """
    request = CalibrateRequest(base=base, train=train, asked_at=time.time(), processor=processor, threads=threads)
    arguments, function = request.model_dump(mode="json"), "pipelines.backends.child:calibrate_here"
    environment = blas_environment(train.backend, threads)
    return Pace.model_validate(
        run_in_child(function, arguments, timeout_seconds=_CALIBRATE_SECONDS, environment=environment)
    )
