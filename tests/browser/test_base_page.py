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
    assert "Who answered" in shown[0] and shown[0].split()[:15] == shown[1].split()[:15]


def test_times_are_told_by_the_readers_clock(visit: Visit) -> None:
    told = {}
    for zone in ("UTC", "Asia/Seoul"):
        time = visit("/models", zone=zone).locator("time").first
        told[zone] = time.inner_text()
        assert "UTC" in (time.get_attribute("title") or "")
    assert told["UTC"] != told["Asia/Seoul"] and "UTC" not in told["Asia/Seoul"]


def test_a_refresh_leaves_the_focus_and_what_is_open_where_they_are(visit: Visit) -> None:
    page = visit("/models")
    page.locator("summary").first.click()
    link = page.locator("main a[href^='/models/']").first
    link.focus()
    address = link.get_attribute("href")
    page.evaluate("parts = parts.map(() => 'as if all of it had changed')")
    page.evaluate("refresh()")
    assert page.evaluate("document.activeElement.getAttribute('href')") == address
    assert page.locator("details[open]").count() == 1
