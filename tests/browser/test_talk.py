"""A person chats in a real browser: the answer is streamed by the script, and what is said of it stands on the page."""

import pytest
from playwright.sync_api import expect

from service.web.pages import chat
from tests.browser.conftest import Visit
from tests.service.live import Live


def test_a_chat_with_thumbs_and_a_second_answer(visit: Visit, site: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MAX_TOKENS", 16)  # the random model ends no answer by itself
    site.wait_for_model("origin")
    page = visit("/chat", width=390)
    page.get_by_label("Your message").fill("Where does the Osk rise?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Thumb up")).to_be_visible(timeout=30_000)
    assert page.url.rsplit("/", 1)[1].startswith("chat-") and page.get_by_label("Your message").input_value() == ""
    page.get_by_role("button", name="Another answer").click()
    expect(page.get_by_role("button", name="I prefer this one")).to_have_count(2, timeout=30_000)
    page.get_by_role("button", name="Thumb up").first.click()
    expect(page.get_by_text("1 up")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keys_of_the_review_drop_and_go_back(visit: Visit) -> None:
    page = visit("/review")
    first = page.url
    page.keyboard.press("x")
    page.wait_for_url(lambda url: "/review" in url and url != first)
    page.keyboard.press("k")
    page.wait_for_url(first)
    expect(page.get_by_text("A reviewer dropped it")).to_be_visible()
