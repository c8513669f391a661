"""`perennial import --map`: reading a map, and writing the first guess of one."""

from collections.abc import Iterable
from pathlib import Path

from pipelines.errors import InputError
from service.ingest.importers.entries import look_at
from service.ingest.importers.map_file import load_map
from service.ingest.importers.map_guess import guess_map, role_column
from service.ingest.importers.mapped import formats_of
from service.ingest.importers.sources import find_sources
from service.ingest.importers.table import AnyFormat
from service.ingest.importers.tables import Tables

INIT = "init"
_ROLES_SHOWN, _ROWS_SEEN = 8, 1_000


def map_formats(map: str) -> tuple[AnyFormat, ...]:
    """The formats that a map describes; raises InputError where it is none."""
    return formats_of(load_map(Path(map)))


def write_guess(path: Path, scratch: Path) -> Path:
    """Writes a first guess of a map beside what is to be imported; where it was written.

    Raises:
        InputError: there is such a file already, or nothing looks like a chat.
    """
    target = path.with_name(f"{path.stem or path.name}.map.yaml")
    if target.exists():
        raise InputError(f"{target} is there already; move it away, or import with --map {target}")
    tables: dict[str, Iterable[str]] = {}
    roles: dict[str, list[object]] = {}
    for source in find_sources(path):
        look = next(look_at(source))
        if look.kind == "sqlite":
            with source.on_disk(scratch) as file, Tables(file, source.name) as opened:
                tables |= opened.columns
                roles |= {table: _roles(opened, table) for table in opened.columns}
        elif isinstance(look.first, dict):
            tables[Path(source.name).name.partition(".")[0]] = list(look.first)
    target.write_text(guess_map(tables, roles, str(path), str(target)), encoding="utf-8")
    return target


def _roles(tables: Tables, table: str) -> list[object]:
    """Some values of the column that says who speaks."""
    column = role_column(tables.columns[table])
    if column is None:
        return []
    found: list[object] = []
    for number, row in tables.rows(table, [column], counts=False):
        if row[column] not in found:
            found.append(row[column])
        if len(found) == _ROLES_SHOWN or number == _ROWS_SEEN:
            break
    return found
