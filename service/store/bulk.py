"""Inserts of many rows at once in the fastest way that each database has."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Dialect, LargeBinary, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from service.store.arrays import pack_array, pack_texts

Converter = Callable[[Any], Any]
Rows = tuple[type[SQLModel], Sequence[Mapping[str, Any]]]  # of one table, to be inserted


def insert_ignoring_conflicts(connection: Connection, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows that all have the same keys; a row whose key or unique value exists already is left as it is."""
    if not rows:
        return
    columns = tuple(rows[0])
    by_column = _by_column(connection.dialect, table, columns, rows)
    if connection.dialect.name == "sqlite":
        with cursor_of(connection) as cursor:
            cursor.executemany(_sqlite_insert(table, columns), list(zip(*by_column, strict=True)))
    else:
        encoding = _encoding(connection)
        kinds = [table_of(table).c[name].type for name in columns]
        arrays = [pack_array(kind, each, encoding) or list(each) for kind, each in zip(kinds, by_column, strict=True)]
        with cursor_of(connection) as cursor:
            cursor.execute(_postgresql_insert(table, columns), arrays)


def _by_column(
    dialect: Dialect, table: type[SQLModel], columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> list[Sequence[Any]]:
    """The values of each column, as the driver takes them."""
    raw = zip(*map(_picker(columns), rows), strict=True)
    convert = _converters(dialect, table, columns)
    return [
        values if change is None else _converted(change, values) for change, values in zip(convert, raw, strict=True)
    ]


@lru_cache(maxsize=64)
def _picker(columns: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Gets a row's values in this order."""
    if len(columns) == 1:
        return lambda row: (row[columns[0]],)
    return itemgetter(*columns)


def _converted(change: Converter, values: Sequence[Any]) -> list[Any]:
    """The values as the driver takes them, one that comes again converted once: the rows of a group share their times."""
    if values.count(values[0]) == len(values):
        return [change(values[0])] * len(values)
    known: dict[int, Any] = {}
    for value in values:
        if id(value) not in known:
            known[id(value)] = change(value)
    return [known[id(value)] for value in values]


def insert_together(connection: Connection, inserts: Iterable[Rows]) -> None:
    """Inserts like `insert_ignoring_conflicts` into several tables, in this order; PostgreSQL is waited for once."""
    with sent_together(connection):
        for table, rows in inserts:
            insert_ignoring_conflicts(connection, table, rows)


@contextmanager
def sent_together(connection: Connection) -> Iterator[None]:
    """Sends PostgreSQL every statement of the block before it waits for an answer."""
    if connection.dialect.name == "sqlite":
        yield
        return
    with _as_sqlalchemy(connection), _driver_of(connection).pipeline():
        yield


def fetch_where_in(connection: Connection, sql: str, values: Sequence[str], *before: Any) -> list[tuple[Any, ...]]:
    """Rows of a query in which `{in_values}` stands for "is one of `values`" and `{mark}` for each value `before` it.

    One parameter however many values, so the statement is the same each time.
    """
    return fetch_together(connection, [Question(sql, values, before)])[0]


class Question(NamedTuple):
    """What `fetch_where_in` is asked."""

    sql: str
    values: Sequence[str]
    before: tuple[Any, ...] = ()


def fetch_together(connection: Connection, questions: Sequence[Question]) -> list[list[tuple[Any, ...]]]:
    """The rows of each question, as `fetch_where_in`; PostgreSQL is waited for once."""
    asked = [one for one in questions if one.values]
    with ExitStack() as stack:
        cursors = [stack.enter_context(cursor_of(connection)) for _ in asked]
        if len(asked) > 1:
            stack.enter_context(sent_together(connection))
        for cursor, one in zip(cursors, asked, strict=True):
            cursor.execute(*_statement(connection, one))
        rows = iter([list(cursor.fetchall()) for cursor in cursors])
    return [next(rows) if one.values else [] for one in questions]


def _statement(connection: Connection, asked: Question) -> tuple[str, tuple[Any, ...]]:
    if connection.dialect.name == "sqlite":
        text = asked.sql.format(in_values="IN (SELECT value FROM json_each(?))", mark="?")
        return text, (*asked.before, json.dumps(list(asked.values)))
    text = asked.sql.format(in_values="= ANY(%s)", mark="%s")
    return text, (*asked.before, pack_texts(asked.values, _encoding(connection)))


@contextmanager
def cursor_of(connection: Connection) -> Iterator[Any]:
    """The driver's own cursor in the connection's transaction; its errors come out as SQLAlchemy's, without values.

    A group commit runs a dozen statements whose text never changes: SQLAlchemy's part would be most of their cost.
    """
    cursor = connection.connection.cursor()
    try:
        with _as_sqlalchemy(connection):
            yield cursor
    finally:
        cursor.close()


@contextmanager
def _as_sqlalchemy(connection: Connection) -> Iterator[None]:
    driver: Any = connection.dialect.dbapi
    try:
        yield
    except driver.Error as error:
        raise DBAPIError.instance(
            "", None, error, driver.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


def _encoding(connection: Connection) -> str:
    """What a PostgreSQL connection takes texts in."""
    return str(_driver_of(connection).info.encoding)


def _driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection


def table_of(model: type[SQLModel]) -> Table:
    """The Core table of a model."""
    found: Table = model.__table__  # type: ignore[attr-defined]
    return found


@lru_cache(maxsize=64)
def _converters(dialect: Dialect, model: type[SQLModel], columns: tuple[str, ...]) -> tuple[Converter | None, ...]:
    """What SQLAlchemy would do to each value before the driver sees it; None where that is nothing."""
    return tuple(_converter(dialect, table_of(model).c[name].type) for name in columns)


def _converter(dialect: Dialect, kind: TypeEngine[Any]) -> Converter | None:
    if isinstance(kind, LargeBinary | Boolean):
        return None  # the driver takes bytes, true and false as they are
    return kind.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=64)
def _sqlite_insert(model: type[SQLModel], columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {_quoted(model)} ({_names(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"


@lru_cache(maxsize=64)
def _postgresql_insert(model: type[SQLModel], columns: tuple[str, ...]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    kinds = [table_of(model).c[name].type.compile(dialect) for name in columns]
    arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
    return f"INSERT INTO {_quoted(model)} ({_names(columns)}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _quoted(model: type[SQLModel]) -> str:
    return f'"{table_of(model).name}"'
