"""Encoded examples -> what trl reads, and the packed rows of one optimizer step."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipelines.backends.examples import EncodedExample, best_fit_decreasing


def as_dataset(examples: Sequence[EncodedExample]) -> Dataset:
    """The examples as trl reads them, in memory."""
    return Dataset.from_dict(
        {
            "input_ids": [list(example.ids) for example in examples],
            "labels": [list(example.labels) for example in examples],
            "anchor": [example.anchor for example in examples],
        }
    )


class RowCollator:
    """Packs the examples of one optimizer step into as few rows as fit, each a single sequence without padding.

    Position ids start at 0 with every example and there is no attention mask, which makes attention block-diagonal:
    no example sees another. `anchors_apart` keeps anchors in rows of their own, for the KL term.
    """

    def __init__(self, pad_id: int, row_tokens: int, *, anchors_apart: bool) -> None:
        self._flatten = DataCollatorForLanguageModeling(pad_token_id=pad_id, padding_free=True)
        self._row_tokens, self._anchors_apart = row_tokens, anchors_apart

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """The batch as rows without padding, anchors apart where they have a loss of their own."""
        rows = []
        for anchor in (False, True):
            group = [one for one in examples if (self._anchors_apart and one["anchor"]) == anchor]
            for indices in best_fit_decreasing([len(one["input_ids"]) for one in group], self._row_tokens):
                row = self._flatten([{key: group[i][key] for key in ("input_ids", "labels")} for i in indices])
                rows.append({**row, "anchor": anchor})
        return {"rows": rows}
