"""What one optimizer step of preference training computes: the preference loss of its items, the SFT loss of its anchors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from pipelines.backends.examples import EncodedExample
from pipelines.backends.losses import kto_baseline, reward_shift
from pipelines.backends.mlx.loop import StepResult
from pipelines.backends.mlx.loss import add_up, share
from pipelines.backends.mlx.reading import answer_log_probs, answers_batch
from pipelines.backends.mlx.rows import Batch, batch_examples, group_by_length
from pipelines.backends.objective import Objective, RunningShift, rewards_of_step
from pipelines.backends.preference_items import Item
from pipelines.backends.reference import ReferenceScores
from pipelines.backends.step_plan import Step


class RewardShift(RunningShift):
    """BCO's shift, kept in every checkpoint."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"value": self.value}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.value = state["value"]


class PreferenceSteps:
    """Gradients of a run's steps.

    A step's loss is the mean over its items of the preference loss, plus the SFT loss of its anchors divided by the
    step's answer tokens: anchors count for as much as their tokens.
    """

    def __init__(
        self,
        model: Any,
        steps: Sequence[Step],
        items: Sequence[Item],
        anchors: Sequence[EncodedExample],
        scores: ReferenceScores,
        objective: Objective,
        shift: RewardShift,
        budget: int,
    ) -> None:
        self._model, self._steps, self._items, self._anchors = model, steps, items, anchors
        self._scores, self._objective, self._shift, self._budget = scores, objective, shift, budget

    def gradients(self, number: int) -> StepResult:
        """The loss and gradient of a step, from 0, and its rewards for the history."""
        step = self._steps[number]
        point, groups = self._point(step), self._groups(step)
        anchors = batch_examples([self._anchors[place] for place in step.anchors], self._budget)
        answer_tokens = sum(self._items[place].tokens for place in step.items)
        losses = (self._loss(batch, facts, len(step.items), point) for batch, facts in groups)
        preferred, ratios, sum_ = add_up(self._model, losses)
        shares = (share(self._model, batch, answer_tokens) for batch in anchors)
        anchor_loss, _, sum_ = add_up(self._model, shares, sum_)
        figures = self._figures(ratios, [facts["good"] for _, facts in groups], point)
        if anchors:
            figures["anchor_loss"] = anchor_loss
        batches = [*(batch for batch, _ in groups), *anchors]
        trained = answer_tokens + sum(batch.trained for batch in anchors)
        return StepResult(preferred + anchor_loss, sum_, sum(batch.tokens for batch in batches), trained, figures)

    def _groups(self, step: Step) -> list[tuple[Batch, dict[str, mx.array]]]:
        """The step's items in batches; the answers of a pair stay together."""
        widest = [max(len(answer.ids) for answer in self._items[place].answers) for place in step.items]
        rows = max(len(self._items[place].answers) for place in step.items)
        groups = group_by_length(widest, self._budget // rows)
        return [self._batch([step.items[index] for index in group]) for group in groups]

    def _batch(self, places: Sequence[int]) -> tuple[Batch, dict[str, mx.array]]:
        items = [self._items[place] for place in places]
        facts = {
            "reference": [value for place in places for value in self._scores.log_probs[place]],
            "tokens": [float(answer.tokens) for item in items for answer in item.answers],
            "good": [float(item.good) for item in items],
            "weight": [self._scores.weights[place] for place in places],
        }
        batch = answers_batch([answer for item in items for answer in item.answers])
        return batch, {name: mx.array(values, dtype=mx.float32) for name, values in facts.items()}

    def _loss(
        self, batch: Batch, facts: dict[str, mx.array], count: int, point: float
    ) -> Callable[[], tuple[mx.array, mx.array]]:
        """The batch's share of the step's loss, and its answers' log-ratios."""

        def loss() -> tuple[mx.array, mx.array]:
            log_prob_S = answer_log_probs(self._model, batch)
            return self._objective.losses(log_prob_S, facts, point, mx).sum() / count, log_prob_S - facts["reference"]

        return loss

    def _point(self, step: Step) -> float:
        """KTO's reference point of this step in nats, BCO's reward shift, 0 for DPO."""
        if self._objective.method != "kto":
            return self._shift.value
        assert self._scores.mismatched is not None
        crossed = [self._scores.mismatched[place] for place in step.items]
        ratios = []
        for group in group_by_length([len(answer.ids) for answer, _ in crossed], self._budget):
            said = answer_log_probs(self._model, answers_batch([crossed[index][0] for index in group]))
            ratios.append(np.array(said) - np.array([crossed[index][1] for index in group], np.float32))
        return float(kto_baseline(np.concatenate(ratios), np))

    def _figures(self, ratios: Sequence[mx.array], good: Sequence[mx.array], point: float) -> dict[str, float]:
        """The step's rewards for its line of the history; BCO's shift moves on."""
        pairs, beta = self._objective.method == "dpo", self._objective.beta
        ratio_S, good_B = (np.concatenate([np.array(part) for part in parts]) for parts in (ratios, good))
        good_S = np.tile([1.0, 0.0], len(good_B)) if pairs else good_B
        figures = rewards_of_step(ratio_S, good_S, beta, pairs=pairs)
        if not pairs:
            figures["reference_point"] = point
        if self._objective.method == "bco":
            self._shift.update(float(reward_shift(ratio_S, good_S, beta, np)))
        return figures
