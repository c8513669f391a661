"""Limits on processor time that mean the same on a slow or a busy machine.

They guard against work that grows faster than its input, which costs minutes where seconds are allowed. How fast a part
is belongs into bench/.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PACE_SECONDS = 0.02  # what `_pace` takes on the machine that the limits were set on: an EPYC with avx512_bf16, shared


def within(seconds: float, act: Callable[[], T], tries: int = 3) -> T:
    """What `act` returns, once it took at most `seconds` of this process's processor time.

    A machine on which a fixed loop takes longer than on the reference gets as much longer, never less. `act` is called
    again where it took longer, `tries` times at most: one that leaves a cache behind gets one try.

    Raises:
        AssertionError: It took longer each time.
    """
    took = []
    for _ in range(tries):
        pace, started = _pace(), time.process_time()
        result = act()
        spent = time.process_time() - started
        slowness = max(1.0, pace / PACE_SECONDS, _pace() / PACE_SECONDS)
        if spent <= seconds * slowness:
            return result
        took.append(f"{spent:.2f} s at a pace of {slowness:.2f}")
    raise AssertionError(f"more than {seconds} s of processor time: {', '.join(took)}")


def _pace() -> float:
    """Seconds of processor time that a loop of fixed length takes now, in this thread."""
    started, words = time.thread_time(), {}
    for number in range(120_000):
        words[str(number)] = number
    return time.thread_time() - started
