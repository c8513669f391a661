"""All formats together: each file is known by looking, nothing random ends in a traceback, and what must hold for each."""

import json
import random
import re
import sqlite3
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select
from structlog.testing import capture_logs

from pipelines.errors import InputError, PerennialError
from service.ingest.importers.items import Options, Refusal
from service.ingest.importers.reading import Mark, find_work, read_work
from service.ingest.importers.ready import Terms
from service.ingest.importers.reasons import REASONS
from service.ingest.importers.run import make_thing_ready
from service.ingest.importers.table import FORMATS, find_format
from service.ingest.importers.thumbs import Thumbs
from service.settings import Settings
from service.store import tables
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.service.ingest.importers import samples
from tests.service.ingest.importers.samples import SAMPLES, Sample, write
from tests.service.ingest.importers.stored import imported, stored

OWN = Sample("perennial", "own.jsonl", lambda: [{"id": "c", "user": "u", "messages": [samples.USER, samples.GOOD]}])
KNOWN = (*SAMPLES, OWN)
OPTIONS = Options(app="default", user="u-1", thumbs=Thumbs(frozenset({"thumb"})))
# A row of messages and nothing else is both OpenAI's and ours; which one reads it makes no difference.
BOTH = {"anthropic": {"openai", "perennial"}, "openai": {"perennial"}}


def named(sample: Sample) -> str:
    return f"{sample.format}: {sample.name}"


@pytest.fixture
def home(sqlite_settings: Settings) -> Iterator[tuple[Store, Vault]]:
    store = open_store(sqlite_settings)
    yield store, open_vault(sqlite_settings, store)
    store.close()


@pytest.mark.parametrize("sample", KNOWN, ids=map(named, KNOWN))
def test_a_file_is_known_by_looking_and_no_other_format_claims_it(sample: Sample, tmp_path: Path) -> None:
    path = write(tmp_path, sample.name, sample.make())
    [part] = find_work(path, FORMATS, tmp_path).parts
    assert part.format.name == sample.format
    claims = set()
    for one in FORMATS:
        try:
            # alone but for one that claims nothing: a format that is asked for by name is taken at its word
            claims |= {part.format.name for part in find_work(path, (one, _NOTHING), tmp_path).parts}
        except InputError:
            continue
    assert claims - BOTH.get(sample.format, set()) == {sample.format}


_NOTHING = find_format("ollama")


def test_the_document_has_a_row_for_every_format() -> None:
    text = (Path(__file__).resolve().parents[4] / "docs" / "importing.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {one.name for one in FORMATS} <= {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.json", [{"colour": "green"}]), ("names.csv", b"name,age\nAna,7\n")],
    ids=["objects", "a table"],
)
def test_an_unknown_file_is_refused_with_the_formats_that_there_are(tmp_path: Path, name: str, content: Any) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as refused:
        find_work(path, FORMATS, tmp_path)
    assert name in str(refused.value)
    assert all(one.name in str(refused.value) for one in FORMATS)


def test_an_unknown_database_is_refused_too(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "cats.db") as database:
        database.execute("CREATE TABLE cats (name TEXT)")
    database.close()
    with pytest.raises(InputError, match=r"cats\.db"):
        find_work(tmp_path / "cats.db", FORMATS, tmp_path)


def test_a_vote_may_come_before_its_chat(home: tuple[Store, Vault], tmp_path: Path) -> None:
    imported(*home, write(tmp_path, "message_feedback.json", samples.chatgpt_feedback()))
    assert stored(*home) == []
    imported(*home, write(tmp_path, "conversations.json", samples.chatgpt()))
    assert stored(*home)[-1] == "vote 1 up by u-1 | comment just right"


def test_a_chat_that_went_on_grows(home: tuple[Store, Vault], tmp_path: Path) -> None:
    imported(*home, write(tmp_path, "conversations.json", samples.claude()))
    longer = samples.claude()
    row = {"uuid": "k-q2", "sender": "human", "text": "And black tea?", "created_at": "2026-10-04T09:05:00Z"}
    longer[0]["chat_messages"].append(row)

    counts = imported(*home, write(tmp_path, "conversations.json", longer))

    assert counts.results == {"conversations": {"appended": 1}}
    assert stored(*home)[-1] == "4 < 3 user: And black tea?"


def test_an_e_mail_address_that_names_a_rater_is_nowhere_in_the_database(
    home: tuple[Store, Vault], sqlite_settings: Settings, tmp_path: Path
) -> None:
    imported(*home, write(tmp_path, "trace_ot-1.json", samples.opik()), score=("thumb",))
    files = list(sqlite_settings.home.rglob("*.db*"))
    assert files and not any(b"@tea.invalid" in file.read_bytes() for file in files)


def test_a_refusal_names_no_person(home: tuple[Store, Vault], tmp_path: Path) -> None:
    broken = samples.opik()
    broken["trace"]["feedback_scores"][0]["value_by_author"]["ana@tea.invalid"] = "no"
    counts = imported(*home, write(tmp_path, "trace_ot-1.json", broken), score=("thumb",))
    assert counts.refused == {"unknown_shape": 1}
    assert "ana" not in str(counts.problems)


def test_the_time_of_a_chat_is_its_first_messages_where_the_file_has_no_date(
    home: tuple[Store, Vault], tmp_path: Path
) -> None:
    imported(*home, write(tmp_path, "tea.json", samples.librechat()))
    with home[0].read() as session:
        [chat] = session.exec(select(tables.Conversation)).all()
        times = [message.occurred_at for message in session.exec(select(tables.Message)).all()]
    assert f"{chat.occurred_at:%Y-%m-%d %H:%M:%S}" == "2026-10-02 08:00:00"
    assert None not in times[:2]


def test_a_list_and_lines_of_the_same_rows_are_the_same_chats(home: tuple[Store, Vault], tmp_path: Path) -> None:
    imported(*home, write(tmp_path, "s.json", samples.sharegpt()))
    counts = imported(*home, write(tmp_path, "s.jsonl", samples.sharegpt()))
    assert counts.results == {"conversations": {"unchanged": 1}}


# ---- random files ---------------------------------------------------------------------------------------------

VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1e300,
    10**30,
    "",
    "x",
    "\ud800",
    "\0",
    "[",
    '{"a": [',
    [],
    [[]],
    [None],
    {},
    {"": None},
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value with a key of it."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        yield value, key
        yield from places(inner)


def mutate(value: Any, dice: random.Random) -> None:
    """Changes something anywhere in a JSON value: another value, none, twice, or under another name."""
    container, key = dice.choice(list(places(value)))
    match dice.randrange(5):
        case 0 if isinstance(container, dict):
            del container[key]
        case 1 if isinstance(container, dict):
            container[dice.choice(("role", "type", "id", "content", "x"))] = deepcopy(container[key])
        case 2 if isinstance(container, list):
            container.append(deepcopy(container[key]))
        case 3:
            others = [inner[k] for inner, k in places(value)]
            container[key] = deepcopy(dice.choice(others))
        case _:
            container[key] = deepcopy(dice.choice(VALUES))


def read(path: Path, format: str, folder: Path) -> int:
    """How many things come out of a file, each made ready to be stored or refused."""
    count = 0
    try:
        work = find_work(path, (find_format(format),), folder, True)
    except InputError:
        return 0
    for _, _, thing in read_work(work, OPTIONS, folder, Mark(0, 0)):
        count += 1
        if isinstance(thing, Refusal):
            assert thing.reason in REASONS and thing.sentence
        elif not type(thing).__name__.startswith("Note"):
            try:
                make_thing_ready(thing, Terms(), "default")
            except PerennialError as error:
                assert str(error)
        else:
            assert thing.reason in REASONS
    return count


JSON = [sample for sample in SAMPLES if not isinstance(sample.make(), bytes)]


@pytest.mark.parametrize("sample", JSON, ids=map(named, JSON))
@settings(max_examples=40)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_nothing_random_ends_in_a_traceback(
    sample: Sample, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dice, value = random.Random(seed), deepcopy(sample.make())
    value = value if isinstance(value, list) else [value]
    for _ in range(dice.randint(1, 4)):
        mutate(value, dice)
    content = b"".join(json.dumps(one).encode() + b"\n" for one in value)
    if dice.random() < 0.2:
        content = content[: dice.randrange(len(content) + 1)]
    path = tmp_path_factory.getbasetemp() / "mutated.jsonl"
    path.write_bytes(content)
    with capture_logs() as logs:
        read(path, sample.format, path.parent)
    assert logs == []


@settings(max_examples=40)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_no_random_cell_ends_in_a_traceback(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    dice = random.Random(seed)
    path = tmp_path_factory.getbasetemp() / "mutated.sqlite"
    with sqlite3.connect(":memory:") as database:
        database.executescript(samples.OLLAMA)
        table = dice.choice(("messages", "tool_calls", "attachments"))
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
        for _ in range(3):
            value = dice.choice((None, 5, 1.5, b"\xff\x00", "", "x", "2026-13-45", "\0"))
            database.execute(f"UPDATE {table} SET {dice.choice(columns)} = ?", (value,))
        path.write_bytes(database.serialize())
    database.close()
    with capture_logs() as logs:
        read(path, "ollama", path.parent)
    assert logs == []
