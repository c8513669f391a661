"""What both converters are asked for and give back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FileType = Literal["f16", "bf16", "f32"]
TrainedOn = Literal["full", "nf4", "mlx4"]


@dataclass(frozen=True)
class ConvertReport:
    """What `convert` wrote. `dropped` says in words which parts of the model are not in the file, such as a vision tower."""

    path: Path
    sha256: str
    tensors: int
    merged: int
    size_bytes: int
    seconds: float
    dropped: tuple[str, ...] = ()
