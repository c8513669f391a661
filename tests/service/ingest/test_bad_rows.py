"""One bad row never fails its batch, whatever is bad about it and however it came; and no file ends an import badly."""

import gzip
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from pipelines.errors import ArtifactError, Busy, InputError, PerennialError
from service.ingest import Incoming, Outcome, Writer
from service.ingest import writer as writing
from service.ingest.importers import cut, run
from service.ingest.importers.post import direct_post, http_post
from service.ingest.meta import read_meta
from service.ingest.nesting import MAX_DEPTH, depth_of, rows_of
from service.ingest.parse import parse_conversation, split_list
from service.settings import Settings
from service.store.session import Store
from service.vault import Vault
from tests.effort import within
from tests.factories import conversation, incoming, web
from tests.service.ingest.importers.reading import figures, import_file
from tests.service.live import running


def nested(levels: int, inmost: str = "1") -> str:
    """JSON of objects within one another, `levels` deep."""
    return '{"a":' * levels + inmost + "}" * levels


def with_metadata(metadata: str, **fields: Any) -> bytes:
    return json.dumps(conversation(**fields) | {"metadata": "PLACE"}).replace('"PLACE"', metadata).encode()


TOO_DEEP = "nested too deeply"
DEEP = (MAX_DEPTH + 1, 400, 974, 988, 5_000, 200_000)
# What is wrong with a row, the row, and a word of the sentence that says so.
BAD = {
    **{f"{levels} levels": (with_metadata(nested(levels)), TOO_DEEP) for levels in DEEP},
    "a NUL 400 levels deep": (with_metadata(nested(400, r'"\u0000"')), TOO_DEEP),
    "a NUL at the last level": (with_metadata(nested(MAX_DEPTH, r'"\u0000"')), "NUL character"),
    "a NUL in a key": (with_metadata('{"a\\u0000": 1}'), "NUL character"),
    "half a surrogate pair": (with_metadata(r'{"a": "\ud800"}'), "not valid JSON"),
    "half a surrogate pair in a text": (
        rb'{"id": "x", "user": "u", "messages": [{"role": "user", "content": "\udc00 x"}]}',
        "not valid JSON",
    ),
    "bytes that are no UTF-8": (b'{"id": "x", "user": "\xff\xfe"}', "not UTF-8"),
    "a number without end": (with_metadata("9" * 5_000), ""),
    "a number beyond floats": (with_metadata('{"a": 1e999}'), ""),
    "no object": (b"[[[]]]", "expected `object`"),
    "too short, and broken behind it": (b'{"id": "", "user": }', "invalid character (byte 19)"),
    "a time that no calendar has": (with_metadata("{}", time="9999-12-31T23:59:59-23:59"), "lies in the future"),
}


@pytest.mark.parametrize(("row", "words"), BAD.values(), ids=BAD)
def test_a_bad_row_in_a_list_is_answered_in_a_sentence_and_the_others_are_stored(
    client: TestClient, row: bytes, words: str
) -> None:
    rows = [json.dumps(conversation()).encode(), row, json.dumps(conversation()).encode()]
    answer = client.post("/v1/conversations", content=b"[" + b", ".join(rows) + b"]")
    assert answer.status_code == 200, answer.text
    first, bad, last = answer.json()
    assert [first["result"], bad["result"], last["result"]] == ["created", "invalid", "created"]
    assert 400 <= bad["status"] < 500 and words in bad["detail"]


def test_a_bad_line_of_a_stream_is_counted_and_the_others_are_stored(client: TestClient) -> None:
    rows = [row for row, _ in BAD.values()]
    good = [json.dumps(conversation()).encode() for _ in rows]
    content = b"\n".join(line for pair in zip(rows, good, strict=True) for line in pair)
    summary = client.post("/v1/conversations/import", content=content).json()
    assert (summary["created"], summary["invalid"]) == (len(good), len(rows))
    assert [one["line"] for one in summary["problems"]] == list(range(1, 2 * len(rows), 2))


@pytest.mark.parametrize(("row", "words"), BAD.values(), ids=BAD)
def test_a_bad_row_by_itself_is_a_problem_in_a_sentence(sqlite_client: TestClient, row: bytes, words: str) -> None:
    answer = sqlite_client.post("/v1/conversations", content=row)
    if row.startswith(b"["):
        assert [one["result"] for one in answer.json()] == ["invalid"]
    else:
        assert 400 <= answer.status_code < 500 and words in answer.json()["detail"]


def test_metadata_may_have_as_many_levels_as_are_read_again(client: TestClient) -> None:
    assert client.post("/v1/conversations", content=with_metadata(nested(MAX_DEPTH))).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/comparisons", {"id": "p", "prompt": [], "chosen": {}, "rejected": {}, "metadata": "PLACE"}),
        ("POST", "/v1/comparisons", {"chosen": "a", "rejected": "PLACE"}),
        ("DELETE", "/v1/comparisons", {"prompt": "PLACE"}),
        ("POST", "/v1/messages/m/corrections", {"content": "PLACE"}),
        ("PUT", "/v1/votes/m", {"value": "PLACE"}),
        ("DELETE", "/v1/votes/m", {"user": "PLACE"}),
        ("POST", "/v1/chat/completions", {"model": "champion", "messages": "PLACE"}),
    ],
)
@pytest.mark.parametrize("levels", [400, 974, 100_000])
def test_every_other_write_route_answers_deep_json_in_a_sentence(
    sqlite_client: TestClient, method: str, path: str, body: Any, levels: int
) -> None:
    content = json.dumps({"user": "u", **body}).replace('"PLACE"', nested(levels))
    answer = sqlite_client.request(method, path, content=content)
    assert 400 <= answer.status_code < 500 and answer.json()["detail"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(codec=None), max_size=8),  # type: ignore[arg-type]
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["id", "user", "messages", "metadata", "votes", "comparisons", "time", "hints", "app", "other"]
)
ROWS = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(FIELDS, JSON_VALUES, max_size=4).map(lambda row: json.dumps(conversation() | row).encode()),
    st.integers(MAX_DEPTH - 3, 3_000).map(lambda levels: with_metadata(nested(levels))),
)


@pytest.fixture(scope="module")
def open_client(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Any:
    """One application for all examples of a property."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    with web(Settings(home=home, database_url=f"sqlite:///{home / 'perennial.db'}")) as client:
        yield client


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=ROWS.filter(lambda row: b"\n" not in row and b"\r" not in row and row.strip()))
@example(row=b"{")
@example(row=b'"')
@example(row=b"\x00")
def test_no_line_of_a_stream_fails_its_neighbours(open_client: TestClient, row: bytes) -> None:
    good = [json.dumps(conversation()).encode() for _ in range(2)]
    answer = open_client.post("/v1/conversations/import", content=b"\n".join([good[0], row, good[1]]))
    assert answer.status_code == 200
    assert answer.json()["created"] >= 2 and answer.json()["lines"] == 3


# ---- what reads the bytes ----------------------------------------------------------------------------------

WELL_FORMED = st.recursive(
    st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


def depth_by_recursion(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_by_recursion, value.values()), default=0)
    return 1 + max(map(depth_by_recursion, value), default=0) if isinstance(value, list) else 0


@given(rows=st.lists(WELL_FORMED, max_size=4), spaces=st.sampled_from([None, 1]), ascii=st.booleans())
def test_depth_and_rows_are_those_that_a_decoder_finds(rows: list[Any], spaces: int | None, ascii: bool) -> None:
    body = json.dumps(rows, indent=spaces, ensure_ascii=ascii).encode()
    assert depth_of(body) == depth_by_recursion(rows)
    assert [json.loads(row) for row in rows_of(body, 1_000) or []] == rows


@given(body=st.binary(max_size=80) | st.text('[]{}",\\ a', max_size=80).map(str.encode))
def test_reading_bytes_never_fails(body: bytes) -> None:
    assert depth_of(body) >= 0
    rows = rows_of(body, 1_000)
    assert rows is None or body.strip()[:1] == b"["


def test_reading_bytes_takes_linear_time() -> None:
    hostile = [b'{"a": "' + b'\\"' * 400_000, b'"\\' * 400_000, b"[" * 400_000 + b"]" * 400_000]

    def read(body: bytes) -> None:
        with pytest.raises(PerennialError):
            parse_conversation(body)
        with pytest.raises(PerennialError):
            split_list(b"[" + body)

    for body in hostile:
        within(2, partial(read, body))


def test_two_thousand_messages_with_as_many_comparisons_are_prepared_in_linear_time() -> None:
    messages = [{"id": "q", "role": "user", "content": "Hi"}]
    messages += [{"id": f"a{n}", "role": "assistant", "content": "Hello!", "parent": "q"} for n in range(1_999)]
    compared = [{"chosen": f"a{n}", "rejected": f"a{n - 1}"} for n in range(1_998, 0, -1)]
    row = conversation(messages=messages, comparisons=compared)
    assert len(within(0.15, lambda: incoming(row)).comparisons) == 1_998


def test_metadata_that_is_stored_and_cannot_be_read_is_an_error_of_ours() -> None:
    for plain in (b"", b"{", b'{"id": 1}', b"\xff", b'{"id": "c", "metadata": ' + nested(2_000).encode() + b"}"):
        with pytest.raises(ArtifactError, match="cannot be read"):
            read_meta(plain)


# ---- the writer --------------------------------------------------------------------------------------------


def test_a_row_that_the_writer_fails_on_is_an_outcome_of_its_own(
    store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = writing.apply_conversations

    def failing(session: Any, vault: Vault, rows: Sequence[Incoming], now: Any) -> list[Outcome]:
        if any(row.id == "bad" for row in rows):
            raise KeyError("nobody thought of this")
        return apply(session, vault, rows, now)

    monkeypatch.setattr(writing, "apply_conversations", failing)
    rows = [incoming(conversation(id=name)) for name in ("one", "bad", "two")]
    with Writer(store, vault) as writer:
        outcomes = writer.submit(rows).result(30)
    assert [(one.id, one.result, one.status) for one in outcomes] == [
        ("one", "created", 201),
        ("bad", "failed", 500),
        ("two", "created", 201),
    ]
    assert "KeyError" in (outcomes[1].detail or "") and "nobody thought" not in (outcomes[1].detail or "")


# ---- files -------------------------------------------------------------------------------------------------

GOOD = json.dumps(conversation(id="good")).encode()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_bad_lines_of_every_kind_are_counted_and_named(store: Store, vault: Vault, tmp_path: Path) -> None:
    chatml = [b'{"messages": [{"role": "user", "content": "\\ud800"}]}', f'{{"messages": {nested(974)}}}'.encode()]
    bad = [*(row for row, _ in BAD.values()), *chatml, os.urandom(300).replace(b"\n", b"")]
    path = write(tmp_path / "rows.ndjson", b"\n".join([*bad, GOOD]))
    with direct_post(store, vault) as post:
        counts = import_file(path, post, tmp_path, consent=True, rating="up")
    assert figures(counts) == (1, 0, 0, len(bad))
    assert [place for place, _ in counts.problems] == [f"rows.ndjson, line {line}" for line in range(1, len(bad) + 1)]


def test_a_line_without_end_is_passed_over(
    store: Store, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut, "MAX_ENTRY_BYTES", 1_000)
    monkeypatch.setattr(cut, "_CHUNK_BYTES", 64)
    path = write(tmp_path / "rows.ndjson", b"x" * 5_000 + b"\n" + GOOD + b"\n" + b"y" * 1_001)
    with direct_post(store, vault) as post:
        counts = import_file(path, post, tmp_path)
    assert (counts.of("conversations", "created"), [place for place, _ in counts.problems]) == (
        1,
        ["rows.ndjson, line 1", "rows.ndjson, line 3"],
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(GOOD, mtime=0)[:20], "is damaged or was cut off"),
        (b"PK\x03\x04rest", "is no whole ZIP archive"),
        (GOOD.decode().encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        import_file(write(tmp_path / "file", content), lambda batch: lambda: [], tmp_path)


def test_a_file_whose_name_is_no_text_is_imported(store: Store, vault: Vault, tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(b"rows-\xff.ndjson"), GOOD)
    with direct_post(store, vault) as post:
        assert import_file(path, post, tmp_path).of("conversations", "created") == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(ROWS, max_size=3).map(b"\n".join) | st.binary(max_size=200))
def test_no_file_ends_an_import_with_anything_but_counts_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    try:
        import_file(
            write(tmp_path / "file", content),
            lambda batch: lambda: [("created", None)] * len(batch),
            tmp_path,
            rating=4,
        )
    except PerennialError as error:
        assert str(error)


def test_a_row_that_a_server_refuses_does_not_cost_its_batch(sqlite_settings: Settings, tmp_path: Path) -> None:
    large = json.dumps(conversation("x" * 9_000, "Hello!")).encode()
    rows = [json.dumps(conversation()).encode(), large, *(json.dumps(conversation()).encode() for _ in range(2))]
    path = write(tmp_path / "rows.ndjson", b"\n".join(rows))
    with running(replace(sqlite_settings, max_body_bytes=8_000), engine=False) as live, http_post(live.url) as post:
        counts = import_file(path, post, tmp_path)
    assert (counts.of("conversations", "created"), [place for place, _ in counts.problems]) == (
        3,
        ["rows.ndjson, line 2"],
    )


def test_something_else_at_the_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RETRY_SECONDS", 0.0)
    page = httpx.MockTransport(lambda request: httpx.Response(200, html="<p>Welcome</p>"))
    path = write(tmp_path / "rows.ndjson", GOOD)
    with http_post("http://somewhere", transport=page) as post, pytest.raises(InputError, match="no server of"):
        import_file(path, post, tmp_path)
    for url, key in (("http://[", None), ("http://here", "pk_\u00e9")):
        with pytest.raises((InputError, Busy)), http_post(url, key) as post:
            import_file(path, post, tmp_path)
