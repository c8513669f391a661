"""`perennial up` as people start it: at a terminal, in the background, twice, on a port that is taken."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import openai
import pytest

from pipelines.errors import InputError
from service.choices import keep_names
from service.cli.names import settle_names
from service.demo.processes import free_port
from service.settings import Settings, load_settings

PROJECT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 120.0
UP = f"{sys.executable} -m service.cli up"


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    return (
        kept
        | {"PERENNIAL_HOME": str(home), "PERENNIAL_PORT": str(port), "PYTHONPATH": str(PROJECT), "TERM": "dumb"}
        | more
    )


class Terminal:
    """A command at a terminal of its own; what it shows is kept in `text`."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.text = self._unread = ""
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(PROJECT)
            os.execvpe(command[0], command, environment)

    def wait_for(self, pattern: str) -> None:
        """Read until the pattern is shown, behind what the last call waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(pattern, self._unread)):
            assert time.monotonic() < deadline, f"{pattern!r} was not shown:\n{self.text}"
            if select.select([self._end], [], [], 0.2)[0]:
                piece = os.read(self._end, 65536).decode(errors="replace")
                self._unread, self.text = self._unread + piece, self.text + piece
        self._unread = self._unread[found.end() :]

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def close(self) -> int:
        """Ctrl-C, and the status with which it ends."""
        self.type("\x03")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(OSError):  # the other end is closed
                if select.select([self._end], [], [], 0.05)[0]:
                    os.read(self._end, 65536)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self._end)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)


def test_the_first_start_at_a_terminal_asks_how_names_are_found_and_keeps_the_answer(tmp_path: Path) -> None:
    port = free_port(0)
    first = Terminal([*UP.split()], environment(tmp_path, port))
    first.wait_for("rules, a model, or later")
    first.type("no_such_model\n")
    first.wait_for("neither an installed spaCy package nor a folder")
    first.wait_for("rules, a model, or later")
    first.type("rules\n")
    first.wait_for(f"Perennial is up: http://127.0.0.1:{port}")
    assert first.close() == 0
    assert load_settings({"PERENNIAL_HOME": str(tmp_path)}).allow_degraded_names
    second = Terminal([*UP.split()], environment(tmp_path, port))
    second.wait_for("Perennial is up")
    assert second.close() == 0 and "rules, a model, or later" not in second.text


def test_in_the_background_of_a_terminal_nothing_is_asked_and_the_list_says_what_to_do(tmp_path: Path) -> None:
    port = free_port(0)
    job = Terminal(["bash", "-c", f"set -m; {UP} & echo job:$!: ; wait"], environment(tmp_path, port))
    job.wait_for(r"job:\d+:")
    started = int(re.search(r"job:(\d+):", job.text)[1])  # type: ignore[index]
    try:
        job.wait_for("--names rules")
        assert "Perennial is up" in job.text and "rules, a model, or later" not in job.text
    finally:
        os.kill(started, signal.SIGTERM)
        job.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Path, "subprocess.Popen[bytes]"]]:
    """`perennial up --names rules` in a fresh home: its address, home and process."""
    port, log = free_port(0), tmp_path / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*UP.split(), "--names", "rules"], cwd=PROJECT, env=environment(tmp_path / "home", port),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}", tmp_path / "home", process
    finally:
        process.terminate()
        process.wait(60)


def test_a_fresh_home_takes_conversations_at_once_and_answers_chat_by_itself(
    service: tuple[str, Path, "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    url, home, process = service
    row = {"id": "c-1", "user": "ana", "messages": [{"role": "user", "content": "Hi"}]}
    stored = until_it_works(lambda: httpx.post(f"{url}/v1/conversations", json=row, trust_env=False), process)
    # 200: the socket takes requests before the web process does, so the first try may have given up waiting
    assert stored.status_code in (200, 201) and not (home / "champion").exists()
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        asked = {"model": "champion", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 8}
        reply = until_it_works(lambda: client.chat.completions.create(**asked), process)  # type: ignore[call-overload]
        assert reply.model.startswith("tiny-origin-") and client.models.list().data[0].id == "champion"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "Chat is answered by tiny-origin-" not in (told := (tmp_path / "up.log").read_text()):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    assert "Making the first champion from data/recipes/tiny.yaml" in told
    for command in (UP, UP.replace(" up", " serve")):
        other = environment(tmp_path / "other", int(url.rsplit(":")[-1]))
        taken = subprocess.run(command.split(), cwd=PROJECT, env=other, capture_output=True, text=True)
        assert taken.returncode == 1 and "listens on 127.0.0.1" in taken.stderr and "PERENNIAL_PORT=" in taken.stderr


def test_a_first_champion_that_cannot_be_made_leaves_the_rest_running(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "origin"], cwd=PROJECT, capture_output=True, text=True,
        env=environment(tmp_path, 1, PERENNIAL_RECIPE="nowhere.yaml"),
    )  # fmt: skip
    assert done.returncode == 1 and "could not be made: cannot read the recipe" in done.stdout


def test_the_answer_is_kept_beside_other_settings_and_can_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    (tmp_path / "settings.env").write_text("# ours\nPERENNIAL_RETENTION_DAYS=5\n")
    assert keep_names(load_settings(), "rules").allow_degraded_names
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "meta.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    kept = keep_names(load_settings(), "model")
    assert (kept.ner_model, kept.allow_degraded_names, kept.retention_days) == (str(tmp_path / "model"), False, 5)
    assert not keep_names(load_settings(), "later").says_how_to_find_names
    assert (tmp_path / "settings.env").read_text() == "# ours\nPERENNIAL_RETENTION_DAYS=5\n"
    assert (tmp_path / "settings.env").stat().st_mode & 0o777 == 0o600


def test_an_answer_against_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_NER_MODEL", "some_model")
    with pytest.raises(InputError, match="PERENNIAL_NER_MODEL is set in the environment"):
        keep_names(load_settings(), "rules")


def test_without_a_terminal_nothing_is_asked(sqlite_settings: Settings) -> None:
    from service.cli.home import console

    assert settle_names(sqlite_settings, None, console) is sqlite_settings


@pytest.mark.parametrize("line", ["PERENNIAL_HOME=/elsewhere", "PERENNIAL_PROT=1", "nonsense"])
def test_a_line_of_the_settings_file_that_is_no_setting_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "settings.env").write_text(f"PERENNIAL_PORT=9\n{line}\n")
    with pytest.raises(InputError, match=f"line 2: '{line}' is no setting"):
        load_settings({"PERENNIAL_HOME": str(tmp_path)})


def test_the_environment_goes_before_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "settings.env").write_text("PERENNIAL_PORT=9\nPERENNIAL_DATABASE_URL=sqlite:////x.db\n")
    found = load_settings({"PERENNIAL_HOME": str(tmp_path), "PERENNIAL_PORT": "10"})
    assert (found.port, found.database_url) == (10, "sqlite:////x.db")


def until_it_works(ask, process: "subprocess.Popen[bytes]"):  # type: ignore[no-untyped-def]
    """What `ask` gives once it does not fail any more."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except (httpx.TransportError, openai.APIConnectionError, openai.InternalServerError):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
