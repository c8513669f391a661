"""What every page does in a browser: the reader's clock, the keyboard, and all of it without script."""

from tests.browser.conftest import Visit


def test_the_first_key_leads_past_the_navigation(visit: Visit) -> None:
    page = visit("/models")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_page_reads_the_same_without_script(visit: Visit) -> None:
    shown = [visit("/models", script=script).locator("main").inner_text() for script in (True, False)]
    assert "Promotions" in shown[0] and shown[0].split()[:12] == shown[1].split()[:12]
