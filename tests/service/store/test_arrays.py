"""Columns as PostgreSQL's binary arrays: what goes in comes out, whatever it is."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from sqlalchemy import JSON, Boolean, Float, Integer, LargeBinary
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import AutoString

from service.store.arrays import pack_array, teach_arrays
from service.store.bulk import table_of
from service.store.tables import App

_NOON = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
_TIME = table_of(App).c["created_at"].type
_COLUMNS: list[tuple[str, str, TypeEngine[Any], list[Any]]] = [
    (
        "texts that text arrays quote",
        "varchar",
        AutoString(),
        ["", "null", "NULL", '{"a,b"}', "\\", " x\t", "안녕 ß 👍"],
    ),
    ("texts and none", "varchar", AutoString(), [None, "x", None]),
    ("nothing but none", "varchar", AutoString(), [None, None]),
    ("the same text each time", "varchar", AutoString(), ["x"] * 3),
    ("whole numbers", "integer", Integer(), [0, -1, 2**31 - 1, None, -(2**31)]),
    ("numbers with a fraction", "double precision", Float(), [0.1, -1e300, None, 5.0]),
    ("yes and no", "boolean", Boolean(), [True, False, None]),
    ("bytes", "bytea", LargeBinary(), [b"", b"\0\xff{}", None]),
    ("times", "timestamptz", _TIME, [_NOON, None, _NOON.replace(year=1999), _NOON - timedelta(microseconds=1)]),
    ("times of another zone", "timestamptz", _TIME, [_NOON.astimezone(timezone(timedelta(hours=9)))]),
]


@pytest.fixture(scope="module")
def connection(postgresql: str) -> Any:
    with psycopg.connect(postgresql) as connection:
        teach_arrays(connection)
        yield connection


@pytest.mark.parametrize(("kind", "column", "values"), [pytest.param(*row[1:], id=row[0]) for row in _COLUMNS])
def test_a_column_comes_back_as_it_was(connection: Any, kind: str, column: TypeEngine[Any], values: list[Any]) -> None:
    packed = pack_array(column, values, "utf-8")
    assert packed is not None
    [row] = connection.execute(f"SELECT %s::{kind}[]", (packed,)).fetchall()
    assert row[0] == values


def test_texts_go_in_the_encoding_of_the_connection(connection: Any) -> None:
    connection.execute("SET client_encoding TO 'LATIN1'")
    packed = pack_array(AutoString(), ["Groß"], connection.info.encoding)
    [row] = connection.execute("SELECT length((%s::varchar[])[1])", (packed,)).fetchall()
    connection.rollback()
    assert row == (4,)


def test_a_kind_that_is_not_known_is_left_to_the_driver() -> None:
    assert pack_array(JSON(), ["{}"], "utf-8") is None
