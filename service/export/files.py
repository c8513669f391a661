"""Rows in a file of their reader's kind, JSONL or Parquet, that appears whole, is private, and replaces nothing."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.artifacts import new_file
from pipelines.errors import InputError
from service.parquet import open_pyarrow

Row = Mapping[str, Any]
SUFFIXES = (".jsonl", ".parquet")
_ROWS_AT_A_TIME = 1_000


def check_target(path: Path) -> None:
    """Passes if rows can be written there.

    Raises:
        InputError: the file exists, or its name does not say what it is to be.
        MissingDependency: it is to be Parquet, and pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: the name must end in {' or '.join(SUFFIXES)}, so that readers know what it is")
    if path.is_symlink() or path.exists():
        raise InputError(f"{path} exists already and stays as it is: name another file")
    if path.suffix == ".parquet":
        open_pyarrow()


@contextmanager
def write_rows(path: Path, rows: Iterable[Row]) -> Iterator[int]:
    """How many rows were written, while the file still waits to appear: an error in the block takes it back.

    Raises:
        InputError, MissingDependency: as check_target.
        ArtifactError: the disk is full or failed.
    """
    check_target(path)
    with new_file(path, 0) as temporary:
        with _open_private(temporary) as file:
            count = _write_parquet(file, rows) if path.suffix == ".parquet" else _write_lines(file, rows)
        yield count
        check_target(path)  # somebody else's meanwhile


def _open_private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write_lines(file: BinaryIO, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        count += 1
    return count


# ---- Parquet --------------------------------------------------------------------------------------------------


def _write_parquet(file: BinaryIO, rows: Iterable[Row]) -> int:
    """Columns of fixed types, whatever the first rows hold: a row group that has no tool calls reads like the others."""
    arrow = open_pyarrow()
    iterator, writer, count = iter(rows), None, 0
    while group := [_flat(row) for row in islice(iterator, _ROWS_AT_A_TIME)]:
        if writer is None:
            writer = arrow.parquet.ParquetWriter(file, _schema(arrow, group[0]))
        writer.write_table(arrow.Table.from_pylist(group, schema=writer.schema))
        count += len(group)
    if writer is None:
        arrow.parquet.write_table(arrow.table({"part": arrow.array([], arrow.string())}), file)
    else:
        writer.close()
    return count


def _flat(row: Row) -> dict[str, Any]:
    """What has no fixed shape, tool definitions and arguments, as JSON text."""
    return {name: _text(value) if name == "tools" else _flat_value(value) for name, value in row.items()}


def _flat_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_flat_value(one) for one in value]
    if isinstance(value, dict):
        return {name: _text(one) if name in ("arguments", "tools") else _flat_value(one) for name, one in value.items()}
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _schema(arrow: Any, row: Row) -> Any:
    """The columns that every row of this row's shape may have."""
    text = arrow.string()
    call = arrow.struct(
        [("id", text), ("type", text), ("function", arrow.struct([("name", text), ("arguments", text)]))]
    )
    names = ("role", "content", "reasoning_content", "tool_call_id", "name")
    fields = [*((name, text) for name in names), ("tool_calls", arrow.list_(call)), ("weight", arrow.int8())]
    messages, entry = arrow.list_(arrow.struct(fields)), arrow.struct([("from", text), ("value", text)])
    if "conversations" in row:
        kinds = {"conversations": arrow.list_(entry), "chosen": entry, "rejected": entry, "kto_tag": arrow.bool_()}
        return arrow.schema(
            [*((n, k) for n, k in kinds.items() if n in row), *((n, text) for n in _HEAD), ("part", text)]
        )
    kinds = {"input": arrow.struct([("messages", messages), ("tools", text)]), "label": arrow.bool_()}
    columns = [(name, kinds.get(name, messages)) for name in row if name not in ("tools", "part")]
    return arrow.schema([*columns, *([] if "input" in row else [("tools", text)]), ("part", text)])


_HEAD = ("system", "tools")
