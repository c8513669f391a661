"""The weights of a preference run that broke no stop rule."""

from functools import partial
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from pipelines.backends import kept
from pipelines.backends.torch.callbacks import save_weights


class LastGood(kept.LastGood, TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers has no types
    """`kept.LastGood` at the Trainer's events."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as the Trainer wants it; asked for just before on_save."""
        return {"args": {}, "attributes": super().state()}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Asks for a look after the last step."""
        if state.global_step == state.max_steps:  # the last weights must answer for themselves too
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Keeps the weights of a good look, and stops at the first that breaks a rule."""
        if self.judge(rest["metrics"]["look"], state.global_step, partial(save_weights, rest["model"])):
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Drops the weights that nothing points to any more."""
        self.saved()
