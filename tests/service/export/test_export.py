"""`perennial export`: clean, with consent, private, never over a file, and noted in the audit."""

import json
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from typer.testing import CliRunner, Result

from pipelines.errors import InputError, MissingDependency
from service.cli import app
from service.export.files import write_rows
from service.ingest.importers.items import Options
from service.ingest.importers.reading import Mark, find_work, read_work
from service.ingest.importers.table import FORMATS
from service.ingest.wire import ConversationIn
from service.private_files import private_files
from service.settings import Settings
from service.store import tables
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.factories import compare, conversation, correct, put, tree, vote
from tests.service.curating import curate_all
from tests.service.rated import add_person, add_rated

Perennial = Callable[..., Result]


@pytest.fixture
def perennial(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Perennial:
    """Runs a command in a home of its own."""
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))
    monkeypatch.setenv("PERENNIAL_ALLOW_DEGRADED_NAMES", "1")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


@pytest.fixture
def home(sqlite_settings: Settings) -> Iterator[tuple[Store, Vault]]:
    store = open_store(sqlite_settings)
    yield store, open_vault(sqlite_settings, store)
    store.close()


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    parquet = pytest.importorskip("pyarrow.parquet")
    found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return found


def test_only_clean_text_of_those_who_consented_comes_out(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path
) -> None:
    store, vault = home
    texts = ("Write to kim@naver.com, please.", "I did.")
    put(
        store,
        vault,
        conversation(*texts, consent=True, satisfaction=5),
        conversation("Not this one?", "No.", consent=False, satisfaction=5),
        conversation("Nor this one?", "No.", satisfaction=5),
        conversation("Nobody rated it?", "Nobody.", consent=True),
    )
    perennial("curate")  # as people type it; the others curate in this process

    told = perennial("export", "examples", tmp_path / "out.jsonl")

    [row] = rows(tmp_path / "out.jsonl")
    assert told.exit_code == 0 and "1 rows in" in told.output
    assert "2 no_consent: no consent" in told.output and "1 unrated: nobody" in told.output
    asked, answer = row["messages"]
    assert "kim@" not in asked["content"] and asked["content"].startswith("Write to ")
    assert answer == {"role": "assistant", "content": "I did."}
    assert row["part"] in ("train", "dev", "heldout")
    with store.read() as session:
        [noted] = session.exec(select(tables.Audit).where(tables.Audit.action == "export")).all()
    assert (noted.subject, noted.detail["rows"], noted.detail["shape"]) == ("examples", 1, "trl")


def test_unrated_chats_come_along_when_asked_for(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path
) -> None:
    person = add_person(*home)
    add_rated(*home, person, "q", "a", satisfaction=None)
    add_rated(*home, person, "q", "bad", satisfaction=None, votes={1: [-1]})

    perennial("export", "examples", tmp_path / "out.jsonl", "--unrated")

    assert [row["messages"][-1]["content"] for row in rows(tmp_path / "out.jsonl")] == ["a"]


def test_a_bad_answer_is_marked_or_cut_off_and_said(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path
) -> None:
    add_rated(*home, add_person(*home), "q", "a", "and?", "bad", "then?", "good", votes={3: [-1]})

    told = perennial("export", "examples", tmp_path / "trl.jsonl")
    perennial("export", "examples", tmp_path / "openai.jsonl", "--shape", "openai")

    assert [turn["content"] for turn in rows(tmp_path / "trl.jsonl")[0]["messages"]] == ["q", "a"]
    assert "1 good answers behind one that must not be learnt are not in it" in told.output
    weights = [turn.get("weight") for turn in rows(tmp_path / "openai.jsonl")[0]["messages"]]
    assert weights == [None, 1, None, 0, None, 1]


def test_one_part_can_be_taken_alone(perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path) -> None:
    person = add_person(*home)
    for number in range(60):
        add_rated(*home, person, f"q{number}", "a")

    perennial("export", "examples", tmp_path / "all.jsonl")
    perennial("export", "examples", tmp_path / "heldout.jsonl", "--part", "heldout")

    every, heldout = rows(tmp_path / "all.jsonl"), rows(tmp_path / "heldout.jsonl")
    assert len(every) == 60 and heldout == [row for row in every if row["part"] == "heldout"] != []


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("shape", ["trl", "openai", "sharegpt"])
def test_votes_corrections_and_comparisons_come_out_as_pairs(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path, shape: str, suffix: str
) -> None:
    compared, voted, corrected = (tree(consent=True) for _ in range(3))
    put(*home, compared, voted, corrected)
    question, first, second = (message["id"] for message in compared["messages"])
    compare(*home, second, first)
    vote(*home, voted["messages"][1]["id"], -1)
    vote(*home, voted["messages"][2]["id"], 1)
    correct(*home, corrected["messages"][1]["id"], "It is Lund, since May.")
    curate_all(*home)

    told = perennial("export", "preferences", tmp_path / f"out{suffix}", "--shape", shape)

    assert told.exit_code == 0, told.output
    names = {"openai": ("preferred_output", "non_preferred_output"), "trl": ("chosen", "rejected")}
    if shape == "sharegpt":
        found = {(row["chosen"]["value"], row["rejected"]["value"]) for row in rows(tmp_path / f"out{suffix}")}
    else:
        sides = names[shape]
        found = {(row[sides[0]][0]["content"], row[sides[1]][0]["content"]) for row in rows(tmp_path / f"out{suffix}")}
    assert ("It is Osk.", "It is Tarsin.") in found
    assert ("It is Lund, since May.", "It is Tarsin.") in found


def test_an_answer_without_a_counterpart_is_written_as_a_labelled_one(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path
) -> None:
    add_rated(*home, add_person(*home), "q", "bad", satisfaction=None, votes={1: [-1]})

    pairs = perennial("export", "preferences", tmp_path / "pairs.jsonl")
    perennial("export", "preferences", tmp_path / "labelled.jsonl", "--kind", "labelled")
    refused = perennial("export", "preferences", tmp_path / "no.jsonl", "--kind", "labelled", "--shape", "openai")

    assert "1 more are not pairs: --kind labelled writes them" in pairs.output
    [row] = rows(tmp_path / "labelled.jsonl")
    assert (row["completion"], row["label"]) == ([{"role": "assistant", "content": "bad"}], False)
    assert isinstance(refused.exception, InputError) and not (tmp_path / "no.jsonl").exists()


def test_a_parquet_file_holds_what_the_lines_hold(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path
) -> None:
    person = add_person(*home)
    add_rated(*home, person, "q", "a")
    add_rated(*home, person, "q", "a", "and?", "b")

    for suffix in (".jsonl", ".parquet"):
        perennial("export", "examples", tmp_path / f"out{suffix}")

    flat = [
        {**row, "messages": [{k: v for k, v in turn.items() if v is not None} for turn in row["messages"]]}
        for row in rows(tmp_path / "out.parquet")
    ]
    assert [{k: v for k, v in row.items() if v is not None} for row in flat] == rows(tmp_path / "out.jsonl")


TOOL_CHAT = [
    {"role": "user", "content": "How warm is the oven in zone two?"},
    {
        "role": "assistant",
        "content": None,
        "reasoning": "Look at the oven.",
        "tool_calls": [{"id": "k-1", "type": "function", "function": {"name": "oven", "arguments": {"zone": 2}}}],
    },
    {"role": "tool", "tool_call_id": "k-1", "content": "220"},
    {"role": "assistant", "content": "It is 220 degrees warm."},
]
TOOL = {"name": "oven", "description": "Its heat.", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("shape", ["trl", "openai", "sharegpt"])
def test_what_went_out_comes_in_again_with_its_tools_and_reasoning(
    perennial: Perennial, home: tuple[Store, Vault], tmp_path: Path, shape: str, suffix: str
) -> None:
    put(*home, conversation(messages=TOOL_CHAT, tools=[TOOL], consent=True, satisfaction=5))
    curate_all(*home)
    told = perennial("export", "examples", tmp_path / f"out{suffix}", "--shape", shape)
    assert told.exit_code == 0 and "1 rows in" in told.output, told.output

    options = Options(app="default", user="u-1")
    work = find_work(tmp_path / f"out{suffix}", FORMATS, tmp_path)
    [chat] = [thing for _, _, thing in read_work(work, options, tmp_path, Mark(0, 0))]

    assert isinstance(chat, ConversationIn)
    asked, called, answered, said = chat.messages
    assert asked.content == TOOL_CHAT[0]["content"] and called.reasoning == "Look at the oven."
    assert [(call.name, json.loads(call.arguments)) for call in called.tool_calls] == [("oven", {"zone": 2})]
    assert (answered.role, answered.content, said.content) == ("tool", "220", TOOL_CHAT[3]["content"])
    assert [tool.name for tool in chat.tools] == ["oven"]


def test_a_file_that_is_there_stays_as_it_is(perennial: Perennial, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("mine")
    refused = perennial("export", "examples", tmp_path / "mine.jsonl")
    assert "exists already and stays as it is" in str(refused.exception)
    assert (tmp_path / "mine.jsonl").read_text() == "mine"
    assert "must end in .jsonl or .parquet" in str(perennial("export", "examples", tmp_path / "out.csv").exception)


def test_the_file_is_its_users_alone_whole_or_not_there(tmp_path: Path) -> None:
    with write_rows(tmp_path / "out.jsonl", [{"a": 1}]) as count:
        assert count == 1 and not (tmp_path / "out.jsonl").exists()
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600
    with pytest.raises(RuntimeError), write_rows(tmp_path / "other.jsonl", [{"a": 1}]):
        raise RuntimeError("the audit could not be written")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_without_pyarrow_parquet_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency, match=r"pip install 'perennial-service\[parquet\]', or use JSON lines"):
        with private_files(), write_rows(tmp_path / "out.parquet", []):
            pass
