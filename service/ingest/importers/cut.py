"""Cuts files into entries without reading them whole: the elements of a JSON list, top-level objects, lines.

    [{"id": 1}, {"id": 2}]                       -> {"id": 1}   {"id": 2}
    {"data": [{"id": 1}, {"id": 2}], "page": 3}  -> {"id": 1}   {"id": 2}      where `data` is named as a member
    {"id": 1}\n{"id": 2}\n                       -> {"id": 1}   {"id": 2}

Only brackets and strings are looked at, so that an entry that is no JSON spoils itself and not the others, and memory is
that of one entry. A reader of events (ijson) stops for good at the first fault and keeps a string of any length.
"""

import re
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple

MAX_ENTRY_BYTES = 128 << 20  # a chat with pictures in it
_CHUNK_BYTES, _MAX_CHUNK_BYTES = 1 << 20, 16 << 20

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rb'[^\[\]{}"]++|' + _STRING
_PLAIN = re.compile(rb"(?:" + _FLAT + rb")*+", re.DOTALL)


def _nested(levels: int) -> bytes:
    """The pattern of an object or a list with so many levels at most, brackets and strings being all that counts."""
    inner = _FLAT + (rb"|" + _nested(levels - 1) if levels > 1 else b"")
    return rb"[\[{](?:" + inner + rb")*+[\]}]"


_LEVELS = 9  # what chats have; deeper ones are counted bracket by bracket
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_WHOLE = re.compile(_nested(_LEVELS), re.DOTALL)
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\Z', re.DOTALL)
_OPENING = b"[{"
_BETWEEN = b" \t\r\n,"
EVERY: Collection[str] | None = None
BOM = b"\xef\xbb\xbf"


class Cut(NamedTuple):
    """An entry, or the reason (reasons.REASONS) why there is none; the line on which it begins, and the member it is of."""

    raw: bytes | None
    line: int
    key: str = ""
    reason: str | None = None


def cut_lines(stream: BinaryIO, max_bytes: int | None = None) -> Iterator[Cut]:
    """Each line that is not blank; one longer than `max_bytes` (else 128 MiB) is passed over."""
    max_bytes, number = max_bytes or MAX_ENTRY_BYTES, 0
    while line := stream.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes and not line.endswith(b"\n"):
            while (more := stream.readline(_CHUNK_BYTES)) and not more.endswith(b"\n"):
                pass
            yield Cut(None, number, reason="too_large")
            continue
        line = (line.removeprefix(BOM) if number == 1 else line).strip()
        if line:
            yield Cut(line, number)


def cut_values(
    stream: BinaryIO, members: Collection[str] | None = frozenset(), max_bytes: int | None = None
) -> Iterator[Cut]:
    """Each element of a top-level list, each element of the lists of a top-level object that `members` names, or the
    object itself where it names none (EVERY: all of its lists)."""
    return _Cutter(stream, members, max_bytes or MAX_ENTRY_BYTES).cut()


class _Cutter:
    """Where in the file it is: `depth` brackets deep, in an entry if `start` is not -1.

    An entry that is not wanted, or too large, is passed over (`passing`) without being kept.
    """

    def __init__(self, stream: BinaryIO, members: Collection[str] | None, max_bytes: int) -> None:
        self._stream, self._members, self._max_bytes = stream, members, max_bytes
        self._buffer, self._at = b"", 0
        self._line, self._counted = 1, 0
        self._depth, self._base, self._start = 0, 0, -1
        self._is_list, self._key, self._first_line = True, "", 1
        self._passing: str | None = None

    def cut(self) -> Iterator[Cut]:
        while True:
            end = self._to_bracket()
            if end is None:
                yield from self._close()
                return
            is_opening = self._buffer[end] in _OPENING
            if self._start >= 0:
                self._depth += 1 if is_opening else -1
                if self._depth == self._base:
                    yield from self._entry(end)
            else:
                yield from self._outside(end, is_opening)
                if self._start == end and self._passing is None and (whole := _WHOLE.match(self._buffer, end)):
                    self._depth, end = self._base, whole.end() - 1
                    yield from self._entry(end)
            self._at = end + 1

    def _outside(self, end: int, is_opening: bool) -> Iterator[Cut]:
        """A bracket between entries."""
        between = self._buffer[self._at : end]
        if self._depth != 1 or self._is_list:
            yield from self._stray(between, end)
        if not is_opening:
            self._depth = max(0, self._depth - 1)
        elif self._depth == 0:
            self._begin_top(end)
        elif self._depth == 1 and not self._is_list:
            self._begin_member(between, end)
        else:
            self._begin_entry(end)

    def _begin_top(self, end: int) -> None:
        self._is_list, self._key = self._buffer[end] == _OPENING[0], ""
        if self._is_list or self._members is None or self._members:
            self._depth = 1
        else:
            self._begin_entry(end)

    def _begin_member(self, between: bytes, end: int) -> None:
        """A list or an object at the end of a key of the top-level object."""
        found = _KEY.search(between)
        key = found[1].decode(errors="replace") if found else ""
        if self._buffer[end] == _OPENING[0] and (self._members is None or key in self._members):
            self._depth, self._key = 2, key
        else:
            self._begin_entry(end)
            self._passing = ""

    def _begin_entry(self, end: int) -> None:
        self._base, self._start, self._passing = self._depth, end, None
        self._depth += 1
        self._first_line = self._line_of(end)

    def _entry(self, end: int) -> Iterator[Cut]:
        start, passing = self._start, self._passing
        self._start, self._passing = -1, None
        if passing is None:
            yield Cut(self._buffer[start : end + 1], self._first_line, self._key)
        elif passing:
            yield Cut(None, self._first_line, self._key, passing)

    def _stray(self, between: bytes, end: int) -> Iterator[Cut]:
        """What stands between entries and is neither blank nor a comma."""
        if self._line == 1 and self._counted == 0:
            between = between.removeprefix(BOM)
        if between.strip(_BETWEEN):
            yield Cut(None, self._line_of(end), self._key, "not_json")

    def _close(self) -> Iterator[Cut]:
        if self._depth:
            yield Cut(
                None, self._first_line if self._start >= 0 else self._line_of(len(self._buffer)), self._key, "cut_off"
            )
        else:
            yield from self._stray(self._buffer[self._at :], len(self._buffer))

    def _to_bracket(self) -> int | None:
        """Where the next bracket stands that is not in a string; None at the end of the file."""
        while True:
            found = _PLAIN.match(self._buffer, self._at)
            end = found.end() if found else self._at
            if end < len(self._buffer) and self._buffer[end] != ord('"'):
                return end
            if not self._read_more(end):
                return None

    def _read_more(self, end: int) -> bool:
        """Appends a chunk to what must be kept; false if there is none. `end` is where a string begins that has no end yet."""
        if self._start >= 0 and self._passing is None and len(self._buffer) - self._start > self._max_bytes:
            self._passing = "too_large"
        if self._passing is not None:
            return self._pass_over(end)
        keep = self._start if self._start >= 0 else self._at
        rest = self._buffer[keep:]
        chunk = self._stream.read(max(_CHUNK_BYTES, min(len(rest), _MAX_CHUNK_BYTES)))  # grows: a string is read again
        self._drop(keep)
        self._buffer = rest + chunk
        self._at -= keep
        self._start = 0 if self._start >= 0 else -1
        return bool(chunk)

    def _pass_over(self, end: int) -> bool:
        """Reads on without keeping anything, to the end of the string that begins at `end`, if one does."""
        in_string = end < len(self._buffer)
        stop = self._in_string(end + 1) if in_string else end
        self._start = 0
        while True:
            rest = self._buffer[stop:]  # a backslash whose character is still to come
            self._drop(stop)
            chunk = self._stream.read(_CHUNK_BYTES)
            self._buffer, self._at = rest + chunk, 0
            if not (chunk and in_string):
                return bool(chunk)
            stop = self._in_string(0)
            if stop < len(self._buffer) and self._buffer[stop] == ord('"'):
                self._at = stop + 1
                return True

    def _in_string(self, at: int) -> int:
        """Where a string that this place is in ends, or what has come of it so far does."""
        found = _IN_STRING.match(self._buffer, at)
        return found.end() if found else at

    def _drop(self, size: int) -> None:
        self._line_of(size)
        self._counted = max(0, self._counted - size)

    def _line_of(self, at: int) -> int:
        """The line of a place in the buffer; places only grow."""
        if at > self._counted:
            self._line += self._buffer.count(b"\n", self._counted, at)
            self._counted = at
        return self._line
