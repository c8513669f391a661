"""One small home that is filled, its service, and one headless Chromium: Debian's, driven by Playwright.

    def test_something(visit: Visit) -> None:
        page = visit("/models", width=390, scheme="dark")

All three live as long as the package's tests: Playwright keeps an event loop in this thread, and tests of other folders
start their own.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.web.filled import fill

NAMES = ("chromium", "chromium-browser", "google-chrome")
HEIGHT = 900
Scheme = Literal["light", "dark"]
Visit = Callable[..., Page]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A headless browser of this machine; none is downloaded."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(
            "Chromium is not installed, so no page was looked at in a browser (Debian: apt-get install chromium)"
        )
    arguments = ["--no-proxy-server"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service as after some weeks, with what `fill` puts into it and its engine."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    settings = make_settings(home)
    fill(settings)
    with running(settings) as service:
        yield service


@pytest.fixture
def visit(chromium: Browser, site: Live) -> Iterator[Visit]:
    """Opens a page of the service: `visit("/models", width=390, scheme="dark", zone="Asia/Seoul", script=False)`."""
    opened = []

    def open_page(
        path: str,
        width: int = 1280,
        scheme: Scheme = "light",
        zone: str = "UTC",
        script: bool = True,
        language: str = "en-GB",
    ) -> Page:
        context = chromium.new_context(
            base_url=site.url,
            viewport={"width": width, "height": HEIGHT},
            color_scheme=scheme,
            timezone_id=zone,
            locale=language,
            java_script_enabled=script,
        )
        opened.append(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield open_page
    for context in opened:
        context.close()
