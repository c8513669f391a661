"""The weights of a preference run that broke no stop rule."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from pipelines.backends.torch.callbacks import KeptWeights
from pipelines.backends.watch import Look, faults
from pipelines.recipe import Stops


class LastGood(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers has no types
    """Keeps the weights of the last evaluation that broke no stop rule, and ends the run at the first that breaks one.

    `step` is the step of these weights; 0 means the reference, whose weights are the SFT adapter's. `look` is what was
    seen of them.
    """

    def __init__(self, before: Look, limits: Stops, too_few: Collection[str], folder: Path) -> None:
        self._before, self._limits, self._too_few, self._weights = before, limits, too_few, KeptWeights(folder)
        self.step = 0
        self.look = before
        self.stopped_by: str | None = None
        self._saved_steps: list[int] = []

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the last good look."""
        attributes = {
            "step": self.step,
            "look": self.look.model_dump(mode="json"),
            "stopped_by": self.stopped_by,
            "saved_steps": [*self._saved_steps, self.step][-2:],  # asked for just before on_save
        }
        return {"args": {}, "attributes": attributes}

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.step, self.stopped_by = attributes["step"], attributes["stopped_by"]
        self._saved_steps = attributes["saved_steps"]
        self.look = Look.model_validate(attributes["look"])

    @property
    def weights(self) -> Path | None:
        """Where the weights are; None for the reference's."""
        return self._weights.at(self.step) if self.step else None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Asks for a look after the last step."""
        if state.global_step == state.max_steps:  # the last weights must answer for themselves too
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Keeps the weights of a good look, and stops at the first that breaks a rule."""
        seen: Look = rest["metrics"]["look"]
        broken = faults(seen, self._before, self._limits, self._too_few)
        if broken:
            self.stopped_by = f"step {state.global_step}: " + "; ".join(broken)
            control.should_training_stop = True
            return
        self._weights.keep(rest["model"], state.global_step)
        self.step, self.look = state.global_step, seen

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Drop the weights that neither the run nor one of the last two checkpoints points to."""
        self._saved_steps = [*self._saved_steps, self.step][-2:]
        self._weights.drop_all_but({*self._saved_steps, self.step})
