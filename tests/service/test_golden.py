"""A hosted model's answers are recorded once, from a local server that plays the provider."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.errors import Busy, DataError, InputError, Refused
from pipelines.suites.load import load_suite
from service.cli import app
from service.golden import Host, read_prompts, record_answers
from tests.service.proxy.scripted import Scripted, completion, scripted, whole

Perennial = Callable[..., Result]


@pytest.fixture
def provider() -> Iterator[Scripted]:
    """Answers each question with itself; says no to the question `refuse`, and is silent once told to be."""
    with scripted() as server:
        server.script, server.keeps = _answer, True
        yield server


def _answer(request: bytes, connection: socket.socket) -> None:
    asked = json.loads(request.partition(b"\r\n\r\n")[2])["messages"][-1]["content"]
    text = "I'm sorry, but I can't help with that." if "refuse" in asked else f"You asked: {asked}"
    connection.sendall(whole(completion(text, "c-1")))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    turns = [("system", "Be brief."), ("user", "Where is it?"), ("assistant", "There.")]
    rows = [{"prompt": f"Question {n}, refuse" if n == 0 else f"Question {n}"} for n in range(9)]
    trained = {"messages": [{"role": role, "content": text} for role, text in turns]}
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*rows, rows[0], trained]))
    return path


@pytest.fixture
def perennial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Perennial:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("API_KEY", "key-of-the-provider")
    return lambda *words: CliRunner().invoke(app, list(words))


def test_answers_become_a_golden_suite_with_the_chat_before_them(
    perennial: Perennial, provider: Scripted, prompts: Path, tmp_path: Path
) -> None:
    words = ("suites", "record", "old", "--ask", provider.url, "--model", "ft:m-1", "--prompts", str(prompts))
    assert "10 answers of" in (said := perennial(*words).output) and "1 refuse" in said
    suite = load_suite(tmp_path / "home" / "suites" / "old")
    assert (suite.scorer, suite.metric, sum(map(len, suite.items.values()))) == ("golden", "agreement", 10)
    [trained] = [item for part in suite.items.values() for item in part if item.fields.get("before")]
    assert (
        trained.fields["before"] == [{"role": "system", "content": "Be brief."}]
        and trained.answer == "You asked: Where is it?"
    )
    assert provider.head()["authorization"] == "Bearer key-of-the-provider"
    assert (
        json.loads(provider.body())["model"] == "ft:m-1"
        and suite.metadata["source"] == "answers of ft:m-1 at 127.0.0.1"
    )
    assert "key-of-the-provider" not in "".join(path.read_text() for path in suite.path.parent.iterdir())
    assert sorted(path.name for path in suite.path.parent.parent.iterdir()) == ["old"]


def test_an_interrupted_recording_asks_only_for_what_is_missing(
    provider: Scripted, prompts: Path, tmp_path: Path
) -> None:
    def busy_after_four(request: bytes, connection: socket.socket) -> None:
        if len(provider.asked) > 4:
            connection.sendall(whole({"error": "slow down"}, "Retry-After: 7", status="429 Too Many Requests"))
        else:
            _answer(request, connection)

    host, chats, kept = Host(provider.url, "m", None), read_prompts(prompts), tmp_path / "kept.jsonl"
    provider.script = busy_after_four
    waits: list[float] = []
    with pytest.raises(Busy, match="did not answer in 6 tries .*slow down.*it goes on"):
        record_answers(host, chats, kept, lambda *_: None, waits.append)
    assert waits == [7.0] * 6
    with kept.open("a") as file:
        file.write('{"key": "cut o')
    provider.script = _answer
    provider.asked.clear()
    answers = record_answers(host, chats, kept, lambda *_: None, waits.append)
    assert len(provider.asked) == 6 and len(answers) == 10 and answers[1] == "You asked: Question 1"
    provider.asked.clear()
    assert record_answers(host, chats, kept, lambda *_: None) == answers and not provider.asked


def test_what_the_host_says_no_to_is_repeated_to_the_person(provider: Scripted, prompts: Path, tmp_path: Path) -> None:
    host, chats = Host(provider.url, "gone", None), read_prompts(prompts)
    provider.says(whole({"error": "no such model"}, status="404 Not Found"))
    with pytest.raises(Refused, match="'gone': status 404: .*no such model"):
        record_answers(host, chats, tmp_path / "kept", lambda *_: None)
    provider.says(whole({"object": "list"}))
    with pytest.raises(Refused, match="something else than a chat completion"):
        record_answers(host, chats, tmp_path / "kept", lambda *_: None)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"text": "hi"}, "line 1 is no prompt"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "line 1 is no prompt"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "line 1 is no prompt"),
        ({"prompt": "alone"}, "holds 1 prompts"),
    ],
    ids=["another key", "no question", "an image", "one alone"],
)
def test_a_line_that_is_no_prompt_is_named(tmp_path: Path, row: object, sentence: str) -> None:
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=sentence):
        read_prompts(tmp_path / "prompts.jsonl")


@pytest.mark.parametrize("address", ["api.example.com", "https://me:key@host/v1", "https://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="no address of an API"):
        Host(address, "m", None).client()


def test_a_key_is_never_a_word_of_the_command(perennial: Perennial, prompts: Path) -> None:
    words = ("suites", "record", "old", "--ask", "http://127.0.0.1:1/v1", "--model", "m", "--prompts", str(prompts))
    assert "does not belong on the command line" in str(perennial(*words, "--key", "sk-1").exception)
