"""Which rounds nobody works on any more, without trusting any clock that can jump.

A lease is written and compared in the database's time. That clock can jump too, and SQLite's is the machine's: so a lease
that seems to have run out is believed only once it stood unrenewed for a while by this process's own monotonic clock. Its
holder renews it every two seconds, and a renewal is seen whatever the time of day is said to be.
"""

import time
from collections.abc import Callable, Sequence

from service.store.tables import Round

CONFIRM_SECONDS = 6.0  # three heartbeats

Mark = tuple[int, float | None]


class LeaseWatch:
    """What one process saw of the leases of running rounds. With `confirm_seconds` 0 it believes the clock at once."""

    def __init__(
        self, confirm_seconds: float = CONFIRM_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._confirm, self._monotonic = confirm_seconds, monotonic
        self._seen: dict[int, tuple[Mark, float]] = {}

    def abandoned(self, running: Sequence[Round], clock: float, lease_seconds: float) -> list[Round]:
        """Those of the running rounds that may be taken over. Look often: a round is judged by what was seen before."""
        at = self._monotonic()
        self._seen = {row.id: self._since(row, at) for row in running if row.id is not None}
        return [row for row in running if self._is_abandoned(row, at, clock, lease_seconds)]

    def _since(self, row: Round, at: float) -> tuple[Mark, float]:
        """The lease as it stands, and since when it was seen to stand so."""
        mark = (row.fence, row.lease_until)
        before = self._seen.get(row.id or 0)
        return before if before is not None and before[0] == mark else (mark, at)

    def _is_abandoned(self, row: Round, at: float, clock: float, lease_seconds: float) -> bool:
        if row.lease_until is None:  # given back
            return True
        unrenewed = at - self._seen[row.id or 0][1]
        if row.lease_until < clock:
            return unrenewed >= self._confirm
        return unrenewed > max(lease_seconds, 0.0) + self._confirm  # the clock went back since it was written
