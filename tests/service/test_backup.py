"""A home that was lost and brought back by docs/operating.md, typed as it stands there; and what a copy leaves out."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import pytest

from pipelines.errors import Conflict, InputError
from service.backup import back_up
from service.demo.processes import free_port
from service.restore import restore
from service.settings import Settings
from service.store.session import Store, migrate, open_store
from service.vault import open_vault
from tests.conftest import make_settings
from tests.factories import conversation, web
from tests.service.cli.test_up import environment, until_it_works
from tests.service.served import add_model, crown

PROJECT = Path(__file__).resolve().parents[2]


def blocks(title: str) -> list[str]:
    """The shell commands below a title of docs/operating.md, one a line."""
    section = (
        (PROJECT / "docs" / "operating.md").read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    )
    return [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


@contextmanager
def typed(command: str, folder: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """A command as a person types it in the project's folder, whose `var` is the home."""
    env = {name: value for name, value in environment(folder, port).items() if name != "PERENNIAL_HOME"}
    process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, env=env)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("keys_lost", [False, True])
def test_a_lost_home_comes_back_with_its_champion_and_its_text(tmp_path: Path, keys_lost: bool) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    home, port = tmp_path / "var", free_port(0)
    settings = _home_with_a_champion(home)
    with web(settings) as client:
        client.post("/v1/conversations", json=conversation(id="c-1"))
        client.post("/v1/conversations", json=conversation(id="c-2", user="doomed"))
    for command in blocks("Back up"):
        _run(command, tmp_path, port)
    _run(".venv/bin/perennial forget --yes <<< doomed", tmp_path, port)
    (tmp_path / "erasures.ndjson").write_bytes((home / "keys" / "erasures.ndjson").read_bytes())
    (home / "models" / "champ" / "model.gguf").unlink()
    (home / "perennial.db").write_bytes(b"gone")
    away, make, keys, data, up, both = blocks("Restore")
    for command in (away, both) if keys_lost else (away, make, keys, data):
        _run(command, tmp_path, port)
    with typed(up, tmp_path, port) as process:
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
            asked = {"model": "champion", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
            reply = until_it_works(lambda: client.chat.completions.create(**asked), process)  # type: ignore[call-overload]
        told = [httpx.get(f"http://127.0.0.1:{port}/v1/conversations/{id}", trust_env=False) for id in ("c-1", "c-2")]
    assert reply.model == "champ" and told[0].status_code == 200
    assert told[1].json()["state"] == "erased"


def test_text_that_lies_unsealed_and_what_is_half_written_are_left_out(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    add_model(store, settings, "first")
    attempt = settings.rounds / "0001" / "attempt-1"
    for name in ("scratch/mixture.jsonl", "train.7.tmp/weights", "train/manifest.json", "train/adapter.12.tmp"):
        (attempt / name).parent.mkdir(parents=True, exist_ok=True)
        (attempt / name).write_text("x")
    settings.keys.mkdir(exist_ok=True)
    (settings.keys / "master.key").write_text("secret")
    done = back_up(settings, store, tmp_path / "copy")
    kept = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    database = {"perennial.db"} if store.is_sqlite else set()
    assert kept == {"models/first/model.gguf", "rounds/0001/attempt-1/train/manifest.json"} | database
    assert (done.files, done.has_database, done.missing) == (2, store.is_sqlite, ())


def test_a_copy_is_of_one_moment_and_can_be_opened(sqlite_settings: Settings, tmp_path: Path) -> None:
    store = open_store(sqlite_settings)
    add_model(store, sqlite_settings, "first")
    crown(store, "first")
    with store.begin():  # a writer in the middle of its transaction is no hindrance
        back_up(sqlite_settings, store, tmp_path / "copy")
    store.close()
    with web(make_settings(tmp_path / "copy")) as client:
        assert client.get("/v1/models").json()["champion"] == "first"


def test_a_file_that_a_model_needs_and_that_is_not_there_is_named(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    add_model(store, settings, "first").unlink()
    assert back_up(settings, store, tmp_path / "copy").missing == ("models/first/model.gguf",)


def test_a_backup_never_writes_over_another_one(settings: Settings, store: Store, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(Conflict, match="exists already"):
        back_up(settings, store, tmp_path / "copy")


def _home_with_a_champion(home: Path) -> Settings:
    settings = make_settings(home)
    migrate(settings)
    store = open_store(settings)
    add_model(store, settings, "champ")
    crown(store, "champ")
    store.close()
    return settings


def _run(command: str, folder: Path, port: int) -> None:
    with typed(command, folder, port) as process:
        assert process.wait(120) == 0, command


def test_files_and_keys_come_back_beside_a_database_that_postgresql_brought_back(
    postgresql_settings: Settings, tmp_path: Path
) -> None:
    store = open_store(postgresql_settings)
    source = add_model(store, postgresql_settings, "first")
    crown(store, "first")
    open_vault(postgresql_settings, store)
    back_up(postgresql_settings, store, tmp_path / "copy")
    again = make_settings(tmp_path / "home", postgresql_settings.database_url)
    restore(again, tmp_path / "copy", keys=postgresql_settings.keys)
    assert (again.models / "first" / "model.gguf").read_bytes() == source.read_bytes()
    open_vault(again, store)  # these keys belong to that database
    store.close()


def test_what_cannot_be_brought_back_is_refused_and_nothing_is_left(sqlite_settings: Settings, tmp_path: Path) -> None:
    store = open_store(sqlite_settings)
    open_vault(sqlite_settings, store)
    back_up(sqlite_settings, store, tmp_path / "copy")
    store.close()
    with pytest.raises(Conflict, match="holds perennial.db already; move it away"):
        restore(sqlite_settings, tmp_path / "copy")
    empty = make_settings(tmp_path / "home")
    with pytest.raises(InputError, match="without the keys nobody can read"):
        restore(empty, tmp_path / "copy")
    with pytest.raises(InputError, match="is no folder"):
        restore(empty, tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no copy of the keys"):
        restore(empty, tmp_path / "copy", tmp_path / "copy" / "models")
    empty.keys.mkdir(parents=True)
    (empty.keys / "master.key").write_bytes(b"k" * 32)
    with pytest.raises(Conflict, match="newer than any copy"):
        restore(empty, tmp_path / "copy", sqlite_settings.keys)
    assert [one.name for one in empty.home.iterdir()] == ["keys"]
