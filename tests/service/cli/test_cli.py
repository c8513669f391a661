"""The command line: what people type, and the one sentence they get when it cannot be done."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.errors import PerennialError
from service.cli import app
from service.settings import Settings

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def perennial(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs a command in a home of its own."""
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    monkeypatch.setenv("PERENNIAL_ALLOW_DEGRADED_NAMES", "1")
    monkeypatch.chdir(PROJECT)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words), catch_exceptions=True)

    return run


def test_a_file_is_imported_curated_explained_and_its_person_forgotten(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    row = {
        "id": "c-1",
        "user": "ana",
        "consent": True,
        "satisfaction": 5,
        "messages": [
            {"role": "user", "content": "Write to kim@naver.com, please."},
            {"role": "assistant", "content": "I did."},
        ],
    }
    (tmp_path / "rows.ndjson").write_text(json.dumps(row) + "\n")
    assert "1 created" in perennial("import", str(tmp_path / "rows.ndjson")).output
    assert "1 unchanged" in perennial("import", str(tmp_path / "rows.ndjson")).output
    assert "1 clean" in perennial("curate").output
    told = perennial("curate", "--explain", "c-1").output
    assert "EMAIL_ADDRESS" in told and "kim@" not in told
    assert "1 conversations can no longer be read" in perennial("forget", "ana").output


def test_a_bad_line_is_named_and_the_good_ones_are_kept(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rows.ndjson").write_text(
        '{"id": 5}\n' + json.dumps({"messages": [{"role": "user", "content": "Hi"}]}) + "\n"
    )
    done = perennial("import", str(tmp_path / "rows.ndjson"), "--consent")
    assert done.exit_code == 1
    assert "line 1" in done.output and "1 created" in done.output and "1 invalid" in done.output


def test_an_import_says_which_rows_cannot_train_and_a_plan_does_so_in_the_same_words(perennial, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    messages = [
        {"role": "user", "content": "Where is the river Sol?"},
        {"role": "assistant", "content": "It is in the north."},
    ]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    words = "1 no_consent: no consent to training was given"
    told = perennial("import", str(tmp_path / "rows.jsonl")).output
    assert "1 rows cannot train as the file gives them" in told and words in told
    perennial("curate")
    assert words in perennial("plan", "data/recipes/tiny.yaml").output
    told = perennial("import", str(tmp_path / "rows.jsonl"), "--consent").output
    assert "1 unrated: nobody rated it, or no rating of it counts" in told
    told = perennial("import", str(tmp_path / "rows.jsonl"), "--consent", "--rating", "up").output
    assert "cannot train" not in told and "consent and ratings count as given now" in told
    assert "cannot train" not in perennial("plan", "data/recipes/tiny.yaml").output


def test_a_key_is_made_shown_once_and_revoked(perennial) -> None:  # type: ignore[no-untyped-def]
    key = perennial("keys", "create", "shop", "--scopes", "ingest,read").output.split()[0]
    assert key.startswith("pk_") and key not in perennial("keys", "list").output
    assert "revoked" in perennial("keys", "revoke", "shop").output


def test_a_plan_forecasts_and_warns_without_starting_anything(perennial) -> None:  # type: ignore[no-untyped-def]
    told = " ".join(perennial("plan", "data/recipes/eden-qwen2.5-32b.yaml").output.split())
    assert "learning rate 2e-05 is below what holds for 32.8B parameters" in told
    assert "What stops you:" in told and "`perennial worker`" in told
    assert "round" in perennial("round", "list").output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("promote", "nobody"), "no model is called 'nobody'"),
        (("round", "show", "7"), "no round has the number 7"),
        (("plan", "nowhere.yaml"), "cannot read the recipe nowhere.yaml"),
        (("forget", "stranger"), "nothing is stored for this user"),
        (("rollback",), "there is no earlier champion"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(perennial, words: tuple[str, ...], sentence: str) -> None:  # type: ignore[no-untyped-def]
    error = perennial(*words).exception
    assert isinstance(error, PerennialError) and sentence in str(error)


def test_an_error_reaches_the_terminal_as_one_line_and_status_1(sqlite_settings: Settings) -> None:
    environment = {"PERENNIAL_HOME": str(sqlite_settings.home), "PERENNIAL_PROT": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "models"], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown setting PERENNIAL_PROT") and done.stderr.count("\n") == 1
