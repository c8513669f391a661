"""trl's SFTTrainer with exact batches: one optimizer step reads exactly the recipe's number of examples.

The data loader hands over one step's examples at a time, RowCollator packs them into rows, and every row is a forward
and backward of its own. The loss of a step is the sum over its trained tokens divided by their number, however
they were packed. trl's own `packing=True` would pack the data set once into rows of fixed length: a step
would then hold as many examples as happen to fit, long ones with long ones.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformers import TrainerControl
from trl import SFTTrainer

from pipelines.backends.checkpoints import seal_checkpoint
from pipelines.backends.examples import IGNORED
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.head import answer_values, token_log_probs
from pipelines.backends.torch.kl import kl_to_origin
from pipelines.errors import TrainingError

Row = dict[str, Any]


class RowTrainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """Trains and evaluates on packed rows; adds KL to the origin on anchors when `kl_weight` is above 0."""

    control: TrainerControl
    settings_key = "train"

    def __init__(self, *args: Any, collator: Any, tally: Tally, kl_weight: float = 0.0, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.data_collator = collator
        self._tally, self._kl_weight = tally, kl_weight

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of every row of the step; the loss per trained token of the whole step."""
        model.train()
        rows: Sequence[Row] = self._prepare_inputs(inputs)["rows"]
        trained = self._count(rows)
        total = torch.zeros((), device=self.args.device)
        for row, synchronize in with_last(rows):
            with contextlib.nullcontext() if synchronize else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self._row_loss(model, row, trained)
                self.accelerator.backward(loss)
            total += loss.detach()
        self._refuse_nan(total)
        self._tally.tokens += sum(row["input_ids"].numel() for row in rows)
        self._tally.trained_tokens += int(trained)
        return total

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The loss per trained token over the dev set; how it is packed makes no difference."""
        self.model.eval()
        total, trained = torch.zeros((), device=self.args.device), 0
        with torch.no_grad():
            for batch in self.get_eval_dataloader(eval_dataset):
                rows = self._prepare_inputs(batch)["rows"]
                trained += int(self._count(rows))
                for row in rows:
                    with self.compute_loss_context_manager():
                        total += self._row_loss(self.model, row, torch.ones((), device=total.device), kl=False)
        total = self.accelerator.reduce(total, "mean")
        metrics = {f"{metric_key_prefix}_loss": (total / max(trained, 1)).item()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def try_a_row(self) -> None:
        """Forward and backward of the first examples, for timing; leaves no gradient and no random state behind."""
        with torch.random.fork_rng():
            batch = self.data_collator([self.train_dataset[i] for i in range(min(16, len(self.train_dataset)))])
            row = max(batch["rows"], key=lambda row: row["input_ids"].numel())
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.args.bf16):
                loss = self._row_loss(self.model.train(), row, torch.ones(()), kl=False)
            loss.backward()
            self.model.zero_grad()
            self._metrics["train"].clear()
            self._total_train_tokens = 0

    def log(self, logs: dict[str, Any], *args: Any, **settings: Any) -> None:
        """Log a line, unless it says that the step's gradient was no number: the weights have taken it in by then."""
        norm = logs.get("grad_norm")
        if norm is not None and not math.isfinite(norm):
            self._refuse(f"the gradient's norm became {norm} at step {self.state.global_step}")
        super().log(logs, *args, **settings)

    def refuse_broken_weights(self) -> None:
        """Raise TrainingError if a trained weight is infinite or no number."""
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and not torch.isfinite(weight).all():
                self._refuse(f"the weight {name} is no longer finite at step {self.state.global_step}")

    def create_model_card(self, *args: Any, **settings: Any) -> None:
        """No card: a checkpoint is not for publishing."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        seal_checkpoint(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")

    def _row_loss(self, model: Any, row: Row, trained: Tensor, *, kl: bool = True) -> Tensor:
        """The row's share of the step's loss.

        trl's own loss computes the logits of prompts as well where there is no triton, and reads the head past its adapter.
        """
        inputs = {key: value for key, value in row.items() if key not in ("anchor", "labels")}
        if kl and row["anchor"] and self._kl_weight:
            origin = self.accelerator.unwrap_model(model).disable_adapter
            loss_N = answer_values(model, inputs, row["labels"], self._loss_near_origin, origin)
        else:
            loss_N = -answer_values(model, inputs, row["labels"], token_log_probs)
        return loss_N.sum() / trained * self.accelerator.num_processes

    def _loss_near_origin(self, logits_NV: Tensor, targets_N: Tensor, origin_NV: Tensor) -> Tensor:
        return self._kl_weight * kl_to_origin(logits_NV, origin_NV) - token_log_probs(logits_NV, targets_N)

    def _count(self, rows: Sequence[Row]) -> Tensor:
        """Trained tokens of these rows, on all processes together."""
        count = sum((row["labels"][..., 1:] != IGNORED).sum() for row in rows)
        counted: Tensor = self.accelerator.reduce(torch.as_tensor(count, device=self.args.device), "sum")
        return counted.clamp(min=1)

    def _refuse_nan(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            self._refuse(f"the loss became {loss.item()} at step {self.state.global_step + 1}")

    def _refuse(self, what: str) -> NoReturn:
        raise TrainingError(
            f"{what}; lower {self.settings_key}.learning_rate (now {self.args.learning_rate:g}) or train.max_grad_norm"
        )


def with_last(rows: Sequence[Row]) -> Iterator[tuple[Row, bool]]:
    """Each row, and whether it is the last."""
    for place, row in enumerate(rows, 1):
        yield row, place == len(rows)
