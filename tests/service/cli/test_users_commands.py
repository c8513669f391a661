"""The commands of users, as they are typed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.settings import Settings

pytestmark = pytest.mark.usefixtures("cheap_passwords")
Run = Callable[..., Result]
PASSWORD = "correct horse battery"


@pytest.fixture
def perennial(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    return lambda *words, typed="": CliRunner().invoke(app, list(words), input=typed, catch_exceptions=True)


def test_users_are_made_changed_and_disabled_by_command(perennial: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    made = perennial("users", "create", "Anna", "--role", "admin", "--password-file", str(tmp_path / "password"))
    assert made.output == "anna may sign in as admin\n"
    perennial("users", "create", "ben", "--role", "viewer", "--password-file", "-", typed=PASSWORD + "\n")
    assert "ben is operator now" in perennial("users", "role", "ben", "operator").output
    assert (
        "another password" in perennial("users", "password", "ben", "--password-file", "-", typed="x" + PASSWORD).output
    )
    assert "every session of ben has ended" in perennial("users", "logout", "ben").output
    assert "may sign in no more" in perennial("users", "disable", "ben").output
    lines = perennial("users", "list").output.splitlines()
    assert lines[1].split()[:2] == ["anna", "admin"] and lines[2].split()[:2] == ["ben", "operator"]
    assert len(lines[2].split()) == len(lines[1].split()) + 2
    assert "ben may sign in again" in perennial("users", "enable", "ben").output
    acts = [line.split()[3] for line in perennial("audit").output.splitlines()[1:]]
    assert acts == [
        "user_enabled", "user_disabled", "user_signed_out_everywhere", "user_password_changed", "user_role_changed",
        "user_created", "user_created",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "typed", "sentence"),
    [
        ("create anna --role admin", PASSWORD, "name a file whose first line it is: --password-file FILE"),
        ("create anna --role admin --password-file -", "", "this one has 0"),
        ("create anna --role root --password-file -", PASSWORD, "roles are viewer, reviewer, operator, admin"),
        ("create ben --role viewer --password-file -", PASSWORD, "the first user must be an admin"),
        ("disable nobody", "", "there is no user 'nobody'; see `perennial users list`"),
    ],
    ids=["no terminal", "no password", "no role", "first", "nobody"],
)
def test_what_cannot_be_done_is_said(perennial: Run, words: str, typed: str, sentence: str) -> None:
    assert sentence in str(perennial("users", *words.split(), typed=typed).exception)
