"""Random bytes for ids and nonces, fetched from the system for many at once: they are wanted a dozen times a conversation.

Not for keys: those are asked for one by one, so that none lies in memory before it is used.
"""

import os
import threading

_FETCHED_BYTES = 4_096


class _Supply(threading.local):
    """Bytes of one thread that nobody had yet."""

    left = b""
    at = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.left):
            self.left, self.at = os.urandom(max(count, _FETCHED_BYTES)), 0
        start, self.at = self.at, self.at + count
        return self.left[start : self.at]

    def drop(self) -> None:
        self.left = b""


_supply = _Supply()
os.register_at_fork(after_in_child=_supply.drop)  # a copied supply would give both processes the same nonces


def random_bytes(count: int) -> bytes:
    """As os.urandom: no two calls, in no two threads or processes, give the same bytes."""
    return _supply.take(count)
