"""KL to the origin on anchors: the retention term that keeps answers where the untouched model had them."""

import torch
from torch import Tensor
from torch.nn import functional


def kl_to_origin(logits_NV: Tensor, origin_logits_NV: Tensor, mask_N: Tensor | None = None) -> Tensor:
    """Sum over the positions of KL(origin || policy), in nats: sum_v p_origin (log p_origin - log p_policy).

    The direction punishes the policy for giving up what the origin would say; RL's Razor (arXiv:2509.04259) finds
    forgetting to track the KL to the base model. Positions whose mask is false count nothing.
    """
    policy = functional.log_softmax(logits_NV.float(), dim=-1)
    origin = functional.log_softmax(origin_logits_NV.float(), dim=-1)
    kl_N = (origin.exp() * (origin - policy)).sum(-1)
    return kl_N.sum() if mask_N is None else torch.where(mask_N, kl_N, 0.0).sum()
