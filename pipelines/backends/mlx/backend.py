"""The MLX backend as pipelines.backends.base.Backend has it.

Importing this module asks for mlx; what trains is imported when it trains.
"""

from pathlib import Path

from pipelines.backends.base import (
    BackendName,
    CalibrateRequest,
    Machine,
    Pace,
    PreferOutput,
    PreferRequest,
    TrainOutput,
    TrainRequest,
)
from pipelines.backends.mlx.library import require_mlx

require_mlx()


def machine(device: BackendName) -> Machine:
    """See Backend."""
    from pipelines.backends.mlx.machine import machine as look

    return look(device)


def calibrate(request: CalibrateRequest) -> Pace:
    """See Backend."""
    from pipelines.backends.mlx.calibrate import calibrate as time_rows

    return time_rows(request)


def train(request: TrainRequest, out: Path) -> TrainOutput:
    """See Backend."""
    from pipelines.backends.mlx.train import train as train_examples

    return train_examples(request, out)


def prefer(request: PreferRequest, out: Path) -> PreferOutput:
    """See Backend."""
    from pipelines.backends.mlx.prefer import prefer as train_preferences

    return train_preferences(request, out)
