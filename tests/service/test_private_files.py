"""Nobody else on this machine reads what the service keeps: what it makes is private, and old homes are mended."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.errors import InputError, Refused
from pipelines.gguf.protocol import socket_path
from service.backup import back_up
from service.cli import app
from service.private_files import OTHERS, check_private, make_private
from service.settings import Settings
from service.store.session import migrate, open_store
from service.vault import open_vault
from tests.conftest import make_settings
from tests.factories import conversation, ndjson

PROJECT = Path(__file__).resolve().parents[2]


def open_to_others(*folders: Path) -> list[str]:
    """What of these folders other users may read, change or enter."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return [f"{stat.S_IMODE(path.lstat().st_mode):o} {path}" for path in paths if is_open(path)]


def is_open(path: Path) -> bool:
    return not path.is_symlink() and bool(path.stat().st_mode & OTHERS)


@pytest.fixture(autouse=True)
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def perennial(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command as it is typed, with the umask that most machines have."""
    environment = {"PERENNIAL_HOME": str(home), "PATH": os.environ["PATH"], "PERENNIAL_ALLOW_DEGRADED_NAMES": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *words], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


def test_everything_that_commands_and_their_children_make_is_private(tmp_path: Path) -> None:
    home, rows = tmp_path / "var", tmp_path / "rows.ndjson"
    rows.write_bytes(ndjson(conversation(consent=True, satisfaction=5)))
    perennial(home, "import", str(rows))
    perennial(home, "origin")
    perennial(home, "db", "backup", str(tmp_path / "backup"))
    made = {path.suffix for path in home.rglob("*")}
    assert {".db", ".gguf", ".key", ".json"} <= made and list((tmp_path / "backup").rglob("*.gguf"))
    assert open_to_others(home, tmp_path / "backup") == []


def test_a_database_its_log_and_its_index_are_private_whatever_the_umask(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "home")
    migrate(settings)
    store = open_store(settings)
    open_vault(settings, store)
    with store.begin():
        assert {path.suffix for path in settings.home.iterdir()} >= {".db", ".db-wal", ".db-shm"}
        assert open_to_others(settings.home) == []
    store.close()


def test_a_backup_is_private_whatever_the_modes_of_what_it_copies(sqlite_settings: Settings, tmp_path: Path) -> None:
    (sqlite_settings.models / "m").mkdir(parents=True)
    (sqlite_settings.models / "m" / "model.gguf").touch(mode=0o644)
    store = open_store(sqlite_settings)
    back_up(sqlite_settings, store, tmp_path / "backup")
    store.close()
    assert len(list((tmp_path / "backup").rglob("*"))) == 4 and open_to_others(tmp_path / "backup") == []


@pytest.fixture
def old_home(tmp_path: Path) -> Settings:
    """A home as earlier versions left it, with a link out of it."""
    settings = make_settings(tmp_path / "var")
    (settings.rounds / "0001").mkdir(parents=True)
    settings.keys.mkdir(mode=0o700)
    for path in (settings.home / "perennial.db", settings.rounds / "0001" / "model.gguf", tmp_path / "elsewhere"):
        path.touch(mode=0o644)
    settings.key_file.touch(mode=0o600)
    (settings.home / "champion").symlink_to(tmp_path / "elsewhere")
    return settings


def test_an_old_home_is_mended_once_and_says_so(old_home: Settings, tmp_path: Path) -> None:
    told = make_private(old_home.home, old_home.key_file)
    assert told is not None and "could read the home" in told and "its 5 files and folders are private now" in told
    assert open_to_others(old_home.home) == []
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o644
    assert make_private(old_home.home, old_home.key_file) is None


def test_a_folder_that_holds_other_things_too_is_not_closed_but_what_is_ours_is(old_home: Settings) -> None:
    others = old_home.home / "public"
    others.mkdir(mode=0o755)
    told = make_private(old_home.home, old_home.key_file)
    assert told is not None and "its 4 files and folders" in told
    assert [line.split()[1] for line in open_to_others(old_home.home)] == [str(old_home.home), str(others)]
    assert make_private(old_home.home, old_home.key_file) is None


def test_a_home_that_cannot_be_mended_is_named_with_the_command(
    old_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refuse)
    told = make_private(old_home.home, old_home.key_file)
    assert told is not None and f"chmod -R go= {old_home.home}" in told


@pytest.mark.parametrize(
    ("mode", "passes"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o620, False)]
)
def test_a_master_key_that_others_may_read_or_change_is_refused_with_the_command(
    tmp_path: Path, mode: int, passes: bool
) -> None:
    key = tmp_path / "master key"
    key.write_bytes(bytes(32))
    key.chmod(mode)
    if passes:
        check_private(key)
    else:
        with pytest.raises(InputError, match=rf"its mode is {mode:o}.*chmod 600 '{key}'$"):
            check_private(key)


def test_nothing_starts_with_a_readable_master_key_and_nothing_mends_it_unseen(settings: Settings) -> None:
    store = open_store(settings)
    open_vault(settings, store)
    settings.key_file.chmod(0o644)
    settings.home.chmod(0o755)
    make_private(settings.home, settings.key_file)
    with pytest.raises(InputError, match="so nothing starts"):
        open_vault(settings, store)
    settings.key_file.chmod(0o600)
    open_vault(settings, store)
    store.close()


def test_a_command_says_that_it_mended_the_home_beside_what_it_shows(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    sqlite_settings.home.chmod(0o755)
    told = CliRunner().invoke(app, ["models"])
    assert "files and folders are private now" in told.stderr and "private" not in told.stdout
    assert CliRunner().invoke(app, ["models"]).stderr == ""


def test_the_engine_is_reached_through_no_folder_that_others_made_or_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / ("long" * 30)
    folder = socket_path(home).parent
    assert folder.parent == tmp_path
    folder.mkdir(mode=0o700)
    assert socket_path(home).parent == folder
    folder.chmod(0o755)
    with pytest.raises(Refused, match="is not a folder of this user alone"):
        socket_path(home)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="shorter path"):
        socket_path(home)
