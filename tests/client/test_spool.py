"""The spool: what was handed over outlives its process and the server, and is stored once."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import func, select

from perennial.client import Client
from perennial.client.backlog import Memory
from perennial.client.segment import Segment
from perennial.client.spool import Spool
from service.settings import Settings
from service.store.session import open_store
from service.store.tables import Conversation, Message, Vote
from tests.client.stand_in import StandIn, answering, stored
from tests.service.process import free_port, serving

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
APP = """
import sys, time
from perennial.client import Client
client = Client(sys.argv[1], spool=sys.argv[2])
talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
for number in range(250):
    chat = client.conversation(talk, user="u", id=f"{sys.argv[3]}-{number}")
    client.vote(chat.messages[1], "up", user="u")
    print(chat.id, flush=True)
    time.sleep(0.02)
time.sleep(600)
"""


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


@contextmanager
def app(url: str, spool: Path, name: str) -> Iterator["subprocess.Popen[str]"]:
    """An app that hands a conversation and a vote over every some milliseconds, and prints the conversation's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", APP, url, str(spool), name], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until_killed(process: "subprocess.Popen[str]", count: int) -> list[str]:
    """The ids that it printed before kill -9."""
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(count)]
    process.kill()
    return [*said, *process.stdout.read().split()]


def test_nothing_is_lost_or_doubled_while_apps_and_server_are_killed(sqlite_settings: Settings, tmp_path: Path) -> None:
    port, spool = free_port(), tmp_path / "spool"
    url = f"http://127.0.0.1:{port}"
    with app(url, spool, "away") as first, app(url, spool, "beside") as second:
        handed = lines_until_killed(first, 60)  # the server was never there
        with serving(sqlite_settings, port) as (_, server):
            assert second.stdout is not None
            handed += [second.stdout.readline().strip() for _ in range(150)]
            server.send_signal(signal.SIGKILL)
            handed += lines_until_killed(second, 60)
    assert files(spool)
    with serving(sqlite_settings, port), Client(url, spool=spool) as client:
        deadline = time.monotonic() + 120
        while client.status().waiting and time.monotonic() < deadline:
            time.sleep(0.05)
    store = open_store(sqlite_settings)
    with store.read() as session:
        found = [session.exec(select(func.count()).select_from(table)).one() for table in (Conversation, Message, Vote)]
    store.close()
    assert len(set(handed)) == len(handed) >= 270
    # of the last call of each killed app the line may be written and not yet printed
    assert len(handed) <= found[0] <= len(handed) + 2
    assert found[1] == 2 * found[0] and len(handed) <= found[2] <= found[0]
    assert files(spool) == []


def test_files_are_their_owners_alone_and_go_when_all_is_delivered(tmp_path: Path) -> None:
    spool = tmp_path / "a" / "spool"
    client = Client(f"http://127.0.0.1:{free_port()}", spool=spool, exit_seconds=0.1)
    client.conversation(TALK, user="ana")
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.iterdir()} == {0o600}
    assert not client.close() and len(files(spool)) == 2
    with answering(lambda number, body: stored(body)) as server, Client(server.url, spool=spool) as client:
        deadline = time.monotonic() + 10
        while client.status().waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [len(row) for row in server.listed] == [1]
        assert all(path.stat().st_size == 0 for path in spool.glob("*.ndjson"))
    assert files(spool) == []


def test_delivered_text_leaves_the_disk_at_once(tmp_path: Path) -> None:
    with answering(lambda number, body: stored(body)) as server, Client(server.url, spool=tmp_path / "s") as client:
        client.conversation([{"role": "user", "content": "Zanzibarquartz"}], user="ana")
        assert client.flush(10)
        assert not any(b"Zanzibarquartz" in path.read_bytes() for path in (tmp_path / "s").iterdir())


def make_spool(folder: Path, most_bytes: int = 1 << 20) -> Spool:
    return Spool(folder, most_bytes, Memory(10, 1 << 20))


def test_half_a_line_and_a_damaged_one_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = make_spool(tmp_path / "s")
    good = b'{"kind":"vote","message":"m-%d","take_back":false,"body":{"value":"up","user":"u"}}\n'
    for line in (good % 1, b'{"kind":"vo\xff\n', b"[]\n", b'{"kind":"vote","body":{}}\n', good % 2):
        assert spool.append(line)
    [path] = (tmp_path / "s").glob("*.ndjson")
    with path.open("ab") as file:
        file.write(good[:30])
    spool.forget()  # as when the process is gone
    with answering(lambda number, body: stored(body)) as server, Client(server.url, spool=tmp_path / "s") as client:
        deadline = time.monotonic() + 10
        while client.status().waiting and time.monotonic() < deadline:
            time.sleep(0.01)
    assert sorted(path for _, path, _ in server.requests) == ["/v1/votes/m-1", "/v1/votes/m-2"]
    assert "3 damaged lines" in caplog.text


def test_a_spool_is_first_in_first_out_across_segments_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.client.spool.SEGMENT_BYTES", 100)
    spool = make_spool(tmp_path / "s", most_bytes=1000)
    lines = [b"%03d" % number + b"x" * 36 + b"\n" for number in range(30)]
    kept = [spool.append(line) for line in lines]
    assert kept == [True] * 25 + [False] * 5  # what waits is kept, what is new is not
    assert spool.waiting == 25 and len(files(tmp_path / "s")) > 10
    read: list[bytes] = []
    while (window := spool.window(4, 100)).lines:
        assert len(window.lines) <= 4
        read += window.lines
        spool.settle(window)
    assert read == lines[:25] and spool.waiting == 0
    assert spool.append(lines[0])
    spool.close()


@pytest.mark.parametrize("size", [1, 70_000, 400_000])
def test_long_lines_come_back_whole(tmp_path: Path, size: int) -> None:
    spool = make_spool(tmp_path / "s", most_bytes=8 << 20)
    lines = [bytes([97 + number]) * size + b"\n" for number in range(5)]
    assert all(spool.append(line) for line in lines)
    read: list[bytes] = []
    while (window := spool.window(100, 150_000)).lines:
        read += window.lines
        spool.settle(window)
    assert read == lines
    spool.close()


def test_what_is_delivered_in_part_goes_on_where_it_stood(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "s")
    lines = [b"%d\n" % number for number in range(10)]
    assert all(spool.append(line) for line in lines)
    spool.settle(spool.window(4, 1000))
    spool.forget()
    after = make_spool(tmp_path / "s")
    window = after.window(100, 1000)
    assert list(window.lines) == lines[4:] and window.own == 0
    after.close()


def test_a_segment_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    spool, beside = make_spool(tmp_path / "s"), make_spool(tmp_path / "s")
    assert spool.append(b"1\n")
    beside.look_around()
    assert beside.waiting == 0
    spool.close()
    beside.look_around()
    assert beside.waiting == 1
    [path] = (tmp_path / "s").glob("*.ndjson")
    assert Segment.take_over(path) is None
    beside.close()


def test_where_the_disk_refuses_memory_takes_what_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = make_spool(tmp_path / "s")
    (tmp_path / "s" / "lock").unlink()
    (tmp_path / "s" / "lock").mkdir()
    assert [spool.append(b"%d\n" % number) for number in range(12)] == [True] * 10 + [False] * 2
    assert caplog.text.count("cannot be written") == 1
    (tmp_path / "s" / "lock").rmdir()
    window = spool.window(100, 1000)
    spool.settle(window)
    assert len(window.lines) == 10 and spool.append(b"x\n") and files(tmp_path / "s")
    spool.close()


def test_a_folder_that_others_may_write_is_no_spool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o777)
    client = Client("http://127.0.0.1:9", spool=tmp_path, exit_seconds=0.1)
    assert "others may write" in caplog.text and client.conversation(TALK, user="ana").accepted
    client.close()
    assert list(tmp_path.iterdir()) == []


FORK = """
import os, sys, time
from perennial.client import Client
client = Client(sys.argv[1], spool=sys.argv[2] or None)
talk = [{"role": "user", "content": "Hi"}]
client.conversation(talk, user="u", id="parent-0")
client.flush(10)
children = []
for number in range(3):
    client.conversation(talk, user="u", id=f"before-{number}")
    if (pid := os.fork()) == 0:
        client.conversation(talk, user="u", id=f"child-{number}")
        assert client.flush(10)
        os._exit(0)
    children.append(pid)
client.conversation(talk, user="u", id="parent-1")
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
"""
EXPECTED = ["before-0", "before-1", "before-2", "child-0", "child-1", "child-2", "parent-0", "parent-1"]


def ids_of(server: StandIn) -> list[str]:
    return sorted(id for row in server.listed for id in row)


@pytest.mark.parametrize("kept", ["memory", "spool"])
def test_a_fork_doubles_nothing_and_the_end_of_the_program_flushes(tmp_path: Path, kept: str) -> None:
    spool = str(tmp_path / "s") if kept == "spool" else ""
    with answering(lambda number, body: stored(body)) as server:
        done = subprocess.run(
            [sys.executable, "-c", FORK, server.url, spool], env=os.environ, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert ids_of(server) == EXPECTED
    assert done.stderr == ""


def test_the_end_of_a_program_waits_a_bounded_time_and_keeps_the_rest(tmp_path: Path) -> None:
    program = (
        "import sys; from perennial.client import Client; client = Client(sys.argv[1], spool=sys.argv[2], exit_seconds=0.5)\n"
        "for number in range(50): client.conversation([{'role': 'user', 'content': 'Hi'}], user='u')"
    )
    started = time.monotonic()
    command = [sys.executable, "-c", program, f"http://127.0.0.1:{free_port()}", str(tmp_path / "s")]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and time.monotonic() - started < 30
    assert "50 stay in the spool" in done.stderr
    [path] = (tmp_path / "s").glob("*.ndjson")
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 50
