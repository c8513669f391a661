"""RowTrainer for preferences: the same exact steps and packed rows, with a loss on whole answers instead of tokens."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from pipelines.backends.losses import kto_baseline, reward_shift
from pipelines.backends.objective import Objective, rewards_of_step
from pipelines.backends.torch.answer_rows import Row, row_log_probs
from pipelines.backends.torch.reward_shift import RewardShift
from pipelines.backends.torch.trainer import RowTrainer, with_last
from pipelines.backends.watch import Look, as_metrics


class PreferenceTrainer(RowTrainer):
    """Its data set holds step numbers, its collator makes a step's rows (StepCollator); `look` is its evaluation.

    A step's loss is the mean over its items of the preference loss, plus the SFT loss of its anchors divided by the
    step's answer tokens: anchors count for as much as their tokens.
    """

    settings_key = "preference"
    look: Callable[[], Look]

    def __init__(self, *args: Any, objective: Objective, shift: RewardShift, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._objective, self._shift = objective, shift

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of every row of the step; anchors come last."""
        model.train()
        step = self._prepare_inputs(inputs)
        rows, anchors = step["rows"], step["anchors"]
        point = self._point(model, step["mismatched"])
        total, anchor_total = torch.zeros((), device=self.args.device), torch.zeros((), device=self.args.device)
        ratios, marks = [], []
        answer_tokens = torch.tensor(step["answer_tokens"], device=self.args.device)
        for place, (row, synchronize) in enumerate(with_last([*rows, *anchors])):
            is_anchor = place >= len(rows)
            with contextlib.nullcontext() if synchronize else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    if is_anchor:
                        loss = self._row_loss(model, row, answer_tokens, kl=False)
                    else:
                        log_prob_S = row_log_probs(model, row)
                        loss = self._objective.losses(log_prob_S, row, point, torch).sum() / step["items"]
                        ratios.append(log_prob_S.detach() - row["reference"])
                        marks.append(self._marks(row))
                self.accelerator.backward(loss)
            (anchor_total if is_anchor else total).add_(loss.detach())
        self._refuse_nan(total + anchor_total)
        self._note(torch.cat(ratios), torch.cat(marks), anchor_total if anchors else None, point)
        self._tally.tokens += sum(row["input_ids"].numel() for row in [*rows, *anchors])
        self._tally.trained_tokens += int(answer_tokens) + sum(int(self._count([row])) for row in anchors)
        return total + anchor_total

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """What the stop rules look at; a figure that was not measured is None. Broken weights are not looked at."""
        self.refuse_broken_weights()
        seen = self.look()
        metrics: Any = as_metrics(seen)
        self.model.eval()  # so that trl logs this as an evaluation
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, {**metrics, "look": seen})
        return dict(metrics)

    def try_a_row(self) -> None:
        """Forward and backward of the longest row of the first step, for timing; leaves no gradient behind."""
        rows = self.data_collator([{"step": 0}])["rows"]
        row = max(rows, key=lambda row: row["input_ids"].numel())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.args.bf16):
            loss = self._objective.losses(row_log_probs(self.model.train(), row), row, 0.0, torch).sum()
        loss.backward()
        self.model.zero_grad()

    def _get_train_sampler(self, *args: Any, **settings: Any) -> Any:
        return SequentialSampler(self.train_dataset)

    def _point(self, model: Any, mismatched: Sequence[Row]) -> Tensor | float:
        """KTO's reference point of this step in nats, BCO's reward shift, 0 for DPO."""
        if self._objective.method != "kto":
            return self._shift.value
        with torch.no_grad(), self.compute_loss_context_manager():
            ratios = [row_log_probs(model, row) - row["reference"] for row in mismatched]
        return kto_baseline(torch.cat(ratios), torch)

    def _marks(self, row: Row) -> Tensor:
        """1.0 for each chosen or good answer of a row, 0.0 for the others."""
        if self._objective.method != "dpo":
            good: Tensor = row["good"]
            return good
        return torch.tensor([1.0, 0.0], device=row["good"].device).repeat(len(row["good"]))

    def _note(self, ratio_S: Tensor, good_S: Tensor, anchor_loss: Tensor | None, point: Tensor | float) -> None:
        """Put the step's rewards into its line of the log, and move BCO's shift on."""
        beta = self._objective.beta
        figures = rewards_of_step(ratio_S.cpu(), good_S.cpu(), beta, pairs=self._objective.method == "dpo")
        if anchor_loss is not None:
            figures["anchor_loss"] = anchor_loss.item()
        if self._objective.method != "dpo":
            figures["reference_point"] = float(point)
        if self._objective.method == "bco":
            self._shift.update(float(reward_shift(ratio_S, good_S, beta, torch)))
        for name, value in figures.items():
            self._metrics["train"][name].append(value)
