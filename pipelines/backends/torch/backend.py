"""The torch backend as pipelines.backends.base.Backend has it."""

from pipelines.backends.torch.prefer import prefer
from pipelines.backends.torch.train import train

__all__ = ["prefer", "train"]
