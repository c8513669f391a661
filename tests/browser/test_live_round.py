"""The page of a round that runs, in a browser: it grows whatever has the focus, and says when the service is gone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.service.live import Live


@pytest.fixture
def progress(site: Live) -> Iterator[Path]:
    """What the stage that runs writes; as it was again behind the test."""
    path = site.settings.home / "rounds" / "0002" / "attempt-1" / "train.1.tmp" / "progress.jsonl"
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def tell(progress: Path, done: int) -> None:
    with progress.open("a") as file:
        file.write(f'\n{{"stage": "train", "done": {done}, "total": 100, "loss": 0.75}}\n')


def test_a_round_grows_under_the_focus_and_keeps_what_was_opened(visit: Callable[..., Page], progress: Path) -> None:
    page = visit("/rounds/2")
    expect(page.locator("[data-part=stages]")).to_contain_text("40 of 100")
    page.locator("#cancel-round summary").click()
    page.locator("#cancel-now").focus()
    figures = page.locator("#losses-attempt-1")
    figures.evaluate("part => part.open = true")
    tell(progress, 61)
    expect(page.locator("[data-part=stages]")).to_contain_text("61 of 100")
    expect(page.locator("#losses-attempt-1-chart figcaption")).to_contain_text("to 0.750")
    assert figures.get_attribute("open") is not None
    assert page.evaluate("document.activeElement.id") == "cancel-now"
    assert page.locator("#cancel-round").get_attribute("open") is not None


def test_a_round_waits_while_its_text_is_selected_and_says_so(visit: Callable[..., Page], progress: Path) -> None:
    page = visit("/rounds/2")
    stages = page.locator("[data-part=stages]")
    expect(stages).to_contain_text("40 of 100")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-part=stages]'))")
    tell(progress, 62)
    expect(page.locator("[data-paused]")).to_be_visible()
    expect(stages).to_contain_text("40 of 100")
    page.evaluate("getSelection().removeAllRanges()")
    expect(stages).to_contain_text("62 of 100")
    expect(page.locator("[data-paused]")).to_be_hidden()


def test_a_lost_service_is_said_and_caught_up_with(visit: Callable[..., Page], progress: Path) -> None:
    page = visit("/rounds/2")
    page.context.route("**/rounds/2/events", lambda route: route.abort())
    page.reload()
    expect(page.locator("[data-lost]")).to_be_visible()
    tell(progress, 63)
    page.context.unroute("**/rounds/2/events")
    expect(page.locator("[data-part=stages]")).to_contain_text("63 of 100", timeout=15_000)
    expect(page.locator("[data-lost]")).to_be_hidden()
