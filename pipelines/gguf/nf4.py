"""The weights that a QLoRA adapter was really trained on: the base after NF4 with double quantization, and back."""

import torch

from pipelines.errors import MissingDependency
from pipelines.gguf.lora import plain_name


def goes_through_nf4(name: str, dimensions: int) -> bool:
    """Whether QLoRA quantizes a tensor: the layers' matrices and nothing else."""
    return dimensions == 2 and plain_name(name).startswith("model.layers.")


def nf4_roundtrip(weight: torch.Tensor) -> torch.Tensor:
    """A matrix quantized to NF4 (blocks of 64, double quantization) and dequantized, in its own dtype."""
    try:
        from bitsandbytes import functional
    except ImportError as error:
        raise MissingDependency(
            "merging a QLoRA adapter onto NF4 weights needs bitsandbytes: pip install bitsandbytes"
        ) from error
    packed, state = functional.quantize_4bit(
        weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    restored: torch.Tensor = functional.dequantize_4bit(packed, state)
    return restored.to(weight.dtype).reshape(weight.shape)
