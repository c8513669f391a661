"""The torch backend as pipelines.backends.base.Backend has it.

What trains is imported when it trains (ten seconds); asking for the machine takes torch alone.
"""

from pathlib import Path

from pipelines.backends.base import CalibrateRequest, Pace, PreferOutput, PreferRequest, TrainOutput, TrainRequest
from pipelines.backends.torch.device import machine

__all__ = ["calibrate", "machine", "prefer", "train"]


def calibrate(request: CalibrateRequest) -> Pace:
    """See Backend."""
    from pipelines.backends.torch import calibrate as timing

    return timing.calibrate(request)


def train(request: TrainRequest, out: Path) -> TrainOutput:
    """See Backend."""
    from pipelines.backends.torch import train as sft

    return sft.train(request, out)


def prefer(request: PreferRequest, out: Path) -> PreferOutput:
    """See Backend."""
    from pipelines.backends.torch import prefer as preference

    return preference.prefer(request, out)
