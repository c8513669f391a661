"""What curation may cost before it waits behind everybody else's: by the conversation and by the person.

A conversation is heavy if it is long, counting every try that its corrections may need; or if it took too long when it
was tried; or if one of those who wrote it has had more than their share of the worker's time lately. It is judged anew
each time it waits. What a conversation took is charged to those who wrote it, by the characters of each.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping

LIGHT_CHARACTERS = 64_000
PERSON_SECONDS = 10.0
WINDOW_SECONDS = 600.0

Clock = Callable[[], float]


class Spending:
    """Seconds of curation by person within the last WINDOW_SECONDS, as one worker knows them; for several threads."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, float] = defaultdict(float)
        self._log: deque[tuple[float, str, float]] = deque()

    def charge(self, seconds: float, characters: Mapping[str, int]) -> None:
        """Charges those who wrote a conversation, by their characters in it."""
        at, every = self._clock(), sum(characters.values()) or 1
        with self._lock:
            for person, count in characters.items():
                share = seconds * count / every
                self._spent[person] += share
                self._log.append((at, person, share))
            self._forget(at)

    def of(self, people: Iterable[str]) -> float:
        """The seconds of the one of these people who had most."""
        with self._lock:
            self._forget(self._clock())
            return max((self._spent.get(person, 0.0) for person in people), default=0.0)

    def _forget(self, at: float) -> None:
        while self._log and self._log[0][0] < at - WINDOW_SECONDS:
            _, person, share = self._log.popleft()
            self._spent[person] -= share
            if self._spent[person] < 1e-6:
                del self._spent[person]
