"""A column of values as an array in PostgreSQL's binary form, made at once: psycopg asks of every text whether it needs quotes.

    dimensions (1), has nulls, oid of the elements, count, lower bound (1); then of each element its length and its bytes

Each number is a signed one of four bytes, most significant first; a null is the length -1 and no bytes.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any, NamedTuple, cast

from psycopg import Connection
from psycopg.abc import DumperKey
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format
from sqlalchemy import Boolean, DateTime, Float, Integer, LargeBinary, String
from sqlalchemy.types import TypeDecorator, TypeEngine

_HEAD = Struct("!5i")
_length = Struct("!i").pack
_short, _double, _long = Struct("!i").pack, Struct("!d").pack, Struct("!q").pack
_NULL = _length(-1)
_EPOCH, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class PackedArray(NamedTuple):
    """An array in binary form, and what it is an array of; `oid` is the array's own type."""

    oid: int
    packed: bytes


class _Kind(NamedTuple):
    oid: int
    array_oid: int
    pack: Callable[[Any], bytes]


_KINDS: dict[type[TypeEngine[Any]], _Kind] = {
    LargeBinary: _Kind(17, 1001, bytes),
    Integer: _Kind(23, 1007, _short),
    Float: _Kind(701, 1022, _double),
    Boolean: _Kind(16, 1000, lambda value: b"\1" if value else b"\0"),
    DateTime: _Kind(1184, 1185, lambda value: _long((value - _EPOCH) // _MICROSECOND)),
}


def pack_array(kind: TypeEngine[Any], values: Sequence[Any], encoding: str) -> PackedArray | None:
    """The values of a column of this kind, texts in the connection's encoding; None for a kind that is not known here.

    Times must have a zone. Raises UnicodeEncodeError for half a character.
    """
    found = _kind_of(kind, encoding)
    return None if found is None else _pack(found, values)


def pack_texts(values: Sequence[str], encoding: str) -> PackedArray:
    """`pack_array` of texts."""
    return _pack(_text(encoding), values)


def _pack(kind: _Kind, values: Sequence[Any]) -> PackedArray:
    elements = _elements(kind.pack, values)
    head = _HEAD.pack(1, _NULL in elements, kind.oid, len(values), 1)
    return PackedArray(kind.array_oid, head + b"".join(elements))


def _text(encoding: str) -> _Kind:
    return _Kind(1043, 1015, lambda value: cast(bytes, value.encode(encoding)))


def _kind_of(kind: TypeEngine[Any], encoding: str) -> _Kind | None:
    if isinstance(kind, TypeDecorator):
        return _kind_of(kind.impl_instance, encoding)
    if isinstance(kind, String):
        return _text(encoding)
    return next((one for known, one in _KINDS.items() if isinstance(kind, known)), None)


def _elements(pack: Callable[[Any], bytes], values: Sequence[Any]) -> list[bytes]:
    """Each value with its length; one that all have in common is packed once."""
    if values.count(values[0]) == len(values):
        return [_element(pack, values[0])] * len(values)
    return [_element(pack, value) for value in values]


def _element(pack: Callable[[Any], bytes], value: Any) -> bytes:
    if value is None:
        return _NULL
    packed = pack(value)
    return _length(len(packed)) + packed


class _PackedDumper(Dumper):
    """Passes what is packed on as it is."""

    format = Format.BINARY

    def get_key(self, obj: PackedArray, format: PyFormat) -> DumperKey:
        return cast(DumperKey, (self.cls, obj.oid))  # anything that can be compared will do

    def upgrade(self, obj: PackedArray, format: PyFormat) -> "_PackedDumper":
        dumper = type(self)(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: PackedArray) -> bytes:
        return obj.packed


def teach_arrays(connection: "Connection[Any]") -> None:
    """Lets a connection take what `pack_array` gives."""
    connection.adapters.register_dumper(PackedArray, _PackedDumper)
