"""Conversations laid aside: the same ones come back, by name, and no file says what is in them."""

import os
from pathlib import Path

import pytest

from pipelines.feedback import shelf
from pipelines.feedback.shelf import Lazy, Shelf
from pipelines.records import RatedConversation
from tests.pipelines.feedback_rows import asked, crowded_pool, up

HELD = pytest.mark.parametrize("held", [0, 2, 1_000], ids=["none in memory", "two in memory", "all in memory"])


@HELD
def test_what_is_laid_aside_comes_back_in_the_order_of_names(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "HELD", held)
    pool = crowded_pool(1, 12)
    shuffled = [pool[place] for place in (3, 0, 11, 5, 1, 2, 4, 9, 10, 6, 8, 7)]

    found = Shelf(shuffled, tmp_path)

    assert list(found) == pool and found[4] == pool[4] and list(found[2:4]) == pool[2:4] and len(found) == 12
    names = {pool[7].conversation, pool[2].conversation}
    assert list(found.named(names)) == [pool[2], pool[7]] and found.places_of(names) == [2, 7]


def test_a_text_with_half_a_surrogate_comes_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "HELD", 0)
    odd = asked("a", "half \ud83d of it", ("fine", up("u")))

    assert list(Shelf([odd])) == [odd]


def test_the_file_has_no_name_says_nothing_and_is_closed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "HELD", 0)
    written: list[bytes] = []
    write = os.pwrite

    def noted(handle: int, data: bytes, place: int) -> int:
        written.append(bytes(data))
        return write(handle, data, place)

    monkeypatch.setattr(os, "pwrite", noted)
    handles = len(os.listdir("/proc/self/fd"))
    found = Shelf([asked(name, "my SECRET", ("your SECRET", up("u"))) for name in "abc"], tmp_path)

    assert found[1].messages[0].text == "my SECRET" and list(tmp_path.iterdir()) == []
    assert written and all(b"SECRET" not in data for data in written)
    assert len(os.listdir("/proc/self/fd")) == handles + 1
    del found
    assert len(os.listdir("/proc/self/fd")) == handles


def test_a_lazy_sequence_makes_an_item_each_time_it_is_asked_for() -> None:
    made: list[int] = []

    def show(number: int) -> RatedConversation:
        made.append(number)
        return asked(str(number), "q", ("a", ()))

    rows = Lazy([1, 2, 3], show)

    assert len(rows) == 3 and not made
    assert rows[1].conversation == "2" and [one.conversation for one in rows[1:]] == ["2", "3"] and made == [2, 2, 3]
