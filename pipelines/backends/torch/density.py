"""BCO's prompt-density weights: where good and bad answers come from different topics, the topic is not the lesson."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_FOLDS = 5
_LOWEST, _HIGHEST = 0.5, 10.0
_RIDGE = 1.0


def density_weights(states_BH: Tensor, good: Sequence[bool], groups: Sequence[int]) -> list[float]:
    """How much each answer counts: 1 for a good one, p(good | prompt) / p(bad | prompt) within 0.5 to 10 for a bad one.

    Underlying distribution matching of Jung et al. 2024 (arXiv:2404.04656, section 4.2): bad answers are weighted as if their
    prompts came from where the good answers' prompts came from; the bounds are trl's (min_density_ratio, max_density_ratio).
    p comes from a logistic regression on the prompts' hidden states that weighs both labels alike. Unlike trl's, it is
    asked only about prompts that it was not fitted on (five folds): with more dimensions than prompts, a regression
    knows its own prompts by heart and every weight would stand at a bound.

    Args:
        states_BH: mean-pooled hidden states of the prompts.
        groups: equal numbers for equal prompts, which stay in one fold.
    """
    labels = torch.tensor([float(mark) for mark in good], dtype=torch.float64)
    features = _standardized(states_BH.double())
    fold = torch.tensor([group % _FOLDS for group in groups])
    odds = torch.zeros_like(labels)
    for number in range(_FOLDS):
        here, rest = fold == number, fold != number
        if here.any() and 0 < labels[rest].sum() < rest.sum():
            odds[here] = _log_odds(features[rest], labels[rest], features[here])
    ratio = odds.exp().clamp(_LOWEST, _HIGHEST)
    return torch.where(labels > 0, torch.ones_like(ratio), ratio).tolist()  # type: ignore[no-any-return]


def _standardized(states_BH: Tensor) -> Tensor:
    """Each dimension with mean 0 and deviation 1, divided by the root of their number so that a row has length 1."""
    centred = states_BH - states_BH.mean(0)
    return centred / (centred.std(0, correction=0) + 1e-8) / states_BH.shape[1] ** 0.5


def _log_odds(known_BH: Tensor, labels_B: Tensor, new_AH: Tensor) -> Tensor:
    """Ridge logistic regression by L-BFGS, both labels weighing the same in all; the log-odds of good for `new_AH`."""
    good = labels_B.sum()
    balance_B = torch.where(labels_B > 0, 0.5 / good, 0.5 / (len(labels_B) - good)) * len(labels_B)
    weights = torch.zeros(known_BH.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits_B = known_BH @ weights[:-1] + weights[-1]
        fit = functional.binary_cross_entropy_with_logits(logits_B, labels_B, balance_B, reduction="sum")
        total = fit + _RIDGE / 2 * (weights[:-1] ** 2).sum()
        total.backward()
        return total

    optimizer.step(loss)
    with torch.no_grad():
        return new_AH @ weights[:-1] + weights[-1]
