"""The commands of people's rights and of keys, as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.settings import Settings, load_settings
from service.store.session import open_store
from service.vault import open_vault
from tests.factories import conversation, put

Run = Callable[..., Result]


@pytest.fixture
def perennial(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a home of its own, in which ana said something."""
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    store = open_store(sqlite_settings)
    put(store, open_vault(sqlite_settings, store), conversation("zanzibarquartz", user="ana", id="c-ana"))
    store.close()
    return lambda *words, typed="": CliRunner().invoke(app, list(words), input=typed, catch_exceptions=True)


def test_a_person_gets_their_data_as_a_file_of_their_own(perennial: Run, tmp_path: Path) -> None:
    assert "1 conversations" in perennial("person", "--out", str(tmp_path / "ana.json"), typed="ana\n").output
    assert (tmp_path / "ana.json").stat().st_mode & 0o777 == 0o600
    [chat] = json.loads((tmp_path / "ana.json").read_text())["conversations"]
    assert chat["id"] == "c-ana" and chat["messages"][0]["raw"]["content"] == "zanzibarquartz"
    assert json.loads(perennial("person", typed="ana\n").stdout)["conversations"] == [chat]
    again = perennial("person", "--out", str(tmp_path / "ana.json"), typed="ana\n")
    assert "exists already" in str(again.exception)
    assert "nothing is stored for this user" in str(perennial("person", typed="bob\n").exception)
    assert "does not belong on the command line" in str(perennial("person", "ana").exception)


def test_the_audit_tells_what_was_done_and_names_nobody(perennial: Run) -> None:
    key = perennial("keys", "create", "shop", "--scopes", "ingest").output.split()[0]
    new = perennial("keys", "rotate", "shop", "--overlap", "1").output.split()[0]
    assert new.startswith("pk_") and new != key
    perennial("person", typed="ana\n")
    perennial("forget", "--yes", typed="ana\n")
    told = perennial("audit").output
    acts = [line.split("  ")[2].strip() for line in told.splitlines() if "cli:" in line]
    assert acts == ["person_forgotten", "person_exported", "key_rotated", "key_created"]
    assert "ana" not in told and "zanzibarquartz" not in told and key not in told
    assert "key_created" not in perennial("audit", "--action", "key_rotated").output


def test_the_master_key_is_changed_by_one_command(perennial: Run) -> None:
    settings = load_settings()
    before = settings.key_file.read_bytes()
    told = perennial("keys", "rotate-master").output
    assert "1 people's keys are wrapped under the new master key" in told and "db backup-keys" in told
    assert settings.key_file.read_bytes() != before
    assert "zanzibarquartz" in perennial("person", typed="ana\n").stdout
