"""Which of several ways is sooner done on the machine at hand: threads and precisions are timed, never assumed.

On a CPU without avx512_bf16 or AMX, bfloat16 takes 14 times as long as float32; with them it takes about half.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# bfloat16 rounds, so it has to be worth it; on machines where the two are close, noise shall not choose.
_WORTH_IT = 0.9
_HOPELESS = 3.0


def faster_threads(work: Callable[[], object], most: int) -> tuple[int, str]:
    """1 or `most` threads, whichever does the work sooner now, and the seconds of both.

    A small model gains little from a second thread, and on a machine with other work it loses much: every operation
    waits for the slower of the two.
    """
    import torch  # MLX times its precision here and does without

    seconds = {}
    for count in (1, most):
        torch.set_num_threads(count)
        seconds[count] = best_time(work)
    best = min(seconds, key=lambda count: seconds[count])
    return best, ", ".join(f"{count} took {taken:.3f} s" for count, taken in seconds.items())


def faster_precision(work: Callable[[bool], object]) -> tuple[bool, str]:
    """Whether `work(True)`, in bfloat16, is clearly sooner done than `work(False)`, in float32; the seconds of both."""
    wide = best_time(lambda: work(False))
    half = best_time(lambda: work(True), times=1)
    if half < _HOPELESS * wide:
        half = min(half, best_time(lambda: work(True)))
    return half < _WORTH_IT * wide, f"one row took {wide:.4f} s in float32 and {half:.4f} s in bfloat16"


def faster_matmul_dtype(rows: int = 256, width: int = 1024) -> "torch.dtype":
    """The dtype in which this CPU multiplies matrices sooner, for models that are only read."""
    import torch

    factors = {False: torch.randn(width, width)}
    factors[True] = factors[False].to(torch.bfloat16)
    bf16, _ = faster_precision(lambda bf16: factors[bf16][:rows] @ factors[bf16])
    return torch.bfloat16 if bf16 else torch.float32


def best_time(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the quickest of some runs, after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
