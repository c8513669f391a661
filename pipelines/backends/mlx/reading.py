"""Reading a model as it stands: log-probabilities of answers, distributions, hidden states, greedy answers. No gradient."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from pipelines.backends.examples import EncodedExample
from pipelines.backends.mlx.picking import hidden_states, logits_at
from pipelines.backends.mlx.rows import Batch, group_by_length, make_batch
from pipelines.backends.preference_items import Answer
from pipelines.backends.reference import Numbers

_KEPT_TOKENS = 128
_PROMPTS_AT_A_TIME = 8
_ANSWERS_AT_A_TIME = 32


def answer_log_probs(model: Any, batch: Batch) -> mx.array:
    """The log-probability of each row's answer, summed over its tokens, (B,) in nats, float32."""
    logits_NV = logits_at(model, batch.ids_BT, batch.places_N)
    log_prob_N = -nn.losses.cross_entropy(logits_NV, batch.targets_N)
    owner_BN = mx.arange(batch.ids_BT.shape[0])[:, None] == batch.owner_N[None]
    return (owner_BN * log_prob_N).sum(-1)  # in one order, unlike adding up by index


def answers_batch(answers: Sequence[Answer]) -> Batch:
    """One batch of these answers behind their prompts, in order."""
    return make_batch([(answer.ids, answer.labels) for answer in answers])


class Reader:
    """A model that is read, with the precision and batch size that it trains with.

    Attributes:
        end_id: the token that ends an answer; None if the model has none.
        bf16: whether it reads in bfloat16.
    """

    def __init__(self, model: Any, budget: int, *, bf16: bool, end_id: int | None) -> None:
        self._model, self._budget, self.bf16, self.end_id = model, budget, bf16, end_id

    def log_probs(self, answers: Sequence[Answer]) -> list[float]:
        """The summed log-probability of each answer, nats."""
        values = [0.0] * len(answers)
        with self._reading():
            for group in group_by_length([len(answer.ids) for answer in answers], self._budget):
                said = answer_log_probs(self._model, answers_batch([answers[place] for place in group])).tolist()
                for place, value in zip(group, said, strict=True):
                    values[place] = value
        return values

    def distributions(self, examples: Sequence[EncodedExample]) -> list[tuple[mx.array, mx.array]]:
        """Per example, the 128 likeliest tokens at its answers' positions and their log-probabilities."""
        with self._reading():
            return [self._top(example) for example in examples]

    def kl(self, examples: Sequence[EncodedExample], distributions: Sequence[tuple[mx.array, mx.array]]) -> float:
        """Mean KL(kept || this model) per answer token, nats; at least 0, or NaN where the model gives no probabilities."""
        total, positions = 0.0, 0
        with self._reading():
            for example, (ids_NK, log_probs_NK) in zip(examples, distributions, strict=True):
                total += kl_to_top(self._log_probs_at(example), ids_NK, log_probs_NK)
                positions += ids_NK.shape[0]
        mean = total / positions
        return mean if math.isnan(mean) else max(0.0, mean)  # max(0.0, nan) is 0.0: the best figure for the worst model

    def density(self, answers: Sequence[Answer], good: Sequence[bool], groups: Sequence[int]) -> list[float]:
        """See density_weights: its regression in float64 is torch's, which every export needs anyway."""
        import torch

        from pipelines.backends.torch.density import density_weights

        return density_weights(torch.from_numpy(self._prompt_states(answers)), good, groups)

    def from_numpy(self, numbers: Numbers) -> mx.array:
        """MLX's array of these numbers."""
        return mx.array(numbers)

    def greedy(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """The likeliest answers token by token, with their end-of-turn marker where they end before `new_tokens`."""
        from mlx_lm.generate import BatchGenerator

        if not prompts:
            return []
        stops = [] if self.end_id is None else [[self.end_id]]
        with self._reading():
            writer = BatchGenerator(
                self._model,
                stop_tokens=stops,
                prefill_batch_size=_PROMPTS_AT_A_TIME,
                completion_batch_size=_ANSWERS_AT_A_TIME,
            )
            places = writer.insert([list(prompt) for prompt in prompts], [new_tokens] * len(prompts))
            answers: dict[int, list[int]] = {place: [] for place in places}
            while tokens := writer.next_generated():
                for token in tokens:
                    answers[token.uid].append(token.token)
            writer.close()
        return [answers[place] for place in places]

    def _top(self, example: EncodedExample) -> tuple[mx.array, mx.array]:
        log_probs_NV = self._log_probs_at(example)
        kept = min(_KEPT_TOKENS, log_probs_NV.shape[-1])
        ids_NK = mx.argpartition(-log_probs_NV, kept - 1, axis=-1)[:, :kept]
        values_NK = mx.take_along_axis(log_probs_NV, ids_NK, axis=-1)
        mx.eval(ids_NK, values_NK)
        return ids_NK, values_NK

    def _log_probs_at(self, example: EncodedExample) -> mx.array:
        batch = make_batch([(example.ids, example.labels)])
        return nn.log_softmax(logits_at(self._model, batch.ids_BT, batch.places_N))

    def _prompt_states(self, answers: Sequence[Answer]) -> Numbers:
        """The last layer's hidden states, averaged over each answer's prompt, (answers, H), float32."""
        with self._reading():
            states = [
                np.array(hidden_states(self._model, mx.array([answer.prompt_ids]))[0].astype(mx.float32).mean(0))
                for answer in answers
            ]
        return np.stack(states)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Evaluation mode; afterwards the mode that was before."""
        training = self._model.training
        self._model.eval()
        try:
            yield
        finally:
            self._model.train(training)


def kl_to_top(log_probs_NV: mx.array, ids_NK: mx.array, kept_NK: mx.array) -> float:
    """Sum over the positions of KL(kept || policy), nats, the tokens that were not kept counted as one; in float64.

    The same lower bound as pipelines/backends/torch/kl.py has; float64 is numpy's, for an Apple GPU has none.
    """
    origin = np.array(kept_NK, np.float64)
    policy = np.array(mx.take_along_axis(log_probs_NV, ids_NK, axis=-1), np.float64)
    inside = (np.exp(origin) * (origin - policy)).sum(-1)
    rest, policy_rest = (np.maximum(1 - np.exp(part).sum(-1), 1e-6) for part in (origin, policy))
    return float((inside + rest * np.log(rest / policy_rest)).sum())
