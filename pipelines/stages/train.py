"""The train stage: SFT in a child process."""

from collections.abc import Callable
from pathlib import Path

from pipelines.backends.base import TrainJob, TrainOutput, TrainRequest
from pipelines.stages.job import run_job


def train(request: TrainRequest, out: Path, still_ours: Callable[[], None] = lambda: None) -> TrainOutput:
    """Train in a child process; the adapter, loss_history.csv and training_metrics.json end up in `out`.

    A call on a folder that an earlier, killed run left goes on from its newest whole checkpoint. Raises what run_job does.
    """
    return run_job(TrainJob(request=request), TrainOutput, out, still_ours)
