"""Presidio's pattern recognizers, made to fail closed.

Presidio logs a regex time-out and goes on, so a hostile text passes unchecked. Its recognizers read
`Pattern.compiled_regex`; the one put there by `bound` raises DetectionTimedOut, which Presidio does not catch.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any

import regex
from presidio_analyzer import Pattern, PatternRecognizer

from pipelines.errors import PerennialError

PSEUDO_LANGUAGE = "xx"
_LOOK_EVERY = 100  # matches
CASE_FLAGS = regex.DOTALL | regex.MULTILINE | regex.ASCII
FLAGS = CASE_FLAGS | regex.IGNORECASE


class DetectionTimedOut(PerennialError):
    """A text could not be checked in time; it must be quarantined, never passed."""


class BoundedRegex:
    """A compiled pattern whose search raises DetectionTimedOut once `timeout_seconds` of processor time are over.

    `regex` counts them for each match anew, so the clock is also read between matches.
    """

    def __init__(self, pattern: str, flags: int, timeout_seconds: float, *, overlapped: bool = False) -> None:
        self._compiled = regex.compile(pattern, flags)
        self._timeout_seconds = timeout_seconds
        self._overlapped = overlapped

    def finditer(self, text: str, timeout: float | None = None) -> Iterator[Any]:
        """The matches; DetectionTimedOut once the time is over, whatever the caller asks for."""
        until: float | None = None  # most texts hold few matches, and looking at the clock is not free
        matches = self._compiled.finditer(text, overlapped=self._overlapped, timeout=self._timeout_seconds)
        try:
            for number, match in enumerate(matches, 1):
                if number % _LOOK_EVERY == 0:
                    until = until or time.process_time() + self._timeout_seconds
                    if time.process_time() > until:
                        raise TimeoutError
                yield match
        except TimeoutError:
            raise DetectionTimedOut(f"a pattern took longer than {self._timeout_seconds} s") from None


def bound(
    recognizer: PatternRecognizer, timeout_seconds: float, flags: int = FLAGS, *, overlapped: bool = False
) -> PatternRecognizer:
    """The recognizer with ASCII word boundaries and patterns that raise on time-out.

    The patterns are copied first: stock classes share theirs, and another user of the class would undo the bound.
    `overlapped` also tries starts within a match: a validated number may begin in the digits before it.
    """
    recognizer.global_regex_flags = flags
    recognizer.patterns = [copy.copy(pattern) for pattern in recognizer.patterns]
    for pattern in recognizer.patterns:
        pattern.compiled_regex = BoundedRegex(pattern.regex, flags, timeout_seconds, overlapped=overlapped)
        pattern.compiled_with_flags = flags
    return recognizer


def patterns(entity: str, rules: Sequence[tuple[str, float]], context: Sequence[str] = ()) -> PatternRecognizer:
    """A recognizer of `entity` from (regular expression, score) rules; below .4 a context word must stand near."""
    return PatternRecognizer(
        supported_entity=entity,
        name=f"{entity}:{rules[0][0][:12]}",
        supported_language=PSEUDO_LANGUAGE,
        patterns=[Pattern(f"{entity}-{index}", rule, score) for index, (rule, score) in enumerate(rules)],
        context=list(context),
    )
