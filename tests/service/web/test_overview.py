"""The overview's parts: counts that nobody waits for, the wheel, the curve of thumbs, and what needs a hand."""

import re
import shutil
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import pytest

from pipelines.errors import InputError
from service.store.weeks import Thumbs
from service.web.pages import counted
from service.web.pages.counted import Counted
from service.web.pages.machine import machine_of
from service.web.pages.overview import thumbs_chart, words_of
from service.web.pages.wheel import SIZE, Place, drawn
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.served import add_model, add_round
from tests.service.web.filled import fill


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    fill(settings := make_settings(home))
    with running(settings, engine=False) as service:
        yield service


@pytest.fixture
def browser(live: Live) -> Iterator[httpx.Client]:
    with live.http(follow_redirects=True) as client:
        yield client


def test_a_slow_count_is_shown_as_it_was_while_the_next_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "_SHARE", 0)
    monkeypatch.setattr(counted, "PATIENCE_SECONDS", 0.0)
    going, counts = threading.Event(), iter((1, 2))

    def count() -> int:
        going.wait(30)
        return next(counts)

    going.set()
    figures = Counted(count)
    assert figures() == 1
    going.clear()
    figures._due = 0.0
    assert (figures(), figures()) == (1, 1)  # while the second one runs
    going.set()
    figures._due = float("inf")
    for _ in range(1000):
        if figures() == 2:
            break
        threading.Event().wait(0.01)
    assert figures() == 2


def test_a_count_that_fails_is_told_and_tried_again() -> None:
    answers = iter((InputError("it did not work"), 3))

    def count() -> int:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    figures = Counted(count)
    with pytest.raises(InputError, match="it did not work"):
        figures()
    assert figures() == 3


def test_the_places_of_the_wheel_stand_apart_and_within_the_picture() -> None:
    places = drawn([Place(str(number), "") for number in range(6)])
    assert all(58 <= one.x <= SIZE - 58 and 58 <= one.y <= SIZE - 58 for one in places)
    assert min((a.x - b.x) ** 2 + (a.y - b.y) ** 2 for a in places for b in places if a is not b) > (2 * 58) ** 2


def test_a_curve_of_thumbs_has_a_line_a_model_and_gaps_where_nobody_rated() -> None:
    day, later = date(2026, 11, 2), date(2026, 11, 3)
    thumbs = [Thumbs("a", day, 3, 1), Thumbs("b", day, 1, 1), Thumbs("a", later, 1, 0)]
    chart = thumbs_chart(thumbs)
    assert chart is not None
    assert '"a":[75.0,100.0]' in chart["data"] and '"b":[50.0,null]' in chart["data"]
    assert chart["rows"][0] == thumbs[-1]
    assert thumbs_chart([]) is None and (thumbs_chart(thumbs[:1]) or {})["data"] is None


def test_reasons_are_words_that_a_person_understands(browser: httpx.Client) -> None:
    assert words_of("low_satisfaction") == "rated below %(least)s of 5" and words_of("of another version") == ""
    assert words_of("too_long") and words_of("unreadable:KeyError")


def test_the_overview_tells_what_needs_a_hand(live: Live, browser: httpx.Client) -> None:
    text = browser.get("/").text.split("What needs a hand")[1].split("</section>")[0]
    assert "good passed and waits for somebody to decide" in text
    add_round(live.store, state="error")
    add_model(live.store, live.settings, "later", round_id=1)
    text = browser.get("/fragments/").text.split("What needs a hand")[1].split("</section>")[0]
    assert re.search(r"Round \d+ ended in an error", text) is None  # round 2 still runs, and is the one to look at
    assert "later passed" in text


def test_the_overview_reads_in_korean(browser: httpx.Client) -> None:
    text = browser.get("/?lang=ko").text
    for part in ("플라이휠", "막고 있는 것", "손길이 필요한 일", "챔피언"):
        assert part in text


def test_the_machine_tells_its_room(live: Live) -> None:
    machine = machine_of(live.settings)
    assert 0 < machine.disk_free <= machine.disk_all and machine.cores >= 1
    assert machine.memory_all is None or machine.memory_all > 1 << 26
