"""The preference losses, defined once for every backend.

Each function gives one loss per example, (B,), in nats; a trainer adds them up and divides by the examples of its step.
`xp` is the array namespace that the arrays belong to: torch, mlx.core or numpy. All are float arrays of shape (B,).

A log-ratio is log p_policy(answer | prompt) - log p_reference(answer | prompt), summed over the answer's tokens with its
end-of-turn marker, in nats; times beta it is the answer's reward. `weight_B` is how much each example counts, 0 to 1.
"""

from typing import Any

Array = Any
Namespace = Any


def dpo_loss(chosen_B: Array, rejected_B: Array, weight_B: Array, beta: float, xp: Namespace) -> Array:
    """-w log sigmoid(beta (chosen - rejected)) of B pairs' log-ratios; eq. 7 of Rafailov et al. 2023 (arXiv:2305.18290)."""
    return weight_B * _softplus(-beta * (chosen_B - rejected_B), xp)


def kto_loss(
    ratio_B: Array,
    good_B: Array,
    kl: Array | float,
    weight_B: Array,
    beta: float,
    desirable: float,
    undesirable: float,
    xp: Namespace,
) -> Array:
    """w lambda (1 - sigmoid(+-beta (ratio - kl))), + for good answers; eq. 7 of Ethayarajh et al. 2024 (arXiv:2402.01306).

    Args:
        good_B: 1.0 for a good answer (lambda is `desirable`), 0.0 for a bad one (`undesirable`).
        kl: the reference point z_0 in nats, at least 0: see `kto_baseline`. It gets no gradient.
    """
    scale_B = undesirable + (desirable - undesirable) * good_B
    return weight_B * scale_B * xp.exp(-_softplus(_sign(good_B) * beta * (ratio_B - kl), xp))


def bco_loss(
    ratio_B: Array,
    good_B: Array,
    delta: Array | float,
    weight_B: Array,
    beta: float,
    desirable: float,
    undesirable: float,
    xp: Namespace,
) -> Array:
    """-w lambda log sigmoid(+-(beta ratio - delta)), + for good answers; Jung et al. 2024 (arXiv:2404.04656).

    Args:
        good_B: 1.0 for a good answer (lambda is `desirable`), 0.0 for a bad one (`undesirable`).
        delta: the reward shift, in units of reward (beta times nats): see `reward_shift`. It gets no gradient.
    """
    scale_B = undesirable + (desirable - undesirable) * good_B
    return weight_B * scale_B * _softplus(-_sign(good_B) * (beta * ratio_B - delta), xp)


def nll(log_prob_B: Array, tokens_B: Array) -> Array:
    """Negative log-likelihood per token of answers: the SFT term that DPO gets on chosen answers.

    RPO, eq. 1 of Pang et al. 2024 (arXiv:2404.19733), adds it as NLL / length. `log_prob_B` is the sum over `tokens_B` tokens.
    """
    return -log_prob_B / tokens_B


def kto_baseline(mismatched_ratio_B: Array, xp: Namespace) -> Array:
    """KTO's reference point: the mean log-ratio of prompts with answers to other prompts, at least 0; a scalar.

    Section 4.1 of the KTO paper estimates KL(policy || reference) so.
    """
    mean = xp.mean(mismatched_ratio_B)
    return xp.maximum(mean, mean * 0)


def reward_shift(ratio_B: Array, good_B: Array, beta: float, xp: Namespace) -> Array:
    """BCO's delta on these examples: the mean of the mean reward of good and of bad answers; needs one of each; a scalar."""
    bad_B = 1 - good_B
    good = xp.sum(ratio_B * good_B) / xp.sum(good_B)
    bad = xp.sum(ratio_B * bad_B) / xp.sum(bad_B)
    return beta * (good + bad) / 2


def _sign(good_B: Array) -> Array:
    return 2 * good_B - 1


def _softplus(x_B: Array, xp: Namespace) -> Array:
    """log(1 + exp(x)) = -log sigmoid(-x), without overflow."""
    return xp.logaddexp(x_B * 0, x_B)
