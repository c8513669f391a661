"""How deep JSON is nested and where the rows of a list end, from its bytes alone: no recursion, one pass.

    depth_of(b'{"a": [1, {"b": "[["}]}')   -> 3
    rows_of(b'[{"a": 1}, "x", []]', 9)     -> [b'{"a": 1}', b'"x"', b'[]']

A decoder that follows the nesting itself ends with RecursionError, at a depth that depends on who called it: what one
process still reads, the next one cannot. So the limit is ours, and nothing reads a text before it was held against it.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from pipelines.errors import DataError

MAX_DEPTH = 32  # levels of objects and lists in metadata, the only field that may hold any
_BODY_DEPTH = MAX_DEPTH + 1  # and the object that holds it
MAX_VALUES = 200_000  # in memory each is many times as large as its two bytes; 2,000 messages with votes have 30,000
# Possessive, and content with an end that is missing: a text full of quotation marks is read once.
_STRING = rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)'
_STRINGS = re.compile(_STRING, re.DOTALL)
_MARKS = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1, ord(","): 0}
_OTHERS = bytes(set(range(256)) - set(_STEPS))


def refuse_deep(body: bytes) -> None:
    """Refuses a row that is nested deeper than anything here reads, or holds so many values that they fill memory.

    Raises:
        DataError: it does; the sentence says how deep, or how many are too many.
    """
    few = body.count(b",") <= MAX_VALUES
    if few and body.count(b"{") + body.count(b"[") <= _BODY_DEPTH:  # the usual row: it cannot be
        return
    too_many = DataError(f"there are more than {MAX_VALUES:,} values in this; send less in its metadata")
    if body.count(b'"') - body.count(b'\\"') > 4 * MAX_VALUES:  # two for a text, two for its key: known without a look
        raise too_many
    marks = _STRINGS.sub(b"", body).translate(None, _OTHERS)
    depth = _depth(marks[: 2 * MAX_VALUES])  # all of them, with what closes, where the values are not too many
    if depth > _BODY_DEPTH:
        raise DataError(
            f"the JSON is nested too deeply: metadata may have {MAX_DEPTH} levels, and this has {depth - 1}; send it flatter"
        )
    if marks.count(b",") + marks.count(b"{") + marks.count(b"[") > MAX_VALUES:
        raise too_many


def depth_of(body: bytes) -> int:
    """How many objects and lists lie within one another at the deepest place."""
    return _depth(_STRINGS.sub(b"", body).translate(None, _OTHERS))


def _depth(marks: bytes) -> int:
    return max(accumulate(map(_STEPS.__getitem__, marks), initial=0))


def rows_of(body: bytes, most: int) -> list[bytes] | None:
    """The first `most` rows of a JSON list, right or wrong in themselves; None if it is no list, or does not close."""
    rows: list[bytes] = []
    depth, start = 0, 0
    for mark in _MARKS.finditer(body):
        sign = mark[0]
        if sign in (b"[", b"{"):
            if depth == 0 and (rows or sign == b"{" or body[: mark.start()].strip()):
                return None
            depth += 1
            start = mark.end() if depth == 1 else start
        elif sign in (b"]", b"}"):
            depth -= 1
        if depth == 0 or (depth == 1 and sign == b","):
            rows.append(body[start : mark.start()].strip())
            start = mark.end()
        if len(rows) == most:
            return rows
        if depth == 0:
            whole = sign == b"]" and not body[mark.end() :].strip()
            return (rows if rows != [b""] else []) if whole else None
    return None


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a decoded JSON value, keys too, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
