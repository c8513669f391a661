"""Models of real shape with random weights, made on the device in seconds, and chats of real lengths for them."""

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from pipelines.backends.examples import IGNORED, EncodedExample
from pipelines.backends.torch.device import machine

# Qwen2.5's config.json files: hidden, intermediate, layers, heads, key-value heads, vocabulary, tied
_QWEN2_5 = {
    "0.5B": (896, 4864, 24, 14, 2, 151_936, True),
    "7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "32B": (5120, 27_648, 64, 40, 8, 152_064, False),
}
_SMALL = (128, 512, 2, 4, 2, 2048)  # for a machine without CUDA
_ANSWER_SHARE = 0.4
LONGEST = 2048  # tokens of a chat
SHRUNK = 32  # how much shorter rows and chats are without CUDA


def shape(name: str, device: str) -> Qwen2Config:
    """The configuration of a size of Qwen2.5, shrunk where there is no CUDA."""
    *figures, tied = _QWEN2_5[name]
    hidden, intermediate, layers, heads, kv, vocabulary = figures if device == "cuda" else _SMALL
    return Qwen2Config(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocabulary,
        max_position_embeddings=32_768,
        tie_word_embeddings=tied,
        use_cache=False,
    )


def random_model(config: Qwen2Config, device: str, *, nf4: bool, attention: str) -> PreTrainedModel:
    """A frozen model with random weights, its layers' matrices in NF4 with double quantization if asked.

    Made a layer at a time: no more than one layer is ever there at full width.
    """
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    layers, config.num_hidden_layers = config.num_hidden_layers, 0
    config.layer_types = []
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        config.num_hidden_layers, config.layer_types = layers, ["full_attention"] * layers
        for place in range(layers):
            layer = Qwen2DecoderLayer(config, place).to(dtype)
            for weight in layer.parameters():
                if weight.dim() == 2:
                    nn.init.normal_(weight, std=0.02)
            model.model.layers.append(_in_nf4(layer, dtype) if nf4 else layer)
    if nf4:
        model.is_loaded_in_4bit = True
    return model.requires_grad_(False)


def _in_nf4(layer: nn.Module, dtype: torch.dtype) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    for parent in list(layer.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                device = child.weight.device
                packed = Linear4bit(
                    child.in_features,
                    child.out_features,
                    bias=child.bias is not None,
                    compute_dtype=dtype,
                    compress_statistics=True,
                    quant_type="nf4",
                    device="meta",
                )
                weight = Params4bit(
                    child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True, module=packed
                )
                packed.weight, packed.bias = weight.to(device), child.bias
                packed.support_avx512bf16_for_cpu = False  # as pipelines.backends.torch.load.mend_nf4 has it
                setattr(parent, name, packed)
    return layer


def matrix_parameters(config: Qwen2Config) -> int:
    """Weights that a token is multiplied with: the layers' matrices and the head. The embedding is a look-up."""
    head = config.hidden_size // config.num_attention_heads
    attention = 2 * config.num_attention_heads * head + 2 * config.num_key_value_heads * head
    layer = config.hidden_size * (attention + 3 * config.intermediate_size)
    return int(config.num_hidden_layers * layer + config.hidden_size * config.vocab_size)


def random_chats(tokens: int, config: Qwen2Config, device: str, seed: int = 0) -> list[EncodedExample]:
    """Chats of about so many tokens together, lengths log-normal as of real chats, loss on the last two fifths of each."""
    rng, total = random.Random(seed), 0
    chats: list[EncodedExample] = []
    longest = LONGEST if device == "cuda" else LONGEST // SHRUNK
    while total < tokens:
        length = min(longest, max(8, round(longest * rng.lognormvariate(-1.6, 0.8))))  # a median of 413 of 2,048
        ids = tuple(rng.randrange(3, config.vocab_size) for _ in range(length))
        start = round(length * (1 - _ANSWER_SHARE))
        labels = (*(IGNORED for _ in ids[:start]), *ids[start:])
        chats.append(EncodedExample(f"chat-{len(chats)}", ids, labels, anchor=False))
        total += length
    return chats


def device_here() -> str:
    """cuda, or cpu: what the figures are of."""
    return "cuda" if machine("auto").device == "cuda" else "cpu"


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as people read them: four significant digits."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}
