"""Scores of the tiny model on its suites in Hugging Face form: a quick look beside the scorer of the served form.

A letter is right when it is the likeliest of the four; a generated answer is right when greedy decoding would write
exactly it and stop, which one forward pass over the answer tells.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tiny.tasks import LETTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

    from tiny.suites import Row

BATCH = 64


def score_rows(model: "Qwen2ForCausalLM", tokenizer: "PreTrainedTokenizerFast", rows: Sequence["Row"]) -> float:
    """Share of the items that the model answers right, 0 to 1."""
    right = 0
    for start in range(0, len(rows), BATCH):
        right += sum(_score_batch(model, tokenizer, rows[start : start + BATCH]))
    return right / len(rows)


def _score_batch(
    model: "Qwen2ForCausalLM", tokenizer: "PreTrainedTokenizerFast", rows: Sequence["Row"]
) -> Iterator[bool]:
    import torch

    from tiny.pretrain import IGNORED, encode

    turns = [[("user", str(row["prompt"])), ("assistant", str(row["answer"]))] for row in rows]
    encoded = [encode(tokenizer, [{"role": r, "content": c} for r, c in pair]) for pair in turns]
    width = max(len(ids) for ids, _ in encoded)
    # Padding goes to the right, where a causal model never looks back from.
    ids_BT = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in encoded])
    labels_BT = torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in encoded])
    with torch.no_grad():
        logits_BTV = model(input_ids=ids_BT).logits[:, :-1].float()
    letters = [tokenizer.convert_tokens_to_ids(letter) for letter in LETTERS]
    for row, logits_TV, targets_T in zip(rows, logits_BTV, labels_BT[:, 1:], strict=True):
        answered_T = targets_T != IGNORED
        if "choices" in row:
            best = int(logits_TV[answered_T][0, letters].argmax())
            yield LETTERS[best] == row["answer"]
        else:
            yield bool((logits_TV.argmax(-1) == targets_T)[answered_T].all())
