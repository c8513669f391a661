"""What happens beside the training loop: progress lines, counts that survive a kill, the best adapter on dev."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from pipelines.backends import kept
from pipelines.backends.watch import as_progress
from pipelines.progress import report_progress


class Tally(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers has no types
    """Tokens and seconds so far, kept in every checkpoint, and one progress line per second at most."""

    def __init__(self, out: Path | None = None, stage: str = "train") -> None:
        self._stage = stage
        self._out, self._reported, self._resumed_at = out, 0.0, time.monotonic()
        self.tokens = self.trained_tokens = 0
        self.seconds_before = 0.0
        self.threads: int | None = None
        self.bf16: bool | None = None
        self.row_tokens: int | None = None
        self.activation_checkpointing: bool | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the count."""
        attributes = {
            "tokens": self.tokens,
            "trained_tokens": self.trained_tokens,
            "seconds_before": self.seconds,
            "threads": self.threads,
            "bf16": self.bf16,
            "row_tokens": self.row_tokens,
            "activation_checkpointing": self.activation_checkpointing,
        }
        return {"args": {}, "attributes": attributes}

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.tokens, self.trained_tokens = attributes["tokens"], attributes["trained_tokens"]
        self.seconds_before, self.threads = attributes["seconds_before"], attributes["threads"]
        self.bf16 = attributes["bf16"]
        self.row_tokens = attributes.get("row_tokens")
        self.activation_checkpointing = attributes.get("activation_checkpointing")

    @property
    def seconds(self) -> float:
        """Training time, earlier runs of the same attempt included."""
        return self.seconds_before + time.monotonic() - self._resumed_at

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Starts the clock, and the progress at the step that a checkpoint left."""
        self._resumed_at = time.monotonic()
        if self._out is not None:
            report_progress(self._out, self._stage, state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Writes a loss to the progress, the one on dev items under its own name, and what the stop rules looked at."""
        logs = rest.get("logs") or {}
        figures = as_progress(logs)
        is_look = bool(figures) or "eval_loss" in logs
        if (value := logs.get("eval_loss", logs.get("loss"))) is not None:
            figures["dev_loss" if "eval_loss" in logs else "loss"] = round(value, 5)
        last = state.global_step == state.max_steps
        if not figures or self._out is None or (time.monotonic() - self._reported < 1 and not last and not is_look):
            return
        self._reported = time.monotonic()
        speed = self.tokens / max(self.seconds, 1e-6)
        report_progress(
            self._out, self._stage, state.global_step, state.max_steps, **figures, tokens_per_second=round(speed, 1)
        )


class BestOnDev(kept.BestOnDev, TrainerCallback, ExportableState):  # type: ignore[misc]
    """`kept.BestOnDev` at the Trainer's events."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as the Trainer wants it; asked for just before on_save."""
        return {"args": {}, "attributes": super().state()}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Asks for a look after the last step."""
        if state.global_step == state.max_steps:  # the last weights must compete too
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Keeps the weights if they are the best, and stops where patience ends."""
        write = partial(save_weights, rest["model"])
        loss, last = rest["metrics"]["eval_loss"], state.global_step >= state.max_steps
        if self.judge(loss, state.global_step, write, last=last):
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Drops the weights that nothing points to any more."""
        self.saved()


def save_weights(model: Any, folder: Path) -> None:
    """The adapter in PEFT format, or the whole model if there is no adapter."""
    if hasattr(model, "peft_config"):
        # "auto" would ask the hub whether the base's vocabulary has grown
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
