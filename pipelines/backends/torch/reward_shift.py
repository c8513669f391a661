"""BCO's running shift as a callback, so that transformers keeps it in every checkpoint."""

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from pipelines.backends.objective import RunningShift


class RewardShift(RunningShift, TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers has no types
    """See RunningShift."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the running mean."""
        return {"args": {}, "attributes": {"value": self.value}}

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.value = attributes["value"]
