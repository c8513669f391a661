"""What happens beside the training loop: progress lines, counts that survive a kill, the best adapter on dev."""

import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from pipelines.backends.watch import as_progress
from pipelines.progress import report_progress
from pipelines.recipe import EarlyStopping


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


class BestOnDev(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Keeps the weights with the lowest dev loss and stops when it has not improved for `patience` evaluations.

    An evaluation counts as an improvement only if it beats the best so far by more than `threshold`.
    """

    def __init__(self, rule: EarlyStopping, folder: Path) -> None:
        self._rule, self._weights = rule, KeptWeights(folder)
        self.best_loss: float | None = None
        self.best_step: int | None = None
        self.without_improvement = 0
        self.stopped_early = False
        self._saved_steps: list[int | None] = []

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the best step so far."""
        attributes = {
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            "stopped_early": self.stopped_early,
            "without_improvement": self.without_improvement,
        }
        return {"args": {}, "attributes": attributes}

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        for name, value in attributes.items():
            setattr(self, name, value)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Asks for a look after the last step."""
        if state.global_step == state.max_steps:  # the last weights must compete too
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Keeps the weights if they are the best, and stops where patience ends."""
        loss = rest["metrics"]["eval_loss"]
        improved = self.best_loss is None or loss < self.best_loss - self._rule.threshold
        self.without_improvement = 0 if improved else self.without_improvement + 1
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step = loss, state.global_step
            self._weights.keep(rest["model"], state.global_step)
        if self.without_improvement >= self._rule.patience and state.global_step < state.max_steps:
            self.stopped_early = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Drop the weights that neither the run nor one of the last two checkpoints points to."""
        self._saved_steps = [*self._saved_steps, self.best_step][-2:]
        self._weights.drop_all_but({*self._saved_steps, self.best_step})

    def weights_of(self, step: int | None) -> Path:
        """Where the weights that were best at a step are kept."""
        return self._weights.at(step)


class KeptWeights:
    """A folder with the weights of some steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def at(self, step: int | None) -> Path:
        """Where the weights of a step are."""
        return self._folder / f"step-{step}"

    def keep(self, model: Any, step: int) -> None:
        """Save the model's weights as those of a step."""
        temporary, target = self._folder / "unfinished", self.at(step)
        shutil.rmtree(temporary, ignore_errors=True)
        save_weights(model, temporary)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)

    def drop_all_but(self, steps: Collection[int | None]) -> None:
        """Remove the weights of every other step."""
        wanted = {self.at(step) for step in steps}
        for path in self._folder.glob("step-*"):
            if path not in wanted:
                shutil.rmtree(path)


def save_weights(model: Any, folder: Path) -> None:
    """The adapter in PEFT format, or the whole model if there is no adapter."""
    if hasattr(model, "peft_config"):
        # "auto" would ask the hub whether the base's vocabulary has grown
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
