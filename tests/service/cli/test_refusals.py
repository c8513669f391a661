"""A home that cannot be used: every command ends in one sentence and a status of its own, and starts nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import typer
from sqlalchemy import text

from service.cli import app, main
from service.settings import Settings
from service.store import locks
from service.store.session import open_store
from service.vault import open_vault
from tests.disks import unwritable

PROJECT = Path(__file__).resolve().parents[3]
FILE = str(PROJECT / "data" / "recipes" / "tiny.yaml")
# what each command needs to be told before it looks at the home
WORDS = {
    "round run": ["--recipe", FILE],
    "round show": ["1"],
    "round cancel": ["1"],
    "round verify": [FILE],
    "schedule add": [FILE],
    "schedule remove": ["tiny"],
    "plan": [FILE],
    "anchors make": ["models/tiny"],
    "anchors import": [FILE, "models/tiny"],
    "import": [FILE],
    "forget": ["--yes"],
    "why": ["m"],
    "promote": ["m"],
    "models ask": ["Hello?"],
    "models promote": ["m"],
    "models modelfile": ["m"],
    "base add": ["a-folder"],
    "base show": ["b"],
    "base remove": ["b"],
    "base recipe": ["b"],
    "privacy check": ["a text"],
    "privacy score": [FILE],
    "proxy": ["--upstream", "http://127.0.0.1:9/v1"],
    "export examples": ["out.jsonl"],
    "export preferences": ["out.jsonl"],
    "keys rotate": ["label"],
    "keys create": ["label", "--scopes", "read"],
    "keys revoke": ["label"],
    "users create": ["anna", "--role", "admin"],
    "users password": ["anna"],
    "users role": ["anna", "viewer"],
    "users disable": ["anna"],
    "users enable": ["anna"],
    "users logout": ["anna"],
    "db backup": ["backup"],
    "backup": ["backup", "--keys", "backup-keys"],
    "restore": ["backup", "--keys", "backup-keys"],
    "db backup-keys": ["backup-keys"],
    "suites add": ["checks.jsonl"],
    "suites show": ["tiny_math"],
    "suites remove": ["checks"],
    "suites join": ["both", "one", "other"],
    "suites record": ["old", "--ask", "http://127.0.0.1:9/v1", "--model", "m", "--prompts", FILE],
}


def commands(group: object, *before: str) -> Iterator[str]:
    """The words of every command there is."""
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield " ".join((*before, name))


# the demo makes a home of its own, and health opens none
COMMANDS = sorted({*commands(typer.main.get_command(app)), "models"} - {"demo", "health"})


Hurt = Callable[[Settings, pytest.MonkeyPatch], AbstractContextManager[object]]


@contextmanager
def read_only(settings: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with unwritable(settings.home):
        yield


@contextmanager
def no_folder(settings: Settings, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setenv("PERENNIAL_HOME", str(settings.home / "perennial.db"))
    yield


@contextmanager
def of_a_newer_version(settings: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    store = open_store(settings)
    with store.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    yield


@contextmanager
def without_locks(_: Settings, patch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object) -> int:
        raise OSError(37, "No locks available")

    patch.setattr(locks.fcntl, "fcntl" if sys.platform == "linux" else "flock", refuse)
    yield


@contextmanager
def no_database(settings: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    (settings.home / "perennial.db").write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    yield


@contextmanager
def database_away(_: Settings, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setenv("PERENNIAL_DATABASE_URL", "postgresql://nobody:hidden@127.0.0.1:1/nothing")
    yield


@contextmanager
def lost_key(settings: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    (settings.keys / "master.key").unlink()
    yield


@contextmanager
def another_key(settings: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    (settings.keys / "master.key").write_bytes(b"k" * 32)
    yield


HURTS: dict[Hurt, str] = {
    read_only: "the home folder {home} cannot be written",
    no_folder: "the home {home}/perennial.db is not a folder; name another with PERENNIAL_HOME",
    of_a_newer_version: "the database was made by a newer Perennial: its schema is '9999'",
    without_locks: "the file locks of {home} do not work (No locks available)",
    no_database: "{home}/perennial.db is no SQLite database: bring it back from a backup",
    database_away: "the database does not answer: connection failed",
    lost_key: "this database was made with a master key that is not here",
    another_key: "is not the one this database was made with",
}


# suites are folders, and what is to be restored is not there yet: nothing of these reads a database, a lock or a key
HURT_COMMANDS = [
    pytest.param(command, hurt, id=f"{command}-{hurt.__name__}")
    for command in COMMANDS
    for hurt in HURTS
    if hurt in (read_only, no_folder) or not command.startswith(("suites ", "restore"))
]


@pytest.mark.parametrize(("command", "hurt"), HURT_COMMANDS)
def test_every_command_ends_in_one_sentence(
    command: str,
    hurt: Hurt,
    sqlite_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home = sqlite_settings.home
    store = open_store(sqlite_settings)
    open_vault(sqlite_settings, store)
    store.close()
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["perennial", *command.split(), *WORDS.get(command, [])])
    before = {path.name for path in home.iterdir() if "-" not in path.name}
    with hurt(sqlite_settings, monkeypatch), pytest.raises(SystemExit) as ended:
        main()
    out, sentence = capfd.readouterr()
    assert ended.value.code == 1
    assert sentence.startswith("error: " + HURTS[hurt].format(home=home)) or HURTS[hurt] in sentence
    assert sentence.count("\n") == 1 and "hidden" not in sentence and out == ""
    left = {path.name for path in home.iterdir() if "-" not in path.name}
    assert left - {"up.lock"} == before
