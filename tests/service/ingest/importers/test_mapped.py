"""An app's own tables by a map: SQLite and CSV, what maps may say, what they may not, and the first guess of one."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InputError
from service.cli.maps import map_formats, write_guess
from service.ingest.importers.items import Note, Options, Refusal, Thing
from service.ingest.importers.reading import Mark, find_work, read_work
from service.ingest.prepare import NewCorrection, NewVote
from service.ingest.wire import ConversationIn
from tests.service.ingest.importers.reading import write

EXAMPLES = Path(__file__).resolve().parents[4] / "docs" / "examples"
MESSAGES = "messages: {table: m, id: id, conversation: chat, role: who, content: body, time: at, user: owner}\n"
ROWS = [
    (2, "c", "bot", "Hello!", "2026-11-20 10:00:05", None),
    (1, "c", "customer", "Hi", "2026-11-20 10:00:00", "ana"),
    (3, "d", "customer", "Ho", "2026-11-20 10:00:09", "bob"),
]


def database(path: Path, tables: dict[str, tuple[str, Iterable[Any]]]) -> Path:
    with sqlite3.connect(path) as made:
        for name, (columns, rows) in tables.items():
            made.execute(f"CREATE TABLE {name} ({columns})")
            for row in rows:
                made.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
    made.close()
    return path


def read(tmp_path: Path, path: Path, map: str, options: Options | None = None) -> list[Thing]:
    formats = map_formats(str(write(tmp_path / "the.yaml", map)))
    work = find_work(path, formats, tmp_path / "scratch", is_named=True)
    given = options or Options("default", "each")
    return [thing for _, _, thing in read_work(work, given, tmp_path / "scratch", Mark(0, 0))]


def said(things: list[Thing]) -> dict[str, list[tuple[str | None, str, str]]]:
    found = [one for one in things if isinstance(one, ConversationIn)]
    return {one.id: [(message.id, message.role, message.content) for message in one.messages] for one in found}


def test_rows_in_any_order_become_conversations_with_their_people_and_ids(tmp_path: Path) -> None:
    path = database(tmp_path / "app.db", {"m": ("id INTEGER PRIMARY KEY, chat, who, body, at, owner", ROWS)})
    found = read(tmp_path, path, MESSAGES)
    assert said(found) == {"c": [("1", "user", "Hi"), ("2", "assistant", "Hello!")], "d": [("3", "user", "Ho")]}
    assert [(one.user, one.time and one.time.hour) for one in found if isinstance(one, ConversationIn)] == [
        ("ana", 10),
        ("bob", 10),
    ]


VOTES: list[tuple[str, str, list[Any], Any]] = [
    ("ones and zeros", "", [(2, 1, "eva"), (2, 0, "uli")], [("up", "eva"), ("down", "uli")]),
    ("words", "", [(2, "thumbs_up", "eva"), (2, "dislike", "uli")], [("up", "eva"), ("down", "uli")]),
    ("stars by rules", "thumbs: {up: ['>=4'], down: ['<=2']}", [(2, 5, "a"), (2, 3, "b"), (2, 1, "c")], [("up", "a"), ("down", "c")]),
    ("a word of its own", "thumbs: {up: [nice]}", [(2, "nice", "a"), (2, "meh", "b")], [("up", "a"), ("down", "b")]),
    ("nothing in it", "", [(2, None, "a")], []),
    ("of nobody: the conversation's person", "", [(2, 1, None)], [("up", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "rows", "expected"), [row[1:] for row in VOTES], ids=[row[0] for row in VOTES])
def test_votes_of_a_table_stand_on_their_answers(tmp_path: Path, rules: str, rows: Any, expected: Any) -> None:
    tables = {"m": ("id INTEGER PRIMARY KEY, chat, who, body, at, owner", ROWS), "v": ("message, value, who", rows)}
    map = MESSAGES + "votes: {table: v, message: message, value: value, user: who}\n" + rules
    found = read(tmp_path, database(tmp_path / "app.db", tables), map)
    votes = [vote for one in found if isinstance(one, ConversationIn) for vote in one.votes]
    assert [(one.value, one.user) for one in votes] == expected and all(one.message == "2" for one in votes)
    assert [one.count for one in found if isinstance(one, Note)] == ([1] if "stars" in rules or len(rows) == 3 else [])


def test_a_vote_on_a_message_of_elsewhere_waits_and_a_correction_comes_in(tmp_path: Path) -> None:
    tables = {
        "m": ("id INTEGER PRIMARY KEY, chat, who, body, at, owner", ROWS),
        "v": ("message, value, who", [(99, 1, "eva")]),
        "k": ("message, better, who", [(2, "Good day!", "eva"), (99, "Lost", "eva")]),
    }
    map = MESSAGES + (
        "votes: {table: v, message: message, value: value, user: who}\n"
        "corrections: {table: k, message: message, content: better, user: who}\n"
    )
    found = read(tmp_path, database(tmp_path / "app.db", tables), map)
    assert [(one.message, one.rater, one.value) for one in found if isinstance(one, NewVote)] == [("99", "eva", 1)]
    assert [(one.message, one.content) for one in found if isinstance(one, NewCorrection)] == [("2", "Good day!")]
    assert [one.reason for one in found if isinstance(one, Refusal)] == ["no_message"]


def test_a_row_of_a_question_and_its_answer(tmp_path: Path) -> None:
    rows = [(1, "Hi", "Hello!", "s", None), (2, "More?", "Yes.", "s", None), (3, "Ho", "Hey.", "t", -1)]
    path = database(tmp_path / "app.db", {"log": ("id INTEGER, q, a, session, liked", rows)})
    map = (
        "exchanges: {table: log, id: id, conversation: session, question: q, answer: a}\n"
        "votes: {table: log, message: id, value: liked}\n"
    )
    found = read(tmp_path, path, map)
    assert said(found)["s"] == [
        ("1/question", "user", "Hi"),
        ("1", "assistant", "Hello!"),
        ("2/question", "user", "More?"),
        ("2", "assistant", "Yes."),
    ]
    assert [(vote.message, vote.value) for one in found if isinstance(one, ConversationIn) for vote in one.votes] == [
        ("3", "down")
    ]


def test_branches_and_ids_that_are_unique_only_in_their_conversation(tmp_path: Path) -> None:
    rows = [
        ("c", "1", None, "user", "Hi"),
        ("c", "2", "1", "ai", "A"),
        ("c", "3", "1", "ai", "B"),
        ("d", "1", None, "user", "Ho"),
    ]
    path = database(tmp_path / "app.db", {"m": ("chat, id, above, who, body", rows)})
    map = "messages: {table: m, id: id, parent: above, conversation: chat, role: who, content: body, unique: conversation}\n"
    found = {one.id: one.messages for one in read(tmp_path, path, map) if isinstance(one, ConversationIn)}
    assert [(one.id, one.parent) for one in found["c"]] == [("c:1", None), ("c:2", "c:1"), ("c:3", "c:1")]
    assert [one.id for one in found["d"]] == ["d:1"]


def test_the_shipped_example_is_read_from_its_csv(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLES / "chat.csv", (EXAMPLES / "chat.yaml").read_text(encoding="utf-8"))
    assert [id for id, _, _ in said(found)["T-1"]] == ["101", "102", "105"]
    assert [(one.user, [vote.value for vote in one.votes]) for one in found if isinstance(one, ConversationIn)] == [
        ("k-7", ["up"]),
        ("k-9", ["down"]),
    ]


def test_a_folder_of_csv_files_is_a_database_of_tables_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    write(folder / "M.csv", 'id;chat;who;body;at;owner\n1;c;user;"Hi; you";;ana\n2;c;bot;Hello!;;\n')
    write(folder / "v.csv", "message,value\n2,0\n")
    found = read(tmp_path, folder, MESSAGES + "votes: {table: v, message: message, value: value}\n")
    assert said(found) == {"c": [("1", "user", "Hi; you"), ("2", "assistant", "Hello!")]}
    assert [vote.value for one in found if isinstance(one, ConversationIn) for vote in one.votes] == ["down"]


WRONG: list[tuple[str, str, str]] = [
    ("a key that nobody knows", MESSAGES.replace("content:", "contnet:"), "the key `contnet` is not known; did you mean `content`?"),
    ("a key that is missing", "messages: {table: m, role: who, content: body}", "the key `conversation` is missing in `messages`"),
    ("neither messages nor exchanges", "roles: {a: user}", "needs one of `messages`"),
    ("a role that is none", MESSAGES + "roles: {who: nobody}", "'nobody' is none of system, user, assistant, tool"),
    ("a table that is not there", MESSAGES.replace("table: m", "table: n"), "the table 'n', which is not there; there are m"),
    ("a column that is not there", MESSAGES.replace("body", "bdy"), "the column 'bdy' of the table m, which is not there; did you mean 'body'?"),
    ("thumbs that compare with nothing", MESSAGES + "thumbs: {up: ['>=good']}", "compares with no number"),
    ("no YAML", "messages: {", "is not valid YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("map", "sentence"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_map_is_an_error_that_names_the_key(tmp_path: Path, map: str, sentence: str) -> None:
    path = database(tmp_path / "app.db", {"m": ("id INTEGER PRIMARY KEY, chat, who, body, at, owner", ROWS)})
    with pytest.raises(InputError) as error:
        read(tmp_path, path, map)
    assert sentence in str(error.value)


def test_a_role_that_the_map_does_not_name_costs_its_conversation_and_says_so(tmp_path: Path) -> None:
    rows = [*ROWS, (4, "d", "ghost", "Boo", None, None)]
    path = database(tmp_path / "app.db", {"m": ("id INTEGER PRIMARY KEY, chat, who, body, at, owner", rows)})
    found = read(tmp_path, path, MESSAGES)
    assert list(said(found)) == ["c"]
    assert [(one.reason, "'ghost'" in one.sentence) for one in found if isinstance(one, Refusal)] == [
        ("unknown_role", True)
    ]


GUESSES: list[tuple[str, dict[str, tuple[str, list[Any]]], list[str]]] = [
    (
        "messages, chats and ratings",
        {
            "users": ("id, email", []),
            "chats": ("id, user_id, created_at", [("c", "ana", "2026-11-20")]),
            "messages": ("id, chat_id, sender, text, created_at", [(1, "c", "visitor", "Hi", None), (2, "c", "bot", "Hello!", None)]),
            "ratings": ("message_id, score, user_id", [(2, 1, "ana")]),
        },
        ["c"],
    ),
    ("a log of exchanges", {"log": ("id, prompt, response, rating", [(7, "Hi", "Hello!", 1)])}, ["7"]),
]  # fmt: skip


@pytest.mark.parametrize(("tables", "ids"), [row[1:] for row in GUESSES], ids=[row[0] for row in GUESSES])
def test_a_first_guess_can_be_imported_as_it_is(tmp_path: Path, tables: Any, ids: list[str]) -> None:
    path = database(tmp_path / "app.db", tables)
    guess = write_guess(path, tmp_path / "scratch")
    assert guess == tmp_path / "app.map.yaml"
    found = read(tmp_path, path, guess.read_text(encoding="utf-8"))
    assert list(said(found)) == ids
    assert [vote.value for one in found if isinstance(one, ConversationIn) for vote in one.votes] == ["up"]
    with pytest.raises(InputError, match="is there already"):
        write_guess(path, tmp_path / "scratch")


def test_where_nothing_looks_like_a_chat_the_guess_says_what_is_there(tmp_path: Path) -> None:
    path = database(tmp_path / "app.db", {"stock": ("item, price", [])})
    with pytest.raises(InputError, match=r"no table looks as if it held messages.*stock \(item, price\)"):
        write_guess(path, tmp_path / "scratch")
