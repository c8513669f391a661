"""The engine as its clients see it: a real process behind a real socket."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.gguf.convert import convert
from pipelines.gguf.protocol import socket_path
from pipelines.isolated import child_environment
from pipelines.records import ServedForm
from tests.pipelines.gguf.conftest import adapter_form, merged_form

HELLO = {"messages": [{"role": "user", "content": "Hello 안녕"}], "max_tokens": 12}


class Running:
    """An engine process and a client of it."""

    def __init__(self, home: Path) -> None:
        self.path = socket_path(home)
        command = [sys.executable, "-P", "-m", "pipelines.gguf.engine", "--socket", str(self.path), "--context", "900"]
        self.process = subprocess.Popen(command, env=child_environment(), stderr=subprocess.PIPE)
        transport = httpx.HTTPTransport(uds=str(self.path))
        self.client = httpx.Client(transport=transport, base_url="http://engine", timeout=120)
        self.wait()

    def wait(self) -> None:
        for _ in range(1200):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.path)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise TimeoutError("the engine did not start")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/status").json()
        return found

    def load(self, model: str, form: ServedForm) -> httpx.Response:
        return self.client.post("/load", json={"model": model, "form": form.model_dump()})

    def chat(self, **changes: Any) -> list[dict[str, Any]]:
        answer = self.client.post("/chat", json=HELLO | changes)
        return [json.loads(line) for line in answer.text.splitlines()]

    def stop(self) -> int:
        self.client.close()
        self.process.terminate()
        code = self.process.wait(60)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("home"))
    yield running
    running.stop()


@pytest.fixture
def serving(engine: Running, q4_gguf: Path) -> Running:
    """The engine with the random model loaded as m1."""
    assert engine.load("m1", merged_form(q4_gguf)).status_code == 200
    return engine


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["event"] == "text")


def test_an_engine_without_a_model_says_so_and_is_busy(tmp_path: Path) -> None:
    running = Running(tmp_path)
    try:
        assert running.status()["state"] == "empty"
        answer = running.client.post("/chat", json=HELLO)
        assert answer.status_code == 503 and answer.json()["error"] == "Busy"
        assert stat.S_IMODE(running.path.stat().st_mode) == 0o600
    finally:
        running.stop()
    assert not running.path.exists()


def test_an_answer_is_a_start_texts_and_an_end(serving: Running, q4_gguf: Path) -> None:
    events = serving.chat()
    assert events[0] == {
        "event": "start",
        "model": "m1",
        "sha256": merged_form(q4_gguf).sha256,
        "prompt_tokens": events[0]["prompt_tokens"],
    }
    assert {event["event"] for event in events[1:-1]} == {"text"}
    assert events[-1]["reason"] in ("stop", "length") and events[-1]["completion_tokens"] <= 12
    assert text_of(serving.chat()) == text_of(events)


def test_loading_what_is_served_changes_nothing(serving: Running, q4_gguf: Path) -> None:
    before = serving.status()
    assert serving.load("m1", merged_form(q4_gguf)).json() == before
    assert before["state"] == "ready" and before["model"] == "m1" and before["pid"] == serving.process.pid


def test_a_form_that_cannot_be_loaded_leaves_the_old_one_serving(
    serving: Running, base_gguf: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(base_gguf.read_bytes()[:-100_000])
    wrong_sum = merged_form(base_gguf).model_copy(update={"sha256": "0" * 64})
    for form, words in ((merged_form(changed), "cannot load"), (wrong_sum, "has changed")):
        answer = serving.load("m2", form)
        assert answer.status_code == 500 and words in answer.json()["message"]
        assert answer.json()["error"] == "GGUFError"
    assert serving.status()["model"] == "m1" and text_of(serving.chat())


def test_a_live_stream_survives_a_swap_and_the_old_model_is_freed(serving: Running, tuned_gguf: Path) -> None:
    whole = text_of(serving.chat(max_tokens=700))
    seen, models = "", []
    with serving.client.stream("POST", "/chat", json=HELLO | {"max_tokens": 700}) as stream:
        for number, line in enumerate(stream.iter_lines()):
            event = json.loads(line)
            seen += event.get("text", "")
            if number == 3:
                assert serving.load("m2", merged_form(tuned_gguf)).status_code == 200
                models.append(serving.chat()[0]["model"])
    assert seen == whole and event["event"] == "end" and models == ["m2"]
    wait_until(lambda: serving.status()["retiring"] == 0)


def test_swaps_under_load_lose_no_chat(serving: Running, q4_gguf: Path, tuned_gguf: Path) -> None:
    answers: list[list[dict[str, Any]]] = []
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            answers.append(serving.chat(max_tokens=8))

    talkers = [threading.Thread(target=talk) for _ in range(6)]
    for talker in talkers:
        talker.start()
    for number in range(6):
        path = (tuned_gguf, q4_gguf)[number % 2]
        assert serving.load(f"swap-{number}", merged_form(path)).status_code == 200
        wait_until(lambda name=f"swap-{number}": any(events[0].get("model") == name for events in list(answers)))
    stop.set()
    for talker in talkers:
        talker.join()
    assert len(answers) > 6 and all(events[-1]["event"] == "end" for events in answers)
    assert {f"swap-{number}" for number in range(6)} <= {events[0]["model"] for events in answers}


def test_an_adapter_form_is_served(engine: Running, base_gguf: Path, adapter_gguf: Path) -> None:
    assert engine.load("a1", adapter_form(base_gguf, adapter_gguf)).status_code == 200
    tuned = text_of(engine.chat())
    assert engine.load("b1", merged_form(base_gguf)).status_code == 200
    assert text_of(engine.chat()) != tuned


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        (HELLO | {"temperature": 9}, "temperature"),
        (HELLO | {"mirostat": 4}, "mirostat"),
        (HELLO | {"max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "가 " * 2000}]}, "reads at most 900"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(serving: Running, body: dict[str, Any], words: str) -> None:
    answer = serving.client.post("/chat", json=body)
    assert answer.status_code == 400 and answer.json()["error"] == "InputError"
    assert words in answer.json()["message"]


def test_a_chat_that_the_models_template_refuses_is_a_bad_request(
    serving: Running, model: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    template = changed / "chat_template.jinja"
    template.write_text(
        "{{ raise_exception('no system turns') if messages[0]['role'] == 'system' }}" + template.read_text()
    )
    form = merged_form(convert(changed, tmp_path / "strict.gguf").path)
    assert serving.load("strict", form).status_code == 200 and text_of(serving.chat())
    answer = serving.client.post("/chat", json={"messages": [{"role": "system", "content": "x"}]})
    assert answer.status_code == 400 and "no system turns" in answer.json()["message"]


def test_a_client_that_leaves_cancels_its_chat(serving: Running) -> None:
    with serving.client.stream("POST", "/chat", json=HELLO | {"max_tokens": 800, "temperature": 3.0}) as stream:
        next(stream.iter_lines())
    wait_until(lambda: serving.status()["active"] == 0)


def test_tokens_of_a_text_are_counted(serving: Running) -> None:
    one, two = (serving.client.post("/tokens", json={"text": "abc " * n}).json()["tokens"] for n in (1, 2))
    assert 0 < one < two


def test_a_second_engine_on_the_same_socket_gives_up_with_a_sentence(engine: Running) -> None:
    command = [sys.executable, "-P", "-m", "pipelines.gguf.engine", "--socket", str(engine.path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "another engine already listens" in done.stderr
    assert engine.status()["pid"] == engine.process.pid


def test_a_killed_engines_socket_is_taken_over(tmp_path: Path, q4_gguf: Path) -> None:
    first = Running(tmp_path)
    os.kill(first.process.pid, signal.SIGKILL)
    first.stop()
    assert first.path.exists()
    second = Running(tmp_path)
    try:
        assert second.load("m1", merged_form(q4_gguf)).status_code == 200
        assert text_of(second.chat())
    finally:
        assert second.stop() == 0
