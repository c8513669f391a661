"""How long rows are on a GPU: as long as its free memory holds beside the weights, reckoned from the model's shape.

Reckoned on the safe side; where it is not safe enough, relief.py halves the rows.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from pipelines.backends.torch.device import Choices
from pipelines.backends.torch.head import chunk_tokens
from pipelines.backends.torch.load import count_parameters
from pipelines.recipe import Train

_LONGEST = 16_384  # beyond, a GPU is no busier
_SHARE = 0.8  # allocators leave gaps
_NF4_BYTES = 0.6  # double quantization, and norms and biases beside it
_LOGIT_COPIES = 6  # KL holds two models' logits, their log-softmax, a difference and a gradient
_DROPOUT_AND_ADAPTER = 1.5  # what LoRA keeps beside the layers' own


def with_fitting_rows(base: Path, train: Train, choices: Choices, free_bytes: int | None = None) -> Choices:
    """On CUDA, rows as long as fit: at most a step's tokens, at least one example's. Elsewhere `choices` as they are.

    Args:
        free_bytes: what may still be taken of the GPU's memory, the model not being there yet; asked of the GPU if None.
    """
    if choices.device != "cuda":
        return choices
    config: Any = AutoConfig.from_pretrained(base, local_files_only=True).get_text_config()
    free = torch.cuda.mem_get_info()[0] if free_bytes is None else free_bytes
    fixed, a_token = _bytes_of(config, count_parameters(base), train, choices)
    most = train.batch.per_device * train.batch.accumulate * train.max_tokens
    room = int(_SHARE * (free - fixed) / a_token) // 128 * 128
    rows = max(train.max_tokens, min(most, _LONGEST, room))
    why = (
        f"best fit decreasing within each step's examples, rows of at most {rows} tokens: {free / 1e9:.1f} GB are free, "
        f"weights, trained part and logits take {fixed / 1e9:.1f} GB and a token {a_token / 1e6:.2g} MB"
    )
    return replace(choices, row_tokens=rows, why=choices.why | {"packing": why})


def _bytes_of(config: Any, parameters: int, train: Train, choices: Choices) -> tuple[float, float]:
    """What is there however long a row is, and what each of its tokens takes."""
    wide = 2 if choices.bf16 else 4
    hidden, layers, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    inner = config.intermediate_size
    embeddings = config.vocab_size * hidden * (1 if config.tie_word_embeddings else 2)
    matrices = max(0, parameters - embeddings)
    held = {"qlora": _NF4_BYTES, "lora": wide, "full": 4}[train.method]
    moments = 2 if "8bit" in choices.optimizer else 8
    adapter = layers * train.lora.r * (7 * hidden + 3 * inner + 2 * (heads + keys) * head)
    trained = parameters * (4 + moments) if train.method == "full" else adapter * (8 + moments)
    logits = chunk_tokens(config.vocab_size, "cuda") * config.vocab_size * 4 * _LOGIT_COPIES
    layer = _DROPOUT_AND_ADAPTER * (10 * hidden + 2 * (heads + 2 * keys) * head + 5 * inner) * wide
    a_token = layers * hidden * wide + layer if choices.activation_checkpointing else layers * layer
    return matrices * held + embeddings * (4 if train.method == "full" else wide) + trained + logits, a_token
