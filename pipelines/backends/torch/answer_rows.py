"""Answers packed into rows, and what one optimizer step of preference training reads.

A row is one sequence without padding; position ids start at 0 with every answer's prompt, which keeps attention apart.
`answer` says of each token which of the row's answers it belongs to:
    input_ids (1, T)   position_ids (1, T)   labels (1, T)   answer (1, T)   answers: how many there are
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.backends.examples import IGNORED, best_fit_decreasing
from pipelines.backends.preference_items import Answer, Item
from pipelines.backends.reference import ReferenceScores
from pipelines.backends.step_plan import Step
from pipelines.backends.torch.data import RowCollator
from pipelines.backends.torch.head import answer_values, token_log_probs

Row = dict[str, Any]


class StepCollator:
    """Turns a step's number into its rows; an item's answers stay together in one row."""

    def __init__(
        self,
        steps: Sequence[Step],
        items: Sequence[Item],
        anchors: Sequence[Mapping[str, Any]],
        scores: ReferenceScores,
        anchor_rows: RowCollator,
        row_tokens: int,
    ) -> None:
        self._steps, self._items, self._anchors, self._scores = steps, items, anchors, scores
        self._anchor_rows, self._row_tokens = anchor_rows, row_tokens

    def __call__(self, batch: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """The rows of the one step that a batch names."""
        [line] = batch
        step = self._steps[line["step"]]
        groups = [self._items[place].answers for place in step.items]
        rows = [
            {**row, **self._facts([step.items[index] for index in indices])}
            for indices, row in pack(groups, self._row_tokens)
        ]
        anchors = self._anchor_rows([dict(self._anchors[place]) for place in step.anchors])["rows"]
        return {
            "rows": rows,
            "anchors": anchors,
            "mismatched": self._mismatched(step.items),
            "items": len(step.items),
            "answer_tokens": sum(self._items[place].tokens for place in step.items),
        }

    def _facts(self, places: Sequence[int]) -> dict[str, Tensor]:
        """Per answer: the reference's log-probability and the token count. Per item: its label and its weight."""
        items = [self._items[place] for place in places]
        return {
            "reference": torch.tensor([value for place in places for value in self._scores.log_probs[place]]),
            "tokens": torch.tensor([float(answer.tokens) for item in items for answer in item.answers]),
            "good": torch.tensor([float(item.good) for item in items]),
            "weight": torch.tensor([self._scores.weights[place] for place in places]),
        }

    def _mismatched(self, places: Sequence[int]) -> list[Row]:
        if self._scores.mismatched is None:
            return []
        crossed = [self._scores.mismatched[place] for place in places]
        return [
            {**row, "reference": torch.tensor([crossed[index][1] for index in indices])}
            for indices, row in pack([(answer,) for answer, _ in crossed], self._row_tokens)
        ]


def pack(groups: Sequence[Sequence[Answer]], row_tokens: int) -> Iterator[tuple[list[int], Row]]:
    """Rows of at most `row_tokens` tokens, each with the positions of the groups it holds, in order.

    The answers of one group stay together, in a row of its own if the group alone is longer.
    """
    lengths = [sum(len(answer.ids) for answer in group) for group in groups]
    for indices in best_fit_decreasing(lengths, row_tokens):
        yield indices, _row([answer for index in indices for answer in groups[index]])


def row_log_probs(model: Any, row: Row) -> Tensor:
    """The log-probability of each answer of a row, summed over its tokens, (S,) in nats, float32."""
    inputs = {name: row[name] for name in ("input_ids", "position_ids")}
    log_prob_N = answer_values(model, inputs, row["labels"], token_log_probs)
    owner_N = row["answer"][0, 1:][row["labels"][0, 1:] != IGNORED]
    # index_add adds up in no fixed order on a GPU, and autocast would round a matrix product to bfloat16
    return (functional.one_hot(owner_N, row["answers"]).T * log_prob_N).sum(-1)


def _row(answers: Sequence[Answer]) -> Row:
    return {
        "input_ids": torch.tensor([[id for answer in answers for id in answer.ids]]),
        "position_ids": torch.tensor([[place for answer in answers for place in range(len(answer.ids))]]),
        "labels": torch.tensor([[label for answer in answers for label in answer.labels]]),
        "answer": torch.tensor([[owner for owner, answer in enumerate(answers) for _ in answer.ids]]),
        "answers": len(answers),
    }
