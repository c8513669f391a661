"""KL to the origin on anchors: the retention term that keeps answers where the untouched model had them."""

from torch import Tensor
from torch.nn import functional


def kl_to_origin(logits_NV: Tensor, origin_logits_NV: Tensor) -> Tensor:
    """KL(origin || policy) at each position, (N,) in nats: sum_v p_origin (log p_origin - log p_policy).

    The direction punishes the policy for giving up what the origin would say; RL's Razor (arXiv:2509.04259) finds
    forgetting to track the KL to the base model.
    """
    policy = functional.log_softmax(logits_NV.float(), dim=-1)
    origin = functional.log_softmax(origin_logits_NV.float(), dim=-1)
    return (origin.exp() * (origin - policy)).sum(-1)


def top_distribution(logits_NV: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The `top` likeliest tokens at each position, (N, K) ids, and their log-probabilities, (N, K) in nats."""
    likeliest = functional.log_softmax(logits_NV.float(), dim=-1).topk(min(top, logits_NV.shape[-1]), dim=-1)
    return likeliest.indices, likeliest.values


def kl_to_top(logits_NV: Tensor, ids_NK: Tensor, log_probs_NK: Tensor) -> Tensor:
    """Sum over the positions of KL(kept || policy), in nats, with all tokens that were not kept counted as one.

    Lumping tokens together can only lower a KL, so this is a lower bound of `kl_to_origin`; a vocabulary's log-probabilities
    at thousands of positions would not fit into memory, its likeliest tokens do.
    """
    origin = log_probs_NK.double()
    policy = functional.log_softmax(logits_NV.float(), dim=-1).gather(-1, ids_NK).double()
    inside = (origin.exp() * (origin - policy)).sum(-1)
    rest, policy_rest = ((1 - part.exp().sum(-1)).clamp(min=1e-6) for part in (origin, policy))
    return (inside + rest * (rest.log() - policy_rest.log())).sum()
