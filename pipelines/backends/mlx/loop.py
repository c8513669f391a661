"""The optimizer steps of a run: gradients in, weights, history, progress and checkpoints out.

mlx_lm's own loop is not used: it takes up weights alone after a kill, drops the last partial batch, and reads its batches
from a generator that cannot be set back (docs/decisions/mlx-backend.md).
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten

from pipelines.backends.mlx.adapters import draws_of
from pipelines.backends.mlx.checkpoint import Stateful, restore_checkpoint, save_checkpoint
from pipelines.backends.mlx.loss import Gradients
from pipelines.backends.mlx.schedule import learning_rate
from pipelines.errors import TrainingError
from pipelines.progress import report_progress
from pipelines.recipe import Train


@dataclass
class Tally:
    """What a run counts, kept in every checkpoint."""

    step: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    seconds_before: float = 0.0
    bf16: bool | None = None
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    resumed_at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Training time, earlier runs of the same attempt included."""
        return self.seconds_before + time.monotonic() - self.resumed_at

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        names = ("step", "tokens", "trained_tokens", "bf16", "stopped", "history")
        return {**{name: getattr(self, name) for name in names}, "seconds_before": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class StepResult:
    """One step's loss and gradients, what it read, and further figures for its line of the history."""

    loss: float
    gradients: Gradients
    tokens: int
    trained_tokens: int
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found: its line of the history, the figure for the progress, whether the run ends."""

    figures: Mapping[str, Any]
    progress: Mapping[str, float]
    stop: bool


class Loop:
    """A run of optimizer steps; `parts` are kept in its checkpoints beside weights and optimizer."""

    def __init__(
        self, model: nn.Module, train: Train, out: Path, tally: Tally, parts: Mapping[str, Stateful], *, stage: str
    ) -> None:
        self._model, self._train, self._out, self._tally, self._stage = model, train, out, tally, stage
        self._parts = {"tally": tally, **parts}
        self._key = "train" if stage == "train" else "preference"
        self._reported = 0.0
        self.optimizer = make_optimizer(train)
        self.optimizer.init(model.trainable_parameters())

    def restore(self, checkpoint: Path) -> None:
        """Take up weights and optimizer; the parts have theirs by then (checkpoint.restore_parts)."""
        restore_checkpoint(checkpoint, self._model, self.optimizer)

    def run(
        self,
        steps: int,
        per_epoch: int,
        gradients: Callable[[int], StepResult],
        look: Callable[[int], Evaluation] | None,
    ) -> None:
        """Take the steps that are left.

        Raises:
            TrainingError: a loss or gradient that is no number.
        """
        tally = self._tally
        tally.resumed_at = time.monotonic()
        report_progress(self._out, self._stage, tally.step, steps)
        while tally.step < steps and not tally.stopped:
            self.step(steps, per_epoch, gradients)
            last = tally.step == steps
            if look is not None and (last or tally.step % self._train.evaluate_every == 0):
                self._look(look, steps, per_epoch)
            if last or tally.stopped or tally.step % self._train.save_every == 0:
                save_checkpoint(self._out / "checkpoints", tally.step, self._model, self.optimizer, self._parts)

    def step(self, steps: int, per_epoch: int, gradients: Callable[[int], StepResult]) -> None:
        """Take the next of `steps` steps. Raises TrainingError for a loss or gradient that is no number."""
        tally = self._tally
        self._model.train()
        draws_of(self._model).begin(self._train.seed, tally.step + 1)
        result = gradients(tally.step)
        if not math.isfinite(result.loss):
            self._refuse(f"the loss became {result.loss} at step {tally.step + 1}")
        clipped, norm = optim.clip_grad_norm(result.gradients, self._train.max_grad_norm)
        rate = learning_rate(self._train, tally.step, steps)
        self.optimizer.learning_rate = rate
        self.optimizer.update(self._model, clipped)
        mx.eval(self._model.trainable_parameters(), self.optimizer.state, norm)
        tally.step += 1
        if not math.isfinite(norm.item()):
            self._refuse(f"the gradient's norm became {norm.item()} at step {tally.step}")
        tally.tokens += result.tokens
        tally.trained_tokens += result.trained_tokens
        line = {"loss": result.loss, "grad_norm": norm.item(), "learning_rate": rate, **result.figures}
        tally.history.append({"step": tally.step, "epoch": tally.step / per_epoch, **line})
        if time.monotonic() - self._reported >= 1 or tally.step == steps:
            self._report(steps, {"loss": round(result.loss, 5)})

    def refuse_broken_weights(self) -> None:
        """Raise TrainingError if a trained weight is infinite or no number."""
        for name, weight in tree_flatten(self._model.trainable_parameters()):
            if not mx.isfinite(weight).all().item():
                self._refuse(f"the weight {name} is no longer finite at step {self._tally.step}")

    def _look(self, look: Callable[[int], Evaluation], steps: int, per_epoch: int) -> None:
        tally = self._tally
        seen = look(tally.step)
        tally.history.append({"step": tally.step, "epoch": tally.step / per_epoch, **seen.figures})
        tally.stopped = seen.stop
        if seen.progress:
            self._report(steps, seen.progress)

    def _report(self, steps: int, figures: Mapping[str, float]) -> None:
        self._reported = time.monotonic()
        speed = self._tally.tokens / max(self._tally.seconds, 1e-6)
        report_progress(self._out, self._stage, self._tally.step, steps, **figures, tokens_per_second=round(speed, 1))

    def _refuse(self, what: str) -> NoReturn:
        raise TrainingError(
            f"{what}; lower {self._key}.learning_rate (now {self._train.learning_rate:g}) or train.max_grad_norm"
        )


def make_optimizer(train: Train) -> optim.Optimizer:
    """AdamW as torch's: bias correction on, and no decay of biases and norms."""
    plain = optim.AdamW(learning_rate=0.0, weight_decay=0.0, bias_correction=True)
    if not train.weight_decay:
        return plain
    decayed = optim.AdamW(learning_rate=0.0, weight_decay=train.weight_decay, bias_correction=True)
    return optim.MultiOptimizer([decayed, plain], [lambda _, weight: weight.ndim >= 2])
