"""A preference recipe as numbers, and the loss of answers under it, for the arrays of any backend."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.backends.losses import Array, Namespace, bco_loss, dpo_loss, kto_loss, nll
from pipelines.backends.preference_items import Method

Row = Mapping[str, Any]

_SHIFT_MEMORY = 0.9


@dataclass(frozen=True)
class Objective:
    """`desirable` and `undesirable` weigh good and bad answers in KTO and BCO; `nll_weight` the SFT term on good ones."""

    method: Method
    beta: float
    nll_weight: float
    desirable: float = 1.0
    undesirable: float = 1.0

    def losses(self, log_prob_S: Array, row: Row, point: Array | float, xp: Namespace) -> Array:
        """The loss of each item, (B,); `point` is KTO's reference point in nats or BCO's reward shift.

        Args:
            log_prob_S: of each answer, a pair's chosen and rejected one after the other.
            row: `reference` and `tokens` per answer (S,), `good` and `weight` per item (B,).
            xp: the namespace of these arrays.
        """
        ratio_S = log_prob_S - row["reference"]
        if self.method == "dpo":
            loss_B = dpo_loss(ratio_S[0::2], ratio_S[1::2], row["weight"], self.beta, xp)
            term_B = row["weight"] * nll(log_prob_S[0::2], row["tokens"][0::2])
            return loss_B + self.nll_weight * term_B
        loss = kto_loss if self.method == "kto" else bco_loss
        scales = (self.beta, self.desirable, self.undesirable)
        term_B = row["weight"] * row["good"] * nll(log_prob_S, row["tokens"])
        return loss(ratio_S, row["good"], point, row["weight"], *scales, xp) + self.nll_weight * term_B


class RunningShift:
    """BCO's delta, running over the steps: 0.9 of the old and 0.1 of the new value.

    A step uses the value that the steps before it left, 0 for the first, where policy and reference are the same.
    """

    def __init__(self) -> None:
        self.value = 0.0

    def update(self, delta: float) -> None:
        """Take in one step's delta."""
        self.value = _SHIFT_MEMORY * self.value + (1 - _SHIFT_MEMORY) * delta


def rewards_of_step(ratio_S: Array, good_S: Array, beta: float, *, pairs: bool) -> dict[str, float]:
    """Mean rewards (beta times nats) of good and bad answers, their distance, and how often the good one's is higher.

    The accuracy of pairs is within each pair, that of labelled answers over all good and bad ones of the step; ties
    count half. `good_S` is 1.0 for chosen and good answers. Both are whatever numpy reads.
    """
    ratios, marks = np.asarray(ratio_S, np.float32), np.asarray(good_S)
    good, bad = ratios[marks > 0.5], ratios[marks < 0.5]
    ahead = good - bad if pairs else (good[:, None] - bad[None, :]).flatten()
    chosen, rejected = beta * float(good.mean()), beta * float(bad.mean())
    accuracy = float((ahead > 0).mean() + 0.5 * (ahead == 0).mean())
    return {"chosen_reward": chosen, "rejected_reward": rejected, "margin": chosen - rejected, "accuracy": accuracy}
