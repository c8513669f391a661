"""What most commands need first: settings, an up-to-date database, the vault, a console."""

import fcntl
import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

from pipelines.errors import Busy, Refused
from service.obstacles import NOTHING, Obstacle
from service.private_files import make_private
from service.settings import Settings, load_settings, make_home
from service.store.locks import locks_refused
from service.store.session import Store, migrate, open_store
from service.vault import Vault, open_vault

console = Console(highlight=False)
_WIDEST = 10_000


@dataclass(frozen=True)
class Home:
    """What a command works with: settings, an up-to-date database, and the vault."""

    settings: Settings
    store: Store
    vault: Vault


def open_home() -> Home:
    """The home that the environment names, its database migrated.

    Raises:
        InputError: the home cannot be written, its master key is lost or another one, its database is of a newer version.
    """
    settings, store = open_database()
    return Home(settings, store, open_vault(settings, store))


def open_database() -> tuple[Settings, Store]:
    """The settings and the migrated database alone, whatever became of its people's keys. Raises InputError likewise."""
    settings = load_settings()
    make_home(settings.home)
    if told := make_private(settings.home, settings.key_file):
        print(told, file=sys.stderr)
    migrate(settings)
    return settings, open_store(settings)


@contextmanager
def only_up(home: Path) -> Iterator[None]:
    """Hold the home for this `perennial up`, which is enough for a home.

    Raises:
        Busy: another one holds it.
    """
    with (home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"`perennial up` runs for the home {home} already; stop that one first") from error
        except OSError as error:
            raise locks_refused(home, error.strerror or str(error)) from error
        yield


def whoami() -> str:
    """Who gives the command, for the audit."""
    return f"cli:{getpass.getuser()}"


def agrees(question: str) -> bool:
    """What whoever sits at the terminal answers.

    Raises:
        Refused: nobody sits there.
    """
    if not sys.stdin.isatty():
        raise Refused("nothing was forgotten: this cannot be undone, so it is asked at a terminal; elsewhere add --yes")
    return typer.confirm(question, default=False)


def whole(header: str) -> Column:
    """A column whose cells are never cut or broken, however narrow the terminal: ids, which people copy."""
    return Column(header, no_wrap=True)


def print_table(table: Table) -> None:
    """Print a table: fitted to a terminal that is wide enough for its words, elsewhere a row a line and nothing cut."""
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(map(cell_len, map(str, (column.header, *column.cells))))
    needed = Measurement.get(console, console.options.update(width=_WIDEST), table).minimum
    if console.is_terminal and needed <= console.width:
        console.print(table)
        return
    table.box = None
    Console(file=console.file, width=_WIDEST, highlight=False).print(table)


def show_obstacles(found: Sequence[Obstacle]) -> None:
    """Say what stops the wheel, each with its cure, or that nothing does."""
    if not found:
        console.print(NOTHING)
        return
    console.print("What stops you:")
    for one in found:
        console.print(f"  - {one.sentence}.\n    {one.cure}.", markup=False, soft_wrap=True)
