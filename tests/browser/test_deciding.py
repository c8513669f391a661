"""Deciding by click: a model is promoted after a confirmation, the page shows by itself that it answers, and it is rolled back."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit

SECONDS = 60_000


def test_a_model_is_promoted_answers_and_is_rolled_back(visit: Visit) -> None:
    page = visit("/models", width=390)
    page.locator("#good").get_by_role("link", name="Promote").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Promote good")
    page.get_by_role("button", name="Promote", exact=True).press("Enter")
    good = page.locator("#good")
    expect(good.get_by_text("champion", exact=True)).to_be_visible(timeout=SECONDS)
    expect(good.get_by_text("serving", exact=True)).to_be_visible(timeout=SECONDS)  # without a reload
    page.get_by_role("link", name="Roll back to origin").click()
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.locator("#origin").get_by_text("champion", exact=True)).to_be_visible(timeout=SECONDS)
