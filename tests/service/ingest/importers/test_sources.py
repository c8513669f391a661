"""What may lie at a path: archives, packed files, folders; what is broken, hostile or nothing is said in a sentence."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import zipfile
from pathlib import Path

import pytest

from pipelines.errors import InputError, NotFound, PerennialError
from service.ingest.importers import sources
from service.ingest.importers.items import Refusal
from service.ingest.wire import ConversationIn
from tests.factories import conversation, ndjson
from tests.service.ingest.importers.reading import read_items, write

GOOD = ndjson(conversation(id="a"), conversation(id="b"))


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def ids(path: Path) -> list[str]:
    return [one.id for one in read_items(path) if isinstance(one, ConversationIn)]


def reasons(path: Path) -> list[str]:
    return [one.reason for one in read_items(path) if isinstance(one, Refusal)]


PACKED: list[tuple[str, str, bytes]] = [
    ("lines", "rows.ndjson", GOOD),
    ("lines that end as on Windows", "rows.ndjson", GOOD.replace(b"\n", b"\r\n")),
    ("lines after a byte order mark", "rows.ndjson", b"\xef\xbb\xbf" + GOOD),
    ("a list", "rows.json", b"[" + b",\n".join(GOOD.splitlines()) + b"]"),
    ("a list in one line without end", "rows.json", b"[" + b",".join(GOOD.splitlines()) + b"]"),
    ("gzip", "rows.ndjson.gz", gzip.compress(GOOD)),
    ("bzip2", "rows.ndjson.bz2", bz2.compress(GOOD)),
    ("xz", "rows.ndjson.xz", lzma.compress(GOOD)),
    ("a ZIP archive", "all.zip", zipped(("chats/rows.ndjson", GOOD))),
    ("a packed file in an archive", "all.zip", zipped(("rows.ndjson.gz", gzip.compress(GOOD)))),
    (
        "hidden files beside it",
        "all.zip",
        zipped(("__MACOSX/._rows.json", GOOD), (".hidden", GOOD), ("rows.ndjson", GOOD)),
    ),
    ("names that lead out of the folder", "all.zip", zipped(("../../../tmp/rows.ndjson", GOOD))),
    ("names that move the cursor", "all.zip", zipped(("\x1b[2Jrows.ndjson", GOOD))),
]


@pytest.mark.parametrize(("name", "content"), [row[1:] for row in PACKED], ids=[row[0] for row in PACKED])
def test_it_is_read_however_it_is_packed(tmp_path: Path, name: str, content: bytes) -> None:
    assert ids(write(tmp_path / name, content)) == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]  # nothing was unpacked beside it


NOTHING: list[tuple[str, str, bytes, str]] = [
    ("empty", "rows.ndjson", b"", "rows.ndjson is empty"),
    ("blank", "rows.ndjson", b"\n \n", "rows.ndjson is empty"),
    ("an empty list", "rows.json", b"[]", "rows.json is empty: there is no entry in it"),
    ("text", "notes.txt", b"Hello", "notes.txt holds no JSON, CSV, Parquet or SQLite"),
    ("JSON of nobody's", "rows.json", b'[{"a": 1}]', "rows.json is not recognised: no format that is known looks like this"),
    ("a number", "rows.json", b"[1, 2]", "holds nothing that can be read as JSON"),
    ("text of two bytes a letter", "rows.ndjson", GOOD.decode().encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    ("a truncated archive", "all.zip", zipped(("rows.ndjson", GOOD * 90))[:200], "is no whole ZIP archive"),
    ("an archive of nothing", "all.zip", zipped(), "there are no files in"),
    ("an archive in an archive", "all.zip", zipped(("in.zip", zipped(("rows.ndjson", GOOD)))), "an archive in an archive"),
    ("gzip that breaks off", "rows.gz", gzip.compress(GOOD)[:30], "is damaged or was cut off (EOFError): copy it again"),
    ("no SQLite after its head", "app.db", b"SQLite format 3\x00" + b"\xff" * 900, "is no whole SQLite database"),
    ("a table of nobody's", "app.csv", b"a,b\n1,2\n", "app.csv is not recognised"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "sentence"), [row[1:] for row in NOTHING], ids=[row[0] for row in NOTHING])
def test_nothing_to_read_is_an_error_that_says_why(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(PerennialError) as error:
        read_items(write(tmp_path / name, content))
    assert sentence in str(error.value)


def test_a_folder_with_nothing_readable_names_the_first_file_and_counts_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    with pytest.raises(InputError, match="there are no files in"):
        read_items(folder)
    for name in ("a.txt", "b.txt", ".c"):
        write(folder / name, "Hello")
    with pytest.raises(InputError, match=r"^a\.txt holds no JSON.*\(nor 1 other files there\)$"):
        read_items(folder)
    with pytest.raises(NotFound):
        read_items(tmp_path / "nowhere")


def test_a_folder_is_read_with_what_lies_below_it_and_its_archives(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (folder / "deep" / "er").mkdir(parents=True)
    write(folder / "deep" / "er" / "rows.ndjson", ndjson(conversation(id="deep")))
    write(folder / "old.zip", zipped(("rows.ndjson", ndjson(conversation(id="old")))))
    write(folder / "README.txt", "Hello")
    assert ids(folder) == ["deep", "old"]


def test_what_comes_before_the_damage_comes_in(tmp_path: Path) -> None:
    not_utf8 = b'{"id": "c", "user": "u", "messages": [{"role": "user", "content": "\xff"}]}\n'
    assert reasons(write(tmp_path / "rows.ndjson", GOOD + not_utf8)) == ["not_json"]
    many = ndjson(*(conversation("Hi" * n, id=f"c-{n}") for n in range(1, 900)))
    packed = gzip.compress(many)
    path = write(tmp_path / "rows.gz", packed[: len(packed) // 2])
    assert reasons(path)[-1] == "cut_off" and ids(path)[:2] == ["c-1", "c-2"]
    changed = bytearray(zipped(("rows.ndjson", many)))
    changed[len(changed) // 2] ^= 0xFF
    assert "cut_off" in reasons(write(tmp_path / "all.zip", bytes(changed)))


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_BOMB_BYTES", 1 << 20)
    bomb = b'[{"messages": [{"role": "user", "content": "' + b"x" * (20 << 20)
    for name, content in (("all.zip", zipped(("rows.json", bomb))), ("rows.gz", gzip.compress(bomb))):
        with pytest.raises(InputError, match="unpacks to more than 200 times its size, as no text does"):
            read_items(write(tmp_path / name, content))


def test_an_archive_with_a_password_says_so(tmp_path: Path) -> None:
    locked = bytearray(zipped(("rows.ndjson", GOOD)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.find(mark) + at] |= 1
    with pytest.raises(InputError, match="is locked with a password"):
        read_items(write(tmp_path / "all.zip", bytes(locked)))


def test_an_archive_packed_in_an_unknown_way_says_so(tmp_path: Path) -> None:
    odd = bytearray(zipped(("rows.ndjson", GOOD)))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        odd[odd.find(mark) + at] = 97  # WavPack
    with pytest.raises(InputError, match="cannot be unpacked .*compression") as refused:
        read_items(write(tmp_path / "all.zip", bytes(odd)))
    assert "password" not in str(refused.value)


def test_a_database_in_an_archive_is_read_and_its_copy_goes(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "webui.db") as made:
        made.execute("CREATE TABLE chat (id, user_id, chat, created_at)")
        tree = {"q": {"id": "q", "role": "user", "content": "Hi"}}
        made.execute(
            "INSERT INTO chat VALUES ('c', 'u', ?, 1795000000)", (json.dumps({"history": {"messages": tree}}),)
        )
    made.close()
    path = write(tmp_path / "all.zip", zipped(("backup/webui.db", (tmp_path / "webui.db").read_bytes())))
    assert ids(path) == ["c"]
    assert list((tmp_path / "scratch").iterdir()) == []
