"""The group writer: bounded, and one bad row or a failing database loses nothing that was acknowledged."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, func, select

from pipelines.errors import Busy
from service.ingest import Incoming, Writer
from service.settings import Settings
from service.store import tables
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.factories import conversation, incoming


def stored(store: Store) -> int:
    with store.read() as session:
        return session.exec(select(func.count()).select_from(tables.Conversation)).one()


def test_concurrent_senders_share_commits_and_all_hear_of_them(store: Store, vault: Vault) -> None:
    with Writer(store, vault) as writer:
        results: list[str] = []

        def send() -> None:
            for _ in range(10):
                results.append(writer.submit([incoming(conversation())]).result(30)[0].result)

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == ["created"] * 80 and stored(store) == 80


def test_the_same_conversation_from_many_senders_is_stored_once(store: Store, vault: Vault) -> None:
    given = incoming(conversation())
    with Writer(store, vault) as writer:
        futures = [writer.submit([given, given]) for _ in range(10)]
        results = [outcome.result for future in futures for outcome in future.result(30)]
    assert results.count("created") == 1 and results.count("unchanged") == 19 and stored(store) == 1


def test_a_full_queue_refuses_at_once_and_keeps_what_it_took(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    with Writer(store, vault, max_waiting=5) as writer:
        with store.begin():  # the writer cannot commit meanwhile
            taken = [writer.submit([incoming(conversation())]) for _ in range(5)]
            with pytest.raises(Busy, match="send this again"):
                writer.submit([incoming(conversation())])
        assert [future.result(30)[0].result for future in taken] == ["created"] * 5
        assert writer.submit([incoming(conversation())]).result(30)[0].result == "created"
    assert stored(store) == 6
    store.close()


def test_one_row_that_the_database_refuses_does_not_fail_its_group(store: Store, vault: Vault) -> None:
    good, bad = incoming(conversation()), incoming(conversation())
    broken = Incoming(**{name: getattr(bad, name) for name in bad.__slots__} | {"occurred_at": "no time"})  # type: ignore[arg-type]
    with Writer(store, vault) as writer:
        with store.begin() if store.is_sqlite else store.read():
            futures = [
                writer.submit([good]),
                writer.submit([broken]),
                writer.submit([incoming(conversation()), broken]),
            ]
        assert futures[0].result(30)[0].result == "created"
        failed = futures[1].exception(30)
        refused = [o.result for o in futures[1].result()] if failed is None else [type(failed).__name__]
        assert refused and refused != ["created"]
        assert writer.submit([incoming(conversation())]).result(30)[0].result == "created"
    assert stored(store) == 3


def test_a_failed_commit_is_told_and_sending_again_works(store: Store, vault: Vault) -> None:
    given = incoming(conversation())
    with Writer(store, vault) as writer:
        with store.begin() as session:
            session.execute(text('ALTER TABLE "conversation" RENAME TO hidden'))
        with pytest.raises(Exception, match=r".+"):
            _answer(writer, given)
        with store.begin() as session:
            session.execute(text('ALTER TABLE hidden RENAME TO "conversation"'))
        assert _answer(writer, given) == "created"


class Unheard(Store):
    """A database that commits, and whose answer is lost on the way: it was killed just then, say."""

    @contextmanager
    def begin(self) -> Iterator[Session]:
        with super().begin() as session:
            yield session
        raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


def test_a_commit_whose_answer_is_lost_is_not_called_undone_and_is_not_done_twice(store: Store, vault: Vault) -> None:
    given = incoming(conversation(id="c-lost"))
    with Writer(Unheard(store.engine, store.keys, store.erasures), vault) as writer, pytest.raises(Busy) as refusal:
        writer.submit([given]).result(30)
    assert "send it again" in str(refusal.value) and "nothing" not in str(refusal.value)
    with Writer(store, vault) as writer:
        assert writer.submit([given]).result(30)[0].result == "unchanged"
    assert stored(store) == 1


def test_closing_commits_what_was_taken_and_takes_no_more(store: Store, vault: Vault) -> None:
    writer = Writer(store, vault).start()
    futures = [writer.submit([incoming(conversation())]) for _ in range(20)]
    writer.close()
    assert all(future.result(0)[0].result == "created" for future in futures) and stored(store) == 20
    with pytest.raises(Busy):
        writer.submit([incoming(conversation())])


def test_a_probe_writes_and_an_unwritable_database_is_noticed(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    with Writer(store, vault) as writer:
        writer.probe().result(10)
        with store.begin():
            future = writer.probe()
            time.sleep(0.05)
            assert not future.done()
        future.result(10)
    store.close()


def _answer(writer: Writer, given: Incoming) -> str:
    outcome = writer.submit([given]).result(30)[0]
    if outcome.status >= 400:
        raise Busy(outcome.detail or "")
    return outcome.result


def test_two_servers_on_one_database_store_each_conversation_once(
    settings: Settings, store: Store, vault: Vault
) -> None:
    given = [incoming(conversation(user=f"u-{number % 3}")) for number in range(40)]
    other = open_store(settings)
    with Writer(store, vault) as first, Writer(other, vault) as second:
        futures = [writer.submit([one]) for one in given for writer in (first, second)]
        results = [future.result(60)[0].result for future in futures]
    other.close()
    assert (results.count("created"), results.count("unchanged")) == (40, 40)
    with store.read() as session:
        assert session.exec(select(func.count()).select_from(tables.Person)).one() == 3


def test_a_request_that_is_cancelled_neither_stops_the_writer_nor_loses_what_it_sent(
    store: Store, vault: Vault
) -> None:
    with Writer(store, vault) as writer:
        given_up = writer.submit([incoming(conversation())])
        assert given_up.cancel() is False
        assert writer.submit([incoming(conversation())]).result(30)[0].result == "created"
    assert stored(store) == 2


def test_who_was_answered_finds_the_place_in_the_queue_free(store: Store, vault: Vault) -> None:
    waiting: list[int] = []
    with Writer(store, vault) as writer:
        answered = writer.submit([incoming(conversation())])
        answered.add_done_callback(lambda _: waiting.append(writer.waiting))
    assert waiting == [0]
