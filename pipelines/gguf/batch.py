"""llama.cpp's `llama_batch` over numpy arrays: which tokens of which conversations one forward computes."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Batch:
    """llama.cpp's `llama_batch` over numpy arrays, filled by slices instead of a Python loop per token."""

    def __init__(self, library: Any, size: int) -> None:
        self._tokens, self._positions, self._sequences = (np.zeros(size, np.int32) for _ in range(3))
        self._counts, self._wanted = np.ones(size, np.int32), np.zeros(size, np.int8)
        number = ctypes.POINTER(ctypes.c_int32)
        first = self._sequences.ctypes.data
        self._pointers = (number * size)(*(ctypes.cast(first + 4 * index, number) for index in range(size)))
        self.struct = library.llama_batch(
            0,
            self._tokens.ctypes.data_as(number),
            None,
            self._positions.ctypes.data_as(number),
            self._counts.ctypes.data_as(number),
            ctypes.cast(self._pointers, ctypes.POINTER(number)),
            self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, tokens: Sequence[int], start: int, sequence: int, rows: int) -> None:
        """Tokens of one sequence from position `start` on, of which the last `rows` yield logits."""
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = np.arange(start, start + count)
        self._sequences[:count] = sequence
        self._wanted[:count] = 0
        self._wanted[count - rows : count] = 1
        self.struct.n_tokens = count

    def fill_each(self, tokens: Mapping[int, int], lengths: Sequence[int]) -> None:
        """One token for each of several sequences, all of which yield logits."""
        count = len(tokens)
        self._tokens[:count] = list(tokens.values())
        self._positions[:count] = [lengths[sequence] for sequence in tokens]
        self._sequences[:count] = list(tokens)
        self._wanted[:count] = 1
        self.struct.n_tokens = count
