"""Imports that are broken: killed, interrupted, on a full disk, beside a running service; and what they leave behind."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import func, select

from pipelines.errors import Busy
from service.ingest.importers import tables as reader
from service.ingest.importers.post import direct_post
from service.ingest.importers.run import scratch_folder
from service.settings import Settings
from service.store import tables
from service.store.session import Store, open_store
from service.vault import Vault
from tests.factories import conversation, ndjson
from tests.service.ingest.importers.reading import figures, import_file, write
from tests.service.ingest.importers.test_open_webui import ANSWER, QUESTION, answered, chat, feedback
from tests.service.live import running

PROJECT = Path(__file__).resolve().parents[4]


def command(settings: Settings, *words: str) -> tuple[list[str], dict[str, Any]]:
    environment = {"PERENNIAL_HOME": str(settings.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    return [sys.executable, "-m", "service.cli", "import", *words], {"cwd": PROJECT, "env": environment}


def stored(store: Store) -> dict[str, int]:
    with store.read() as session:
        counts = {kind: session.exec(select(func.count()).select_from(kind)).one() for kind in (tables.Conversation, tables.Message, tables.Vote)}  # fmt: skip
    return {kind.__name__: count for kind, count in counts.items()}


def test_an_import_that_is_killed_goes_on_and_nothing_is_lost_or_double(
    sqlite_settings: Settings, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "chats.json", json.dumps([answered() | {"id": f"c-{n}"} for n in range(2_500)] + [{"a": 1}])
    )
    words, options = command(sqlite_settings, str(path))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **options) as child:
        deadline = time.monotonic() + 60
        while not list((sqlite_settings.home / "imports").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    note = json.loads(next((sqlite_settings.home / "imports").glob("*.json")).read_text())
    before = note["counts"]["results"]["conversations"]["created"]
    assert 0 < before < 2_500 and note["mark"] == [0, before]
    done = subprocess.run(words, capture_output=True, text=True, **options)
    assert done.returncode == 1 and "1 no_messages: " in done.stdout  # the last entry is no chat
    assert "conversations: 2500 created" in done.stdout
    again = open_store(sqlite_settings)
    assert stored(again) == {"Conversation": 2_500, "Message": 5_000, "Vote": 0}
    again.close()
    assert [file.suffix for file in (sqlite_settings.home / "imports").iterdir()] == [".ndjson"]


def test_an_annotation_and_its_feedback_are_one_vote_and_a_vote_before_its_chat_waits(
    store: Store, vault: Vault, tmp_path: Path
) -> None:
    rows = [feedback(-1, user_id="u-1", snapshot=None), feedback(1, user_id="u-9", meta={"arena": True}, snapshot=None)]
    votes = write(tmp_path / "feedback.json", json.dumps(rows))
    chats = write(tmp_path / "chats.json", json.dumps([answered(annotation={"rating": -1})]))
    with direct_post(store, vault) as post:
        assert import_file(votes, post, tmp_path).of("votes", "created") == 2
        assert stored(store) == {"Conversation": 0, "Message": 0, "Vote": 2}
        assert figures(import_file(chats, post, tmp_path)) == (1, 0, 0, 0)
        for path in (votes, chats):  # again the same files: nothing new
            counts = import_file(path, post, tmp_path)
            assert counts.stands == counts.of("votes", "unchanged") + counts.of("conversations", "unchanged")
    assert stored(store) == {"Conversation": 1, "Message": 2, "Vote": 2}
    with store.read() as session:
        found = session.exec(select(tables.Vote.source, tables.Vote.value)).all()
    assert sorted(found) == [("judge", 1), ("person", -1)]


def test_a_snapshot_never_conflicts_with_the_live_chat_and_stands_in_for_one_that_is_missing(
    store: Store, vault: Vault, tmp_path: Path
) -> None:
    grown = chat(
        QUESTION,
        ANSWER | {"content": "Two days, I think."},
        {"id": "q2", "parentId": "a1", "role": "user", "content": "Sure?"},
    )
    lone = feedback(1, meta={"chat_id": "c-2"})
    folder = tmp_path / "export"
    folder.mkdir()
    write(folder / "chats.json", json.dumps([grown]))
    write(folder / "feedback.json", json.dumps([feedback(1), lone]))
    write(folder / "notes.txt", "of no format, and no fault of the import's")
    with direct_post(store, vault) as post:
        counts = import_file(folder, post, tmp_path)
    assert figures(counts) == (2, 0, 0, 0) and counts.left_out == {"older_copy": 1, "other_file": 1}
    assert counts.of("votes", "created") == 2


def test_a_chat_that_grew_is_appended_to(store: Store, vault: Vault, tmp_path: Path) -> None:
    path = write(tmp_path / "chats.json", json.dumps([answered()]))
    more = [
        QUESTION,
        ANSWER,
        ANSWER | {"id": "a2", "content": "An hour."},
        {"id": "q2", "parentId": "a2", "role": "user", "content": "And rye?"},
    ]
    with direct_post(store, vault) as post:
        assert figures(import_file(path, post, tmp_path)) == (1, 0, 0, 0)
        assert figures(import_file(write(path, json.dumps([chat(*more)])), post, tmp_path)) == (0, 0, 1, 0)
    assert stored(store)["Message"] == 4


def test_addresses_that_are_ids_stand_in_no_reject_file(store: Store, vault: Vault, tmp_path: Path) -> None:
    twice = {"id": "kim@example.org", "role": "user", "content": "Hi"}
    path = write(
        tmp_path / "rows.ndjson", ndjson(conversation(user="kim@example.org", messages=[twice, twice]), conversation())
    )
    with direct_post(store, vault) as post:
        counts = import_file(path, post, tmp_path)
    written = next((tmp_path / "imports").iterdir()).read_text()
    assert "[e-mail]" in written and "kim@" not in written + str(counts.problems)
    assert json.loads(written) == {
        "file": "rows.ndjson", "entry": 1, "line": 1, "reason": "not_storable",
        "sentence": "messages: the id '[e-mail]' is used twice in this conversation",
    }  # fmt: skip


def test_it_stores_beside_a_running_service(sqlite_settings: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.ndjson", ndjson(*(conversation() for _ in range(300))))
    with (
        running(sqlite_settings, engine=False) as live,
        live.http() as client,
        direct_post(live.store, live.vault) as post,
    ):
        for _ in range(20):
            assert client.post("/v1/conversations", json=conversation()).status_code == 201
        assert figures(import_file(path, post, tmp_path)) == (300, 0, 0, 0)
        assert client.post("/v1/conversations", json=conversation()).status_code == 201
        assert stored(live.store)["Conversation"] == 321


def test_what_killed_imports_left_is_swept_and_what_a_running_one_uses_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        gone.wait()
    for process in (gone.pid, os.getpid(), os.getppid()):
        (tmp_path / "imports" / f"dry-run-{process}" / "keys").mkdir(parents=True)
        write(tmp_path / "imports" / f"unpacked-{process}", "text")
    folder = scratch_folder(tmp_path)
    left = {f"{kind}-{process}" for kind in ("dry-run", "unpacked") for process in (os.getpid(), os.getppid())}
    assert {path.name for path in folder.iterdir()} == left


def test_a_database_that_its_owner_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_WAIT_SECONDS", 0.1)
    owner = sqlite3.connect(tmp_path / "webui.db", isolation_level=None)
    owner.execute("CREATE TABLE chat (id, user_id, chat, created_at)")
    owner.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Busy, match=r"webui\.db is locked by the program that writes it"), reader.Tables(tmp_path / "webui.db", "webui.db") as opened:  # fmt: skip
        opened.columns  # noqa: B018
    owner.close()
