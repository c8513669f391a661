"""Teacher-forced exact match: an answer counts if the model would say every token of it greedily. One forward per item."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn import functional
from transformers import AutoModelForCausalLM

from pipelines.errors import DataError
from pipelines.records import Turn
from pipelines.tokenizer import ChatTokenizer

_AT_A_TIME = 64


class Answered:
    """What a model makes of given answers: `exact` per item, and `logp`, the sum of log-probabilities in nats."""

    def __init__(self, exact: list[bool], logp: list[float]) -> None:
        self.exact, self.logp = exact, logp


def load_tuned(base: Path, adapter: Path) -> Any:
    """The base with an adapter, float32 on the CPU, for scoring."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    return PeftModel.from_pretrained(model, str(adapter)).eval()


def answer(model: Any, tokenizer: ChatTokenizer, chats: Sequence[Sequence[Turn]]) -> Answered:
    """Scores the trained turns of each chat."""
    exact: list[bool] = []
    logp: list[float] = []
    encoded = [row[:2] for turns in chats for row in tokenizer.rows(turns).rows]
    for start in range(0, len(encoded), _AT_A_TIME):
        for right, likelihood in _batch(model, encoded[start : start + _AT_A_TIME], tokenizer.pad_id):
            exact.append(right)
            logp.append(likelihood)
    return Answered(exact, logp)


def _batch(model: Any, encoded: Sequence[tuple[list[int], list[bool]]], pad: int) -> list[tuple[bool, float]]:
    longest = max(len(ids) for ids, _ in encoded)
    ids_BT = torch.full((len(encoded), longest), pad)
    mask_BT = torch.zeros((len(encoded), longest), dtype=torch.bool)
    real_BT = torch.zeros((len(encoded), longest), dtype=torch.long)
    for row, (ids, mask) in enumerate(encoded):
        if not any(mask):
            raise DataError(f"the chat at position {row} holds no answer to score")
        ids_BT[row, : len(ids)], mask_BT[row, : len(ids)] = torch.tensor(ids), torch.tensor(mask)
        real_BT[row, : len(ids)] = 1
    with torch.inference_mode():
        logits_BTV = model(input_ids=ids_BT, attention_mask=real_BT).logits[:, :-1].float()
    targets_BT, scored_BT = ids_BT[:, 1:], mask_BT[:, 1:]
    right_B = ((logits_BTV.argmax(-1) == targets_BT) | ~scored_BT).all(-1)
    nll_BT = functional.cross_entropy(logits_BTV.transpose(1, 2), targets_BT, reduction="none")
    logp_B = -(nll_BT * scored_BT).sum(-1)
    return list(zip(right_B.tolist(), logp_B.tolist(), strict=True))
