"""Files of conversations: both shapes, over HTTP and straight into the database, broken off and gone on with."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import func, select

from pipelines.errors import Busy, InputError, NotFound
from pipelines.feedback.reasons import CONVERSATION_REASONS
from service.api_keys import create_key
from service.ingest.importers import run
from service.ingest.importers.post import Ready, direct_post, http_post
from service.ingest.importers.ready import Rating, parse_rating
from service.settings import Settings
from service.store import tables
from service.store.session import Store
from service.vault import Vault
from tests.factories import conversation, ndjson
from tests.service.ingest.importers.reading import figures, import_file
from tests.service.live import running


def write(path: Path, *lines: Any) -> Path:
    path.write_bytes(ndjson(*lines))
    return path


def test_every_line_is_counted_and_bad_ones_are_named(store: Store, vault: Vault, tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.ndjson",
        conversation("Hi", "Hello!", id="c"),
        conversation("Hi", "Hello!", id="c"),
        {"id": "x"},
        conversation("Hi", "Hello!", "More?", id="c"),
        conversation("Ho", id="c"),
        conversation(),
    )
    path.write_bytes(path.read_bytes() + b"\n{broken\n")
    with direct_post(store, vault) as post:
        counts = import_file(path, post, tmp_path)
        assert figures(counts) == (2, 1, 1, 3)
        assert sorted(place for place, _ in counts.problems) == [f"f.ndjson, line {line}" for line in (3, 5, 8)]
        assert figures(import_file(path, post, tmp_path)) == (0, 4, 0, 3)
    rejected = [json.loads(line) for file in (tmp_path / "imports").iterdir() for line in file.read_text().splitlines()]
    assert {(row["line"], row["reason"]) for row in rejected} == {(3, "not_storable"), (5, "conflict"), (8, "not_json")}


def test_a_file_may_begin_with_a_byte_order_mark(store: Store, vault: Vault, tmp_path: Path) -> None:
    path = write(tmp_path / "f.ndjson", conversation(), conversation())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    with direct_post(store, vault) as post:
        assert figures(import_file(path, post, tmp_path)) == (2, 0, 0, 0)


def test_chatml_gets_its_id_from_its_content_and_consent_from_the_flag(
    store: Store, vault: Vault, tmp_path: Path
) -> None:
    chats = [{"messages": conversation(f"What is {n}?", "A number.")["messages"]} for n in (1, 2, 1)]
    path = write(tmp_path / "chat.jsonl", *chats)
    with direct_post(store, vault) as post:
        assert figures(import_file(path, post, tmp_path, consent=True, user="archive")) == (2, 1, 0, 0)
    with store.read() as session:
        assert session.exec(select(tables.Conversation.consent)).all() == [True, True]


def test_the_flag_does_not_overrule_what_a_line_says(store: Store, vault: Vault, tmp_path: Path) -> None:
    path = write(tmp_path / "f.ndjson", conversation(id="no", consent=False), conversation(id="unsaid"))
    with direct_post(store, vault) as post:
        import_file(path, post, tmp_path, consent=True)
    with store.read() as session:
        found = {row.client_hmac: row.consent for row in session.exec(select(tables.Conversation))}
        app = session.exec(select(tables.App.id)).one()
    assert found == {vault.conversation_hash(app, "no"): False, vault.conversation_hash(app, "unsaid"): True}


def chats(*prompts: str, answer: str = "A number.") -> list[dict[str, Any]]:
    return [{"messages": conversation(prompt, answer)["messages"]} for prompt in prompts]


@pytest.mark.parametrize(
    ("rating", "satisfactions", "votes"), [(4, [4, 4], []), ("up", [], [1, 1]), ("down", [], [-1, -1])]
)
def test_lines_of_messages_alone_are_rated_by_the_flag(
    store: Store, vault: Vault, tmp_path: Path, rating: Rating, satisfactions: list[int], votes: list[int]
) -> None:
    path = write(tmp_path / "chat.jsonl", *chats("What is 1?", "What is 2?"))
    with direct_post(store, vault) as post:
        counts = import_file(path, post, tmp_path, consent=True, rating=rating)
    assert (figures(counts), counts.cannot_train) == ((2, 0, 0, 0), {})
    with store.read() as session:
        assert session.exec(select(tables.Satisfaction.value)).all() == satisfactions
        assert session.exec(select(tables.Vote.value)).all() == votes


def test_consent_and_ratings_are_added_and_changed_by_importing_again(
    store: Store, vault: Vault, tmp_path: Path
) -> None:
    path = write(tmp_path / "chat.jsonl", *chats("What is 1?"))
    seen = []
    with direct_post(store, vault) as post:
        for consent, rating in ((None, None), (True, None), (True, 2), (True, "up"), (False, "down")):
            counts = import_file(path, post, tmp_path, consent=consent, rating=rating)
            assert counts.stands == 1 and not counts.problems
            with store.read() as session:
                seen.append(
                    (
                        session.exec(select(tables.Conversation.consent)).one(),
                        session.exec(select(tables.Satisfaction.value)).one_or_none(),
                        session.exec(select(tables.Vote.value)).one_or_none(),
                    )
                )
    assert seen == [(None, None, None), (True, None, None), (True, 2, None), (True, 2, 1), (False, 2, -1)]


def test_the_flag_does_not_rate_what_a_line_rates(store: Store, vault: Vault, tmp_path: Path) -> None:
    voted = conversation("Hi", "Hello!", votes=[{"message": 1, "value": "down"}])
    path = write(tmp_path / "f.ndjson", voted, conversation("Ho", "Hello!", satisfaction=1))
    with direct_post(store, vault) as post:
        import_file(path, post, tmp_path, rating="up")
    with store.read() as session:
        assert session.exec(select(tables.Vote.value)).all() == [-1]
        assert session.exec(select(tables.Satisfaction.value)).all() == [1]


def test_rows_that_cannot_train_are_counted_by_the_reasons_of_selection(
    store: Store, vault: Vault, tmp_path: Path
) -> None:
    rows = (
        conversation("Hi", "Hello!", consent=True, satisfaction=5),
        conversation("Hi", "Hello!", consent=True, satisfaction=None),
        conversation("Hi", "Hello!", consent=None, satisfaction=5),
        conversation("Hi", "Hello!", consent=False, satisfaction=None),
        conversation("Hi", consent=True, satisfaction=5),
        {"id": 1},
    )
    with direct_post(store, vault) as post:
        counts = import_file(write(tmp_path / "f.ndjson", *rows), post, tmp_path)
    assert counts.cannot_train == {"unrated": 1, "no_consent": 2, "no_answer": 1}
    assert set(counts.cannot_train) <= set(CONVERSATION_REASONS)


@pytest.mark.parametrize("wrong", ["0", "6", "good", "", "UP", "4.5"])
def test_a_rating_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="is none of 1, 2, 3, 4, 5, up, down"):
        parse_rating(wrong)


def test_over_http_it_does_the_same_and_a_server_that_refuses_is_named(
    sqlite_settings: Settings, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.ndjson", conversation(id="c"), conversation(id="c"), {"id": 1})
    with running(sqlite_settings, engine=False) as live:
        with http_post(live.url) as post:
            assert figures(import_file(path, post, tmp_path)) == (1, 1, 0, 1)
        key = create_key(live.store, "reader", None, "read")
        time.sleep(2.1)  # a server may know its keys for two seconds
        for wrong, sentence in ((None, "needs an API key"), (key, "needs the scope 'ingest'")):
            with http_post(live.url, wrong) as post, pytest.raises(InputError, match=sentence):
                import_file(path, post, tmp_path)


def test_the_app_of_lines_that_name_none_is_the_same_over_http(sqlite_settings: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "f.ndjson", conversation(id="c"), conversation(id="d", app="blog"))
    with running(sqlite_settings, engine=False) as live, http_post(live.url) as post:
        import_file(path, post, tmp_path, app="shop")
        with live.http() as client:
            found = [client.get(f"/v1/conversations/{id}?app={app}").status_code for id, app in APPS]
    assert found == [200, 200, 404]


APPS = [("c", "shop"), ("d", "blog"), ("c", "default")]


def test_a_server_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RETRY_SECONDS", 0.0)
    path = write(tmp_path / "f.ndjson", conversation())
    with http_post("http://127.0.0.1:9") as post, pytest.raises(Busy, match="does not answer"):
        import_file(path, post, tmp_path)


def test_an_import_that_broke_off_goes_on_where_it_stopped(
    store: Store, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_THINGS", 3)
    monkeypatch.setattr(run, "RETRY_SECONDS", 0.0)
    path = write(tmp_path / "f.ndjson", *(conversation() for _ in range(8)), {"id": 1}, conversation())
    posted: list[int] = []
    with direct_post(store, vault) as post:

        def breaking(batch: Sequence[Ready]) -> Any:
            if len(posted) == 2:
                raise Busy("gone")
            posted.append(len(batch))
            return post(batch)

        with pytest.raises(Busy):
            import_file(path, breaking, tmp_path)
        note = next((tmp_path / "imports").iterdir())
        assert json.loads(note.read_text())["mark"] == [0, 6]
        counts = import_file(path, post, tmp_path)
    assert figures(counts) == (9, 0, 0, 1)
    with store.read() as session:
        assert session.exec(select(func.count()).select_from(tables.Conversation)).one() == 9


def test_what_one_database_took_is_still_sent_to_another(
    store: Store, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_THINGS", 1)
    path = write(tmp_path / "f.ndjson", *(conversation() for _ in range(3)))
    posted: list[Ready] = []

    def breaking(batch: Sequence[Ready]) -> Any:
        posted.extend(batch)
        if len(posted) == 2:
            raise InputError("refused")
        return lambda: [("created", None)]

    with pytest.raises(InputError):
        import_file(path, breaking, tmp_path, target="http://elsewhere")
    with direct_post(store, vault) as post:
        assert import_file(path, post, tmp_path, target="here").of("conversations", "created") == 3
    with store.read() as session:
        assert session.exec(select(func.count()).select_from(tables.Conversation)).one() == 3


def test_progress_reaches_the_end_and_a_missing_file_is_named(store: Store, vault: Vault, tmp_path: Path) -> None:
    path = write(tmp_path / "f.ndjson", conversation())
    seen: list[tuple[int, int]] = []
    with direct_post(store, vault) as post:
        import_file(path, post, tmp_path, progress=lambda done, total, rate: seen.append((done, total)))
        with pytest.raises(NotFound, match=r"there is no file .*nowhere"):
            import_file(tmp_path / "nowhere", post, tmp_path)
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
