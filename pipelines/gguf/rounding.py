"""The weights that a QLoRA adapter was really trained on: the base rounded to 4 bits and back.

nf4     bitsandbytes' NF4 in blocks of 64 with double quantization: the torch backend
mlx4    MLX's affine 4 bits in groups of 64 along each row: the MLX backend
"""

from collections.abc import Sequence

import torch

from pipelines.errors import MissingDependency
from pipelines.gguf.conversion import TrainedOn
from pipelines.gguf.lora import plain_name

_BITS, _GROUP = 4, 64  # of mlx4, as pipelines/backends/mlx/load.py quantizes


def is_rounded(name: str, shape: Sequence[int], trained_on: TrainedOn) -> bool:
    """Whether QLoRA quantizes a tensor: the layers' matrices and nothing else, for MLX those of whole groups."""
    if trained_on == "full" or len(shape) != 2 or not plain_name(name).startswith("model.layers."):
        return False
    return trained_on == "nf4" or shape[1] % _GROUP == 0


def round_trip(weight: torch.Tensor, trained_on: TrainedOn) -> torch.Tensor:
    """A matrix quantized to 4 bits and dequantized, in its own dtype.

    Raises:
        MissingDependency: what has to round it is not installed here.
    """
    return {"full": lambda same: same, "nf4": _nf4, "mlx4": _mlx4}[trained_on](weight)


def _nf4(weight: torch.Tensor) -> torch.Tensor:
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


def _mlx4(weight: torch.Tensor) -> torch.Tensor:
    """Quantized in the checkpoint's dtype, dequantized in float32 as in training, rounded once to the dtype again."""
    try:
        import mlx.core as mx
    except ImportError as error:
        raise MissingDependency(
            "merging a QLoRA adapter onto MLX's 4-bit weights needs mlx: pip install 'perennial-service[mlx]'"
        ) from error
    import numpy as np

    own = {torch.bfloat16: mx.bfloat16, torch.float16: mx.float16, torch.float32: mx.float32}[weight.dtype]
    with mx.stream(mx.cpu):
        packed, scales, biases = mx.quantize(mx.array(weight.float().numpy()).astype(own), _GROUP, _BITS)
        scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
        restored = np.array(mx.dequantize(packed, scales, biases, _GROUP, _BITS))
    return torch.from_numpy(restored).to(weight.dtype)
