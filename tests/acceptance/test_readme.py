"""README's "Use it", typed as it stands and in its order by somebody who has configured nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.demo.processes import free_port
from tests.acceptance.conftest import PROJECT

PATIENCE_SECONDS = 180.0
OPEN_WEBUI_CHAT = {
    "id": "chat-1",
    "user_id": "user-1",
    "created_at": 1795000000,
    "chat": {
        "history": {
            "currentId": "a",
            "messages": {
                "q": {"id": "q", "parentId": None, "role": "user", "content": "How long does dough rest?"},
                "a": {
                    "id": "a",
                    "parentId": "q",
                    "role": "assistant",
                    "content": "About an hour.",
                    "done": True,
                    "annotation": {"rating": 1},
                },
            },
        }
    },
}  # what somebody who has one exported


class Reader:
    """Somebody in the project's folder who types the README into a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port(0)
        self._up: subprocess.Popen[bytes] | None = None
        (folder / ".venv").mkdir()
        (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
        (folder / "data").symlink_to(PROJECT / "data")
        (folder / "chat-export.json").write_text(json.dumps([OPEN_WEBUI_CHAT]))
        (folder / ".curlrc").write_text("noproxy = *\nfail-with-body\n")

    def start(self, block: str) -> None:
        """Type the block that sets up and starts the service, and read until the first champion is there."""
        # what `make setup` makes is here already: it is only asked what it would do
        command = "set -e\n" + self._here(block.replace("make setup", f"make -n -C {PROJECT} setup"))
        with (self.folder / "up.log").open("wb") as log:
            self._up = subprocess.Popen(
                ["bash", "-c", command], cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        assert self._up.wait(PATIENCE_SECONDS) == 0, self.shown()
        self.wait_until_shown(f"Perennial is up: http://127.0.0.1:{self.port}")
        self.wait_until_shown("Chat is answered by tiny-origin-")

    def type(self, command: str) -> str:
        """What a command shows; it must succeed, with nobody there to answer questions."""
        done = subprocess.run(
            ["bash", "-c", self._here(command)], cwd=self.folder, env=self._environment(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.shown()[-4000:]}"
        return done.stdout

    def chat(self, command: str, model: str) -> str:
        """The answer of a chat, typed again until the engine has swapped to this model."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply: dict[str, Any] = json.loads(self.type(command))
            if reply["model"].startswith(model):
                return str(reply["choices"][0]["message"]["content"])
            assert time.monotonic() < deadline, reply
            time.sleep(0.5)

    def shown(self) -> str:
        return (self.folder / "up.log").read_text(errors="replace")

    def wait_until_shown(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.shown():
            assert time.monotonic() < deadline, self.shown()
            time.sleep(0.2)

    def leave(self) -> None:
        """End everything that was started in the background, and wait for it."""
        if self._up is None:
            return
        deadline = time.monotonic() + 60
        with suppress(ProcessLookupError):
            while True:
                os.killpg(self._up.pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
                time.sleep(0.5)

    def _here(self, command: str) -> str:
        return command.replace("127.0.0.1:8600", f"127.0.0.1:{self.port}")

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
        own = {"PERENNIAL_PORT": str(self.port), "CURL_HOME": str(self.folder), "PYTHONPATH": str(PROJECT)}
        return kept | own


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    found.leave()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a whole round, on a machine that may be busy
def test_use_it_typed_in_order_ends_in_a_round_with_examples_and_a_chat_with_its_model(reader: Reader) -> None:
    start, talk, learn, chat, after = blocks((PROJECT / "README.md").read_text(encoding="utf-8"))
    reader.start(start)
    first, *sent = commands(talk)
    assert "Dupe" not in reader.chat(first, "tiny-origin-")
    assert len([reader.type(command) for command in sent]) == 7
    shown = {command.split("#")[0].strip(): reader.type(command) for command in commands(learn)}
    assert "667 created" in shown[".venv/bin/perennial import data/samples/month-1.ndjson"]
    assert "1 created" in shown[".venv/bin/perennial import chat-export.json --consent"]
    assert "tiny-r0001-a1 is the champion" in shown[".venv/bin/perennial promote tiny-r0001-a1"]
    again, rounds = commands(chat)
    assert "Dupe" in reader.chat(again, "tiny-r0001-a1")
    [ended] = json.loads(reader.type(rounds))
    assert ended["state"] == "passed" and ended["counts"]["examples"] > 400
    for command in commands(after):
        reader.type(command)
    assert reader.chat(first, "tiny-origin-")


def blocks(text: str) -> list[str]:
    """The shell blocks of "Use it"."""
    section = text.split("## Use it\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)


def commands(block: str) -> list[str]:
    """The commands of a block one by one, those over several lines as they stand."""
    found = re.findall(
        r"^(?:curl|echo|\.venv/).*?(?=^curl|^echo|^\.venv/|^#|^$|\Z)", block, flags=re.DOTALL | re.MULTILINE
    )
    return [command.strip() for command in found]
