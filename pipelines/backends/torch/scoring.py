"""Reading a model as it stands: log-probabilities of answers, distributions, hidden states, greedy answers. No gradient."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pipelines.backends.examples import EncodedExample
from pipelines.backends.preference_items import Answer
from pipelines.backends.reference import Numbers
from pipelines.backends.torch.answer_rows import Row, pack, row_log_probs
from pipelines.backends.torch.density import density_weights
from pipelines.backends.torch.head import answer_logits
from pipelines.backends.torch.kl import kl_to_top, top_distribution

_ANSWERS_AT_A_TIME = 32
_KEPT_TOKENS = 128


class Reader:
    """A model that is read, with the precision and row length that it trains with.

    Attributes:
        end_id: the token that ends an answer; None if the model has none.
        bf16: whether it reads in bfloat16.
    """

    def __init__(
        self, model: Any, device: str, row_tokens: int, *, bf16: bool, end_id: int | None, pad_id: int
    ) -> None:
        self._model, self._device, self._row_tokens, self.bf16 = model, device, row_tokens, bf16
        self.end_id, self._pad_id = end_id, pad_id

    def log_probs(self, answers: Sequence[Answer]) -> list[float]:
        """The summed log-probability of each answer, nats."""
        values = [0.0] * len(answers)
        with self._reading():
            for indices, row in pack([(answer,) for answer in answers], self._row_tokens):
                for index, value in zip(indices, row_log_probs(self._model, self._here(row)).tolist(), strict=True):
                    values[index] = value
        return values

    def distributions(self, examples: Sequence[EncodedExample]) -> list[tuple[Tensor, Tensor]]:
        """Per example, the 128 likeliest tokens at its answers' positions and their log-probabilities, on the CPU."""
        top = []
        with self._reading():
            for example in examples:
                parts = [top_distribution(logits, _KEPT_TOKENS) for logits in self._logits(example)]
                ids, log_probs = (torch.cat(values).cpu() for values in zip(*parts, strict=True))
                top.append((ids, log_probs))
        return top

    def kl(self, examples: Sequence[EncodedExample], distributions: Sequence[tuple[Tensor, Tensor]]) -> float:
        """Mean KL(kept || this model) per answer token, nats; at least 0, or NaN where the model gives no probabilities."""
        total, positions = 0.0, 0
        with self._reading():
            for example, (ids, log_probs) in zip(examples, distributions, strict=True):
                for logits in self._logits(example):
                    sum_ = kl_to_top(
                        logits, ids[: len(logits)].to(self._device), log_probs[: len(logits)].to(self._device)
                    )
                    ids, log_probs = ids[len(logits) :], log_probs[len(logits) :]
                    total, positions = total + sum_.item(), positions + len(logits)
        mean = total / positions
        return mean if math.isnan(mean) else max(0.0, mean)  # max(0.0, nan) is 0.0: the best figure for the worst model

    def prompt_states(self, answers: Sequence[Answer]) -> Tensor:
        """The last layer's hidden states, averaged over each answer's prompt, (answers, H), float32 on the CPU."""
        layers = self._model.get_base_model().model
        states = []
        with self._reading():
            for answer in answers:
                ids = torch.tensor([answer.prompt_ids], device=self._device)
                states.append(layers(input_ids=ids, use_cache=False).last_hidden_state[0].float().mean(0).cpu())
        return torch.stack(states)

    def density(self, answers: Sequence[Answer], good: Sequence[bool], groups: Sequence[int]) -> list[float]:
        """See density_weights."""
        return density_weights(self.prompt_states(answers), good, groups)

    def from_numpy(self, numbers: Numbers) -> Tensor:
        """A tensor of these numbers, on the CPU."""
        return torch.from_numpy(numbers)

    def greedy(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """The likeliest answers token by token, with their end-of-turn marker where they end before `new_tokens`."""
        answers: list[list[int]] = [[] for _ in prompts]
        longest_first = sorted(range(len(prompts)), key=lambda place: (-len(prompts[place]), place))
        with self._reading():
            for start in range(0, len(prompts), _ANSWERS_AT_A_TIME):
                places = longest_first[start : start + _ANSWERS_AT_A_TIME]
                replies = self._generate([prompts[place] for place in places], new_tokens)
                for place, answer in zip(places, replies, strict=True):
                    answers[place] = answer
        return answers

    def _generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        width = max(len(prompt) for prompt in prompts)
        ids = [[self._pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        seen = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        sequences = self._model.generate(
            input_ids=torch.tensor(ids, device=self._device),
            attention_mask=torch.tensor(seen, device=self._device),
            max_new_tokens=new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=self.end_id,
            pad_token_id=self._pad_id,
        )
        return [self._until_end(answer) for answer in sequences[:, width:].tolist()]

    def _until_end(self, ids: list[int]) -> list[int]:
        return ids[: ids.index(self.end_id) + 1] if self.end_id in ids else ids

    def _logits(self, example: EncodedExample) -> Iterator[Tensor]:
        row = {"input_ids": torch.tensor([example.ids], device=self._device)}
        return answer_logits(self._model, row, torch.tensor([example.labels], device=self._device))

    def _here(self, row: Row) -> Row:
        return {name: value.to(self._device) if isinstance(value, Tensor) else value for name, value in row.items()}

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Evaluation mode without gradients, in the precision of training; afterwards the mode that was before."""
        training = self._model.training
        self._model.eval()
        device = torch.device(self._device).type
        try:
            with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=self.bf16):
                yield
        finally:
            self._model.train(training)
