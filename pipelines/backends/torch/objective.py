"""A preference recipe as numbers, and the loss of a row of answers under it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from pipelines.backends.losses import bco_loss, dpo_loss, kto_loss, nll
from pipelines.backends.preference_items import Method
from pipelines.backends.torch.answer_rows import Row

_SHIFT_MEMORY = 0.9


@dataclass(frozen=True)
class Objective:
    """`desirable` and `undesirable` weigh good and bad answers in KTO and BCO; `nll_weight` the SFT term on good ones."""

    method: Method
    beta: float
    nll_weight: float
    desirable: float = 1.0
    undesirable: float = 1.0

    def losses(self, log_prob_S: Tensor, row: Row, point: Tensor | float) -> Tensor:
        """The loss of each item of a row, (B,); `point` is KTO's reference point in nats or BCO's reward shift."""
        ratio_S = log_prob_S - row["reference"]
        if self.method == "dpo":
            loss_B = dpo_loss(ratio_S[0::2], ratio_S[1::2], row["weight"], self.beta, torch)
            term_B = row["weight"] * nll(log_prob_S[0::2], row["tokens"][0::2])
            return loss_B + self.nll_weight * term_B
        loss = kto_loss if self.method == "kto" else bco_loss
        scales = (self.beta, self.desirable, self.undesirable)
        term_B = row["weight"] * row["good"] * nll(log_prob_S, row["tokens"])
        return loss(ratio_S, row["good"], point, row["weight"], *scales, torch) + self.nll_weight * term_B


class RewardShift(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers has no types
    """BCO's delta, running over the steps and kept in every checkpoint: 0.9 of the old and 0.1 of the new value.

    A step uses the value that the steps before it left, 0 for the first, where policy and reference are the same.
    """

    def __init__(self) -> None:
        self.value = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the running mean."""
        return {"args": {}, "attributes": {"value": self.value}}

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.value = attributes["value"]

    def update(self, delta: float) -> None:
        """Take in one step's delta."""
        self.value = _SHIFT_MEMORY * self.value + (1 - _SHIFT_MEMORY) * delta


def rewards_of_step(ratio_S: Tensor, good_S: Tensor, beta: float, *, pairs: bool) -> dict[str, float]:
    """Mean rewards (beta times nats) of good and bad answers, their distance, and how often the good one's is higher.

    The accuracy of pairs is within each pair, that of labelled answers over all good and bad ones of the step; ties
    count half. `good_S` is 1.0 for chosen and good answers.
    """
    good, bad = ratio_S[good_S > 0.5], ratio_S[good_S < 0.5]
    ahead = good - bad if pairs else (good[:, None] - bad[None, :]).flatten()
    chosen, rejected = beta * good.mean().item(), beta * bad.mean().item()
    accuracy = ((ahead > 0).float() + 0.5 * (ahead == 0).float()).mean().item()
    return {"chosen_reward": chosen, "rejected_reward": rejected, "margin": chosen - rejected, "accuracy": accuracy}
