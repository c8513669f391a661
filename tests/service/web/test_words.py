"""The words of the pages: every text of a template has a Korean one, and a reader gets the language that they read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file

from pipelines.curate.reasons import QUARANTINED, REJECTED
from pipelines.feedback.reasons import CONVERSATION_REASONS
from service.web.pages.visit import WEB, templates
from service.web.pages.words import LANGUAGES, catalogues, translations
from tests.conftest import make_settings
from tests.service.live import Live, running


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    (home / "perennial.db").write_bytes(sqlite_template.read_bytes())
    with running(make_settings(home), engine=False) as service:
        yield service


def texts_of_templates() -> set[str]:
    """What templates give to `_`, and what the pages' modules mark with N_ for them."""
    environment = templates()
    texts: set[str] = set()
    for name in environment.list_templates(extensions=["html"]):
        source = (WEB / "templates" / name).read_text(encoding="utf-8")
        for _, _, message in environment.extract_translations(source):  # type: ignore[attr-defined]
            texts.update(part for part in ((message,) if isinstance(message, str) else message or ()) if part)
    for path in sorted((WEB / "pages").glob("*.py")):
        texts.update(message for _, message, _, _ in extract_from_file("python", path, keywords={"N_": None}))
    for reasons in (CONVERSATION_REASONS, REJECTED, QUARANTINED):  # which pages give to `_` too
        texts.update(reasons.values())
    return texts


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_every_text_of_the_pages_is_translated_and_no_other_is(language: str) -> None:
    translated: set[str] = set()
    for catalogue in catalogues(language):
        for message in catalogue:
            names = message.id if isinstance(message.id, tuple) else (message.id,)
            translated.update(name for name in names if name and message.string)
    texts = texts_of_templates()
    assert texts - translated == set(), "these have no translation"
    assert translated - texts == set(), "no template says these"


def test_placeholders_are_the_same_in_both_languages() -> None:
    for catalogue in catalogues("ko"):
        for message in catalogue:
            assert list(message.check(catalogue)) == []


def test_a_text_without_a_translation_stays_as_it_is() -> None:
    assert translations("ko").gettext("never said") == "never said"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_value_that_a_template_translates_is_no_markup(language: str) -> None:
    given = templates(language).from_string("{{ _(value) }} {% trans %}{{ value }} of it{% endtrans %}")
    assert "<b>" not in given.render(value="<b>bold</b>")


@pytest.mark.parametrize(
    ("asked", "heading"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.5", "로그인"),
        ("fr,en;q=0.5,ko;q=0.4", "Sign in"),
        ("", "Sign in"),
        ("ko;q=x", "Sign in"),
    ],
)
def test_a_browser_gets_its_language(live: Live, asked: str, heading: str) -> None:
    with live.http(headers={"Accept-Language": asked}) as browser:
        assert f"<h1>{heading}</h1>" in browser.get("/login").text


def test_a_chosen_language_is_kept(live: Live) -> None:
    with live.http() as browser:
        assert '<html lang="ko">' in browser.get("/login?lang=ko").text
        assert "<h1>로그인</h1>" in browser.get("/login").text
        assert "<h1>Sign in</h1>" in browser.get("/login?lang=en").text
        assert "<h1>Sign in</h1>" in browser.get("/login?lang=xx").text
