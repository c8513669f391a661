"""Cutting files into entries: whatever the text and wherever the chunks end, the same entries on the same lines."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.importers import cut
from service.ingest.importers.cut import EVERY, Cut, cut_lines, cut_values

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\{}[],:é\n \u2028', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k"\\]', max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
ENTRIES = st.lists(st.dictionaries(st.just("k"), VALUES, min_size=1), max_size=5)


def values(text: bytes, members: Any = frozenset(), max_bytes: int | None = None) -> list[Cut]:
    return list(cut_values(io.BytesIO(text), members, max_bytes))


@settings(max_examples=150)
@given(
    entries=ENTRIES,
    indent=st.none() | st.just(1),
    ascii=st.booleans(),
    chunk=st.sampled_from([1, 2, 3, 7, 64, 1 << 20]),
)
def test_a_list_is_cut_into_its_elements_wherever_its_chunks_end(
    entries: list[Any], indent: int | None, ascii: bool, chunk: int
) -> None:
    text = json.dumps(entries, indent=indent, ensure_ascii=ascii).encode()
    inside = json.dumps({"a": [1, "]"], "data": entries, "z": {"data": [2]}}, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cut, "_CHUNK_BYTES", chunk)
        found, members = values(text), values(inside, {"data"})
        deep = [json.loads(one.raw or b"0") for one in values(inside)]
    assert [json.loads(one.raw or b"0") for one in found] == entries
    assert [json.loads(one.raw or b"0") for one in members] == entries and {one.key for one in members} <= {"data"}
    assert deep == [json.loads(inside)]
    places = [text.decode().encode().find(one.raw or b"") for one in found]
    if len({one.raw for one in found}) == len(found) and all(len(json.dumps(one)) > 12 for one in entries):
        assert [one.line for one in found] == [text.count(b"\n", 0, place) + 1 for place in places]


ROWS: list[tuple[str, bytes, list[tuple[bytes | None, str | None]]]] = [
    ("a list", b'[{"a":1},\n {"b":"}]"}]', [(b'{"a":1}', None), (b'{"b":"}]"}', None)]),
    ("a byte order mark", b'\xef\xbb\xbf[{"a":1}]', [(b'{"a":1}', None)]),
    ("an object", b'{"a":[{"b":2}]}', [(b'{"a":[{"b":2}]}', None)]),
    ("objects one after the other", b'{"a":1}\r\n{"b":\r\n2}', [(b'{"a":1}', None), (b'{"b":\r\n2}', None)]),
    ("nothing", b"", []),
    ("an empty list", b"[ ]", []),
    ("no JSON at all", b"hello", [(None, "not_json")]),
    (
        "words between entries",
        b'[{"a":1}, oops, {"b":2}]',
        [(b'{"a":1}', None), (None, "not_json"), (b'{"b":2}', None)],
    ),
    ("an element that is no JSON", b'[{"a":tru}, {"b":2}]', [(b'{"a":tru}', None), (b'{"b":2}', None)]),
    ("cut off in an element", b'[{"a":1},{"b', [(b'{"a":1}', None), (None, "cut_off")]),
    ("cut off between elements", b'[{"a":1},', [(b'{"a":1}', None), (None, "cut_off")]),
    ("cut off in a string", b'[{"a":"]}', [(None, "cut_off")]),
    ("brackets too many", b'[{"a":1}]]}{"b":2}', [(b'{"a":1}', None), (b'{"b":2}', None)]),
    ("deeper than the pattern goes", b"[" * 30 + b"]" * 30, [(b"[" * 29 + b"]" * 29, None)]),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_a_text_is_cut_into(text: bytes, expected: Any) -> None:
    assert [(one.raw, one.reason) for one in values(text)] == expected


def test_every_list_of_an_object_can_be_asked_for() -> None:
    found = values(b'{"spans":[{"a":1}],"n":3,"notes":[{"b":2}]}', EVERY)
    assert [(one.key, one.raw) for one in found] == [("spans", b'{"a":1}'), ("notes", b'{"b":2}')]


@pytest.mark.parametrize("chunk", [1, 2, 3, 10, 30])
def test_what_is_too_large_is_passed_over_and_the_next_one_is_not(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"k": "a" * 300 + '\\"' * 20}, {"z": 1}, {"k": [{"q": '"' * 100}] * 5}, {"e": 2}]
    monkeypatch.setattr(cut, "_CHUNK_BYTES", chunk)
    found = values(json.dumps(entries, indent=1).encode(), max_bytes=60)
    assert [(one.raw and json.loads(one.raw), one.reason, one.line) for one in found] == [
        (None, "too_large", 2),
        ({"z": 1}, None, 5),
        (None, "too_large", 8),
        ({"e": 2}, None, 27),
    ]


class Endless(io.RawIOBase):
    """A file of one string, far larger than what may be kept of it, that counts what is held."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        taken = min(size, self._left)
        self._left -= taken
        return b"x" * taken


def test_a_string_of_any_length_is_passed_over_in_the_memory_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    head = io.BytesIO(b'[{"a": "')
    rest = Endless(64 << 20)

    class Both(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return head.read(size) or rest.read(size) or b""

    tracemalloc.start()
    found = list(cut_values(Both(), max_bytes=1 << 20))  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.reason for one in found] == ["cut_off"] and peak < 12 << 20


def test_lines_are_numbered_and_blank_ones_left_out() -> None:
    text = b'\xef\xbb\xbf{"a":1}\r\n\r\n{"b":2}\n' + b"x" * 50 + b'\n{"c":3}'
    found = list(cut_lines(io.BytesIO(text), 20))
    assert found == [Cut(b'{"a":1}', 1), Cut(b'{"b":2}', 3), Cut(None, 4, reason="too_large"), Cut(b'{"c":3}', 5)]
