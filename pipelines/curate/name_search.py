"""One text on its way through all name rules, within one stretch of processor time."""

import time
from collections.abc import Iterator

import regex

_LOOK_EVERY = 500  # matches
_SHORT = 4_000  # characters


class NameSearch:
    """The rules have the time together, so that no number of them adds up.

    It is processor time, as it is in `regex`: a busy machine must not decide what is quarantined.
    """

    def __init__(self, text: str, seconds: float) -> None:
        self.text = text
        self._seconds = seconds
        # No pattern takes long over a short text, and looking at the clock is not free.
        self._until = time.process_time() + seconds if len(text) > _SHORT else None

    def each(self, pattern: regex.Pattern[str], overlapped: bool = False) -> Iterator[regex.Match[str]]:
        """The matches of a pattern. Raises TimeoutError once the time is over."""
        matches = pattern.finditer(self.text, overlapped=overlapped, timeout=self._left())
        for number, match in enumerate(matches, 1):
            if number % _LOOK_EVERY == 0:  # the search's own time-out is of one match, and there may be many
                self._left()
            yield match

    def _left(self) -> float:
        if self._until is None:
            return self._seconds
        left = self._until - time.process_time()
        if left <= 0:
            raise TimeoutError
        return left
