"""The preference stage: what thumbs, corrections and comparisons teach, in a child process, on top of the SFT adapter."""

from collections.abc import Callable
from pathlib import Path

from pipelines.backends.base import PreferJob, PreferOutput, PreferRequest
from pipelines.stages.job import run_job


def prefer(request: PreferRequest, out: Path, still_ours: Callable[[], None] = lambda: None) -> PreferOutput:
    """Train in a child process; the adapter, preference_history.csv and preference_metrics.json end up in `out`.

    A call on a folder that an earlier, killed run left goes on from its newest whole checkpoint. Raises what run_job does.
    """
    return run_job(PreferJob(request=request), PreferOutput, out, still_ours)
