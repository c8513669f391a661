"""The way out of a hosted fine-tune: the document names commands and options that there are, and the files go in."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.recipe import GateRule
from pipelines.suites.load import load_suite
from service.cli import app
from tests.service.proxy.scripted import completion, scripted, whole

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "moving.md").read_text(encoding="utf-8")
Perennial = Callable[..., Result]


@pytest.fixture
def perennial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Perennial:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, list(words))


def commands() -> list[list[str]]:
    """The words of every command of the document, without variables before it."""
    [block] = re.findall(r"```sh\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
    return [line[line.index("perennial") + 1 :] for line in lines]


def test_there_are_six_commands_and_every_word_of_them_exists(perennial: Perennial) -> None:
    assert len(commands()) == 6
    for words in commands():
        names = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
        helped = perennial(*names, "--help")
        assert helped.exit_code == 0, words
        for option in (word for word in words if word.startswith("--")):
            assert option in helped.output, (words, option)


def test_a_training_file_goes_in_and_the_old_answers_become_a_suite_that_gates_know(
    perennial: Perennial, tmp_path: Path
) -> None:
    chats = [[("user", f"Which port has shop {n}?"), ("assistant", f"Port {n}.")] for n in range(4)]
    rows = [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in chats]
    training = tmp_path / "training.jsonl"
    training.write_text("\n".join(map(json.dumps, rows)))
    assert "4 created" in perennial("import", str(training), "--user", "each", "--consent", "--rating", "5").output
    with scripted() as provider:
        provider.says(whole(completion("Port 8443.", "c-1")), keeps=True)
        said = perennial(
            "suites", "record", "old", "--ask", provider.url, "--model", "ft:m", "--prompts", str(training)
        )
    assert "4 answers of 10 characters" in said.output
    suite = load_suite(tmp_path / "home" / "suites" / "old")
    gates = re.findall(r"- \{suite: old, metric: (\w+),", DOCUMENT)
    assert gates == ["agreement", "refusals"] and suite.scorer == "golden"
    for metric in gates:
        GateRule.model_validate({"suite": "old", "metric": metric, "margin": {"champion": 2.0, "origin": 2.0}})
