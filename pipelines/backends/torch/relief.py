"""What a run does when a row does not fit into memory: shorter rows from the newest checkpoint on, then less kept of each.

The examples of a step stay the same, so the losses do too; only how they share rows changes.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import structlog
import torch

from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.device import Choices
from pipelines.errors import TrainingError

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
# What an allocator says that does not raise torch.OutOfMemoryError: a CPU's, a CUDA library's own, Apple's.
_SENTENCES = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")

Result = TypeVar("Result")


class RowsDoNotFit(Exception):
    """Memory ran out while rows were read or trained; its text is the allocator's first line."""


@contextmanager
def telling_out_of_memory() -> Iterator[None]:
    """Raises RowsDoNotFit for whatever an allocator raises. Loading a model belongs outside: shorter rows do not help it."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = _first_line(error)
        known = isinstance(error, torch.OutOfMemoryError | MemoryError) or any(one in text for one in _SENTENCES)
        if not known:
            raise
        raise RowsDoNotFit(text) from None


def until_rows_fit(run: Callable[[Choices], Result], choices: Choices, longest: int) -> Result:
    """What `run` gives with these choices or, where memory runs out, with less demanding ones.

    Args:
        longest: tokens of what cannot be cut: the longest example, or answers that share a row.

    Raises:
        TrainingError: not even the longest example alone fits, with its activations computed again; or the weights do not.
    """
    while True:
        try:
            return run(choices)
        except RowsDoNotFit as error:
            reason = str(error)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the weights of the base do not fit into this machine's memory ({_first_line(error)}); use `method: qlora`, "
                "take a smaller base, or end what else is using this memory"
            ) from None
        # out of the handler, whose traceback holds on to the model
        choices = _relieved(choices, longest, reason)
        _log.warning(
            "out_of_memory", rows=choices.row_tokens, activation_checkpointing=choices.activation_checkpointing
        )
        gc.collect()
        if choices.device == "cuda":
            torch.cuda.empty_cache()


def as_before(choices: Choices, tally: Tally) -> Choices:
    """`choices` with the rows and the checkpointing that an interrupted run had come to; others would not resume exactly."""
    if tally.row_tokens is None or tally.activation_checkpointing is None:
        return choices
    rows, checkpointing = tally.row_tokens, tally.activation_checkpointing
    why = (
        {"packing": f"rows of at most {rows} tokens, as before the interruption"} if rows != choices.row_tokens else {}
    )
    if checkpointing != choices.activation_checkpointing:
        why["activation_checkpointing"] = f"{'on' if checkpointing else 'off'}: as before the interruption"
    return replace(choices, row_tokens=rows, activation_checkpointing=checkpointing, why=choices.why | why)


def keep_in_mind(choices: Choices, tally: Tally) -> None:
    """Write what an interruption must not change into what every checkpoint keeps."""
    tally.bf16, tally.row_tokens = choices.bf16, choices.row_tokens
    tally.activation_checkpointing = choices.activation_checkpointing


def _relieved(choices: Choices, longest: int, reason: str) -> Choices:
    """Rows half as long; where that is as short as they get, activations that are computed again instead of kept."""
    if choices.row_tokens > longest:
        rows = max(longest, choices.row_tokens // 2)
        why = f"rows of at most {rows} tokens, after those of {choices.row_tokens} did not fit into memory ({reason})"
        return replace(choices, row_tokens=rows, why=choices.why | {"packing": why})
    if not choices.activation_checkpointing:
        why = f"on: rows of {choices.row_tokens} tokens did not fit into memory without ({reason})"
        return replace(choices, activation_checkpointing=True, why=choices.why | {"activation_checkpointing": why})
    raise TrainingError(
        f"the longest example, of {longest} tokens, does not fit into this machine's memory, alone in its row and with "
        f"activations computed again ({reason}); lower train.max_tokens, use `method: qlora`, or take a smaller base"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
