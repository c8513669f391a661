"""Every page of the navigation, and those behind it: axe-core has nothing against it, nothing sticks out, nothing is refused.

Each is opened once, and what was seen of it is told by the tests one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import HEIGHT
from tests.service.live import Live

AXE = Path(__file__).parents[2] / ".make" / "page" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (390, 1920)
BEHIND = (
    *("/rounds/1", "/rounds/2", "/models/good", "/models/good/promote", "/models/bad/promote", "/rounds/99"),
    *(
        "/rounds/new?recipe=tiny",
        "/rounds/compare?a=1&b=2",
        "/rounds/1/card",
        "/rounds/1/conversations",
        "/recipes/tiny",
    ),
)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Look:
    """What was seen of a page: what axe-core found by colour scheme, what sticks out by width, what the console said."""

    path: str
    faults: dict[str, list[str]] = field(default_factory=dict)
    sticks_out: dict[int, list[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def looks(chromium: Browser, site: Live) -> Iterator[list[Look]]:
    """A look at each page."""
    context = chromium.new_context(base_url=site.url)
    page = context.new_page()
    page.goto("/")
    paths = [link.get_attribute("href") for link in page.locator("header nav a").all()]
    assert "/" in paths and "/models" in paths
    yield [_look(page, path) for path in (*filter(None, paths), *BEHIND)]
    context.close()


def test_axe_finds_nothing_in_the_light(looks: list[Look]) -> None:
    _need_axe()
    assert {look.path: look.faults["light"] for look in looks if look.faults["light"]} == {}


def test_axe_finds_nothing_in_the_dark(looks: list[Look]) -> None:
    _need_axe()
    assert {look.path: look.faults["dark"] for look in looks if look.faults["dark"]} == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(looks: list[Look], width: int) -> None:
    assert {look.path: look.sticks_out[width] for look in looks if look.sticks_out[width]} == {}


def test_nothing_is_refused_by_the_policy_and_no_script_fails(looks: list[Look]) -> None:
    assert {look.path: look.said for look in looks if look.said} == {}


def _look(page: Page, path: str) -> Look:
    look = Look(path)

    def hear(message: Any) -> None:
        if message.type in ("error", "warning") and "404" not in message.text:
            look.said.append(message.text)

    page.on("console", hear)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": HEIGHT})
    page.goto(path)
    look.faults["light"] = _faults(page, {"type": "tag", "values": TAGS})
    page.emulate_media(color_scheme="dark")
    look.faults["dark"] = _faults(page, {"type": "rule", "values": ["color-contrast"]})
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        look.sticks_out[width] = page.evaluate(_WIDER)
    page.remove_listener("console", hear)
    return look


# what is wider than the window, the innermost of it; what scrolls by itself may hold anything
_WIDER = """async () => {
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);  // curves follow in the next one
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.body.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > width + 1 && !one.closest(".scroll, .hidden-text, .skip"))
    .filter((one, _, all) => !all.some((other) => other !== one && one.contains(other)))
    .map((one) => `${one.outerHTML.slice(0, 100)} ends at ${Math.round(one.getBoundingClientRect().right)}`)
    .concat(`scrolls to ${document.documentElement.scrollWidth}`);
}"""


def _need_axe() -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not there, so no page was checked with it: make page fetches it")


def _faults(page: Page, rules: dict[str, Any]) -> list[str]:
    """What axe-core finds, one line each."""
    if not AXE.is_file():
        return []
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run({runOnly: rules, resultTypes: ['violations']})", rules)
    return [f"{one['id']}: {node['target'][0]}" for one in found["violations"] for node in one["nodes"]]
