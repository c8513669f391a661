"""The rows of a benchmark's published files, whatever they are packed in: which part and which subject a row is of.

data/Accounting-dev.csv                        part dev, subject Accounting
anatomy/test-00000-of-00001.parquet            part test, subject anatomy
test/anatomy_test.csv                          part test, subject anatomy; without a line of column names
MATH/test/algebra/17.json                      part test, subject algebra; one row a file
HumanEval.jsonl.gz                             part "", subject HumanEval
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from pipelines.errors import DataError, MissingDependency

PARTS = {"test": "test", "validation": "validation", "valid": "validation", "val": "validation"}
PARTS |= {"dev": "dev", "train": "train", "prompt": "prompt"}
KINDS = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_PART = re.compile(rf"(?:^|[-_.])({'|'.join(PARTS)})$", re.IGNORECASE)
_LONGEST_FIELD = 1 << 20


@dataclass(frozen=True)
class Row:
    """One row as it was published, and where its file says it belongs; `place` is for sentences."""

    part: str
    subject: str
    fields: dict[str, Any]
    place: str


def read_folder(folder: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of every file of a known kind in a folder, or of one file; files in the order of their names.

    Args:
        columns: what the columns of a CSV file without a line of names are; a file whose first line has not the
            first of these names is such a one.

    Raises:
        DataError: there is no such folder, no file of a known kind in it, or one that cannot be read.
        MissingDependency: Parquet files need pyarrow.
    """
    if not folder.exists():
        raise DataError(f"there is no {folder}; name the folder with the benchmark's published files")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if _kind(path))
    if not files or not _kind(files[0]):
        raise DataError(f"{folder} holds no file that can be read; known are {', '.join(KINDS)}")
    for path in files:
        part, subject = _named(path if folder.is_file() else path.relative_to(folder))
        try:
            for number, fields in enumerate(_rows(path, columns), 1):
                if not isinstance(fields, dict):
                    raise DataError(f"{path}, row {number} is no row with named columns")
                yield Row(part, subject, fields, f"{path}, row {number}")
        except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
            raise DataError(f"{path} cannot be read: {error}") from error


def _kind(path: Path) -> str | None:
    """The ending of a file that can be read."""
    hidden = any(name.startswith(".") for name in path.parts[-2:])
    return next((kind for kind in KINDS if path.name.lower().endswith(kind) and not hidden and path.is_file()), None)


def _named(path: Path) -> tuple[str, str]:
    """The part and the subject that a path names: of the file's own name first, then of the nearest folder."""
    stem = path.name
    for kind in KINDS:
        stem = stem[: -len(kind)] if stem.lower().endswith(kind) else stem
    names = [*(name for name in path.parts[:-1] if name not in ("data", "/")), _SHARD.sub("", stem)]
    part, subject = "", ""
    for name in reversed(names):
        match = _PART.search(name)
        rest = name[: match.start()] if match else name
        part = part or (PARTS[match[1].lower()] if match else "")
        subject = subject or ("" if rest.isdigit() else rest)
    return part, subject


def _rows(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    kind = _kind(path)
    if kind == ".parquet":
        yield from _parquet(path)
        return
    with gzip.open(path) if kind == ".jsonl.gz" else path.open("rb") as raw:
        text = io.TextIOWrapper(cast(IO[bytes], raw), encoding="utf-8-sig", newline="")
        if kind in (".csv", ".tsv"):
            yield from _table(text, "\t" if kind == ".tsv" else ",", columns)
        elif kind == ".json":
            whole = json.load(text)
            yield from whole if isinstance(whole, list) else [whole]
        else:
            yield from (json.loads(line) for line in text if line.strip())


def _table(text: IO[str], delimiter: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_LONGEST_FIELD)
    lines = csv.reader(text, delimiter=delimiter)
    first = next(lines, [])
    named = not columns or columns[0] in first
    names = first if named else columns
    for line in lines if named else (line for line in (first, *lines)):
        if line:
            yield dict(zip(names, line, strict=False))


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingDependency(
            f"{path} is a Parquet file, and pyarrow is not installed: pip install pyarrow"
        ) from error
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()
