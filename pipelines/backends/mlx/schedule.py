"""The learning rate of every step, as transformers' schedules have it: one recipe trains alike on both backends."""

import math

from pipelines.recipe import Train

_MIN_RATE = 0.1


def learning_rate(train: Train, step: int, steps: int) -> float:
    """The rate of step `step`, from 0, of a run of `steps`. `warmup` below 1 is a share of the steps."""
    if train.scheduler == "constant":  # transformers' own has no warm-up
        return train.learning_rate
    warmup = int(train.warmup) if train.warmup >= 1 else math.ceil(steps * train.warmup)
    if step < warmup:
        return train.learning_rate * step / max(1, warmup)
    progress = (step - warmup) / max(1, steps - warmup)
    if train.scheduler == "linear":
        return train.learning_rate * max(0.0, 1 - progress)
    cosine = max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))
    lowest = _MIN_RATE if train.scheduler == "cosine_with_min_lr" else 0.0
    return train.learning_rate * (cosine * (1 - lowest) + lowest)
