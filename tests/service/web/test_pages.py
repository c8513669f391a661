"""The pages: what they show, the strict policy, sign-in, tokens, and promotion by click with its confirmation."""

import html
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.bases.facts import Proof
from pipelines.feedback.reasons import CONVERSATION_REASONS
from pipelines.stages import STAGES
from service.api_keys import create_key
from service.bases.records import AdoptedBase
from service.settings import Settings
from service.store import health, models
from service.store.session import open_store
from service.store.tables import now
from service.web.pages import charts, routes, scores, visit
from service.web.pages.preferences import preference_view
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.served import add_model, crown
from tests.service.web.filled import fill, write_manifest


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with a champion, a candidate that passed, one that failed, and a round that trains."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    settings = make_settings(home)
    fill(settings)
    with running(settings, engine=False) as service:
        yield service


@pytest.fixture
def browser(live: Live) -> Iterator[httpx.Client]:
    with live.http(follow_redirects=True) as client:
        yield client


def test_every_page_answers_with_the_strict_policy_and_no_inline_code(browser: httpx.Client) -> None:
    for path in ("/", "/rounds", "/rounds/1", "/rounds/2", "/models", "/models/good", "/models/good/promote", "/login"):
        page = browser.get(path)
        policy = page.headers["content-security-policy"]
        assert page.status_code == 200 and "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", page.text), path
        assert 'lang="en"' in page.text and page.text.count("<h1>") == 1


def test_the_overview_shows_funnel_champion_and_what_was_left_out(browser: httpx.Client) -> None:
    text = browser.get("/").text
    for part in (
        "origin",
        "received",
        "too_short",
        CONVERSATION_REASONS["cannot_be_rendered"],
        'start <span class="mono">perennial engine</span>',
        "Round 2 is running",
        "1 waits for curation.",
    ):
        assert part in text
    assert "No conversation has come in yet" not in text


def test_the_overview_lists_what_stops_you_with_the_cure(live: Live, browser: httpx.Client) -> None:
    text = browser.get("/").text.split("What stops you")[1].split("</section>")[0]
    assert "Nobody runs the engine" in text and '<span class="mono">perennial up --names rules</span>' in text
    assert "Nothing stops you" not in browser.get("/").text and "What stops you" in browser.get("/fragments/").text


def test_the_overview_says_when_nothing_stops_you(sqlite_settings: Settings) -> None:
    settings = replace(sqlite_settings, allow_degraded_names=True, min_free_bytes=1)
    with running(settings) as service, service.http() as browser:
        add_model(service.store, settings, "origin", kind="origin", verdict=None)
        crown(service.store, "origin")
        health.beat(service.store, "host:1")
        service.wait_for_model("origin")
        deadline = time.monotonic() + 30
        while "What stops you" in (text := browser.get("/").text):
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
        assert "Nothing stops you." in text


def test_a_fragment_is_the_changing_part_alone(browser: httpx.Client) -> None:
    page, fragment = browser.get("/models").text, browser.get("/fragments/models").text
    assert "<html" not in fragment and fragment.strip() in page
    assert 'data-refresh="/fragments/models"' in page


def test_a_running_round_shows_stage_progress_and_the_loss_curve(browser: httpx.Client) -> None:
    text = browser.get("/rounds/2").text
    assert (
        "40 of 100" in text
        and "data-chart=" in text
        and "Training loss from 3.000 to 1.000, dev loss from 2.900" in text
    )


def test_a_finished_round_shows_scores_with_intervals_and_reasons(browser: httpx.Client) -> None:
    text = browser.get("/rounds/1").text
    for part in (
        "tiny_math",
        "-1.2",
        "-2.0 to -0.4",
        "600",
        "surely inside the margin",
        'class="interval"',
        'class="margin"',
    ):
        assert part in text


def test_a_finished_round_shows_what_became_of_the_thumbs(browser: httpx.Client) -> None:
    text = browser.get("/rounds/1").text.split("Learning from thumbs")[1]
    for part in (
        "<strong>kto</strong>",
        "Few pairs.",
        "At most 3.7 %",
        "10.0 %",
        "95.0 %",
        "40 held-out pairs",
        "+70.5 to +92.0",
        "over_user_cap",
        ">31<",
        "one voted up and one down",
        ">360<",
        ">74<",
        'class="interval"',
    ):
        assert part in text, part
    assert ">prefer<" in browser.get("/rounds/1").text


def test_a_round_lists_the_stages_of_the_spine_with_what_they_are_for(browser: httpx.Client) -> None:
    listed = re.findall(r'<span title="([^"]+)">(\w+)<span', browser.get("/rounds/1").text)

    assert [(html.unescape(title), name) for title, name in listed] == [(one.title, one.name) for one in STAGES]


def test_a_round_without_preferences_says_nothing_of_them(browser: httpx.Client) -> None:
    text = browser.get("/rounds/2").text
    assert "Learning from thumbs" not in text and ">prefer<" not in text


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"preference": null}', '{"preference": {"method": 1}}'])
def test_a_report_that_cannot_be_read_hides_the_card(text: str | None, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    if text is not None:
        (tmp_path / "report" / "report.json").write_text(text)
    assert preference_view(tmp_path) is None


def test_a_stage_that_was_left_out_shows_why_without_figures(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    told = {"preference": {"method": "none", "why": "31 downs, 200 are asked.", "dropped": {"too_few": 90}}}
    (tmp_path / "report" / "report.json").write_text(json.dumps(told))
    view = preference_view(tmp_path)
    assert view is not None and (view.method, view.after, view.bounds, view.drawing) == ("none", "", "", None)


def test_the_report_of_a_round_from_before_still_shows_its_thumbs(tmp_path: Path) -> None:
    """Written by the code before report.json had records of its own."""
    before = Path(__file__).parents[2] / "pipelines" / "stages" / "reports" / "thumbs.json"
    (tmp_path / "report").mkdir()
    shutil.copy(before, tmp_path / "report" / "report.json")
    view = preference_view(tmp_path)
    assert view is not None and (view.method, view.before, view.after, view.pairs) == ("kto", "10.0 %", "95.0 %", 40)
    assert [row.rule for row in view.feedback if row.fate == "dropped"] == ["echo", "tied", "over_user_cap"]
    assert all(row.words for row in view.feedback)


def test_a_candidate_that_learned_nothing_is_shown_with_the_reason(tmp_path: Path) -> None:
    check = {"suite": "candidate", "criterion": "change", "outcome": "fail", "reason": "candidate: unchanged: fail"}
    later = {"needed": None, "what a later version adds": 1}
    write_manifest(tmp_path, {"outcome": "fail", "checks": [check | later]})
    (row,) = (scores.score_row(one, ()) for one in scores.read_checks(tmp_path))
    assert (row.suite, row.metric, row.verdict, row.drawing) == ("candidate", "change", "fail", None)


def test_what_people_wrote_is_escaped(browser: httpx.Client) -> None:
    assert (
        "<script>alert" not in browser.get("/rounds/1").text and "&lt;script&gt;alert" in browser.get("/rounds/1").text
    )


def test_the_models_page_shows_adopted_bases_with_their_proofs(live: Live, browser: httpx.Client) -> None:
    assert "adopted with proofs" not in browser.get("/models").text
    base = AdoptedBase(
        name="alone",
        source="/models/<b>alone</b>.gguf",
        revision=None,
        facts=None,
        quantize="Q4_K_M",
        origin="first",
        proofs=(Proof(name="stops", passed=True, line="answers to 4 of 4 short questions end by themselves"),),
        recipe=None,
        choices=(),
    )
    path = live.settings.home / "bases" / "alone" / "base.json"
    path.parent.mkdir(parents=True)
    path.write_text(base.model_dump_json())
    text = browser.get("/models").text
    shutil.rmtree(path.parent)
    assert "adopted with proofs" in text and base.proofs[0].line in text
    assert "served, not trained" in text and "&lt;b&gt;alone" in text and "<b>alone" not in text


@pytest.mark.parametrize("path", ["/rounds/99", "/models/nobody/promote", "/fragments/nothing", "/rounds/99999999999"])
def test_what_does_not_exist_is_a_page_with_a_sentence(browser: httpx.Client, path: str) -> None:
    page = browser.get(path)
    assert page.status_code == 404 and 'role="alert"' in page.text


@pytest.mark.parametrize("name", ["perennial.css", "perennial.js", "leaf.svg"])
def test_static_files_are_served(browser: httpx.Client, name: str) -> None:
    assert browser.get(f"/static/{name}").status_code == 200


def test_promotion_is_offered_only_to_what_passed(browser: httpx.Client) -> None:
    text = browser.get("/models").text
    good, bad = _row(text, "good"), _row(text, "bad")
    assert 'class="button" href="/models/good/promote">Promote<' in good
    assert "button" not in bad and ">Promote all the same<" in bad and "answers now" in _row(text, "origin")


def test_what_tainted_means_is_said_where_a_model_is_called_so(live: Live, browser: httpx.Client) -> None:
    add_model(live.store, live.settings, "forgotten", tainted_at=now())
    shown = browser.get("/models").text
    sentence = "tainted: learned from a person who was forgotten since"
    assert f'<span title="{sentence}' in shown and shown.count(sentence) == 2


def test_a_form_without_its_token_or_from_another_page_is_refused(live: Live, browser: httpx.Client) -> None:
    token = token_of(browser.get("/models/good/promote").text)
    assert browser.post("/models/good/promote", data={"csrf": "guess"}).status_code == 403
    with live.http() as other:
        assert other.post("/models/good/promote", data={"csrf": token}).status_code == 403
    evil = {"Origin": "http://evil.example"}
    assert browser.post("/models/good/promote", data={"csrf": token}, headers=evil).status_code == 403
    assert _champion(live) == "origin"


def test_the_cookie_is_strict_and_out_of_reach_of_scripts(live: Live) -> None:
    with live.http() as client:
        cookie = client.get("/models").headers["set-cookie"]
    assert "SameSite=strict" in cookie and "HttpOnly" in cookie and "Path=/" in cookie


def test_a_stranger_by_name_is_not_served_while_there_are_no_keys(browser: httpx.Client) -> None:
    assert browser.get("/", headers={"Host": "attacker.example"}).status_code == 403


def test_promote_override_and_roll_back_by_click(live: Live, browser: httpx.Client) -> None:
    token = token_of(browser.get("/models/good/promote").text)
    promoted = browser.post("/models/good/promote", data={"csrf": token})
    assert promoted.status_code == 200 and promoted.url.path == "/models" and _champion(live) == "good"
    refused = browser.post("/models/bad/promote", data={"csrf": token})
    assert refused.status_code == 409 and "its gate said fail" in refused.text and "<textarea" in refused.text
    browser.post("/models/bad/promote", data={"csrf": token, "override_reason": "the demo asks for it"})
    assert _champion(live) == "bad" and "the demo asks for it" in browser.get("/models").text
    assert "takes the place of" in browser.get("/models/rollback").text
    browser.post("/models/rollback", data={"csrf": token})
    assert _champion(live) == "good"


def test_with_keys_the_pages_ask_to_sign_in_and_a_revoked_session_ends(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    reader = create_key(store, "reader", None, ["read"])
    shop = create_key(store, "shop", "shop", ["read"])
    store.close()
    with running(sqlite_settings, engine=False) as service, service.http(follow_redirects=True) as client:
        assert client.get("/models").url.path == "/login"
        token = token_of(client.get("/login").text)
        assert "unknown or revoked" in client.post("/login", data={"csrf": token, "key": "pk_no"}).text
        signed_in = client.post("/login", data={"csrf": token, "key": reader})
        assert signed_in.url.path == "/" and "Sign out" in signed_in.text and reader not in str(client.cookies)
        token = token_of(client.get("/").text)
        assert client.post("/models/rollback", data={"csrf": token}).status_code == 403
        assert client.post("/logout", data={"csrf": token}).url.path == "/login"
        assert client.get("/").url.path == "/login"
        token = token_of(client.get("/login").text)
        assert "belongs to the app" in client.post("/login", data={"csrf": token, "key": shop}).text


def test_the_api_promotes_and_rolls_back_with_the_same_rules(live: Live) -> None:
    with live.http() as api:
        refused = api.post("/v1/models/bad/promote", json={})
        assert refused.status_code == 409 and "its gate said fail" in refused.json()["detail"]
        assert api.post("/v1/models/bad/promote", json={"override": "x"}).status_code == 422
        assert api.post("/v1/models/nobody/promote", json={}).status_code == 404
        promoted = api.post("/v1/models/bad/promote", json={"override_reason": "to try it"}).json()
        assert promoted["champion"] == "bad" and promoted["by"] == "key:localhost"
        back = api.post("/v1/models/rollback", headers={"X-Perennial": "1"}).json()
        assert back["kind"] == "rollback" and back["previous"] == "bad"


@pytest.mark.parametrize("points", [[], [(1.0, float("nan"))]])
def test_a_curve_without_points_is_not_drawn(points: list[tuple[float, float]]) -> None:
    assert charts.loss_curve(points, [], "losses") is None


def chart_data(drawn: str | None) -> dict[str, Any]:
    """What the script reads of a figure."""
    assert drawn is not None
    found = re.search('data-chart="([^"]*)"', drawn)
    assert found is not None
    data: dict[str, Any] = json.loads(html.unescape(found[1]))
    return data


def test_a_curve_gives_both_lines_over_the_same_steps_and_no_number_that_json_lacks() -> None:
    drawn = charts.loss_curve([(2.0, 2.5), (1.0, 3.0), (3.0, float("inf"))], [(2.0, 2.75)], "losses")
    assert chart_data(drawn) == {"steps": [1, 2], "lines": {"training": [3.0, 2.5], "dev": [None, 2.75]}}


def test_a_curve_stands_as_a_table_where_no_script_draws_it() -> None:
    drawn = charts.loss_curve([(1.0, 3.0), (2.0, 2.5)], [(2.0, 2.75)], "losses-attempt-1")
    assert drawn is not None and '<details id="losses-attempt-1" open>' in drawn
    assert re.findall("<td[^>]*>([^<]*)</td>", drawn) == ["2", "2.500", "2.750"]  # where dev was measured


def test_a_long_curve_keeps_its_last_point_and_few_enough() -> None:
    drawn = charts.loss_curve([(float(step), 1 / (1 + step)) for step in range(10_001)], [], "losses")
    assert drawn is not None and "10000 steps" in drawn
    steps = chart_data(drawn)["steps"]
    assert (steps[0], steps[-1]) == (0, 10_000) and len(steps) <= 401 and drawn.count("<tr>") <= 14


LIBRARIES = ("uPlot.iife.min.js", "htmx.min.js")


@pytest.mark.parametrize("fetched", [True, False])
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_page_loads_a_library_only_where_set_up_could_fetch_it(
    browser: httpx.Client, monkeypatch: pytest.MonkeyPatch, name: str, fetched: bool
) -> None:
    monkeypatch.setattr(visit, "_is_fetched", lambda asked: fetched and asked == name)
    assert [library for library in LIBRARIES if f"/static/{library}" in browser.get("/rounds/2").text] == (
        [name] if fetched else []
    )


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_is_served_from_here_or_is_not_there(browser: httpx.Client, name: str) -> None:
    there = (Path(routes.__file__).parents[1] / "static" / name).is_file()
    assert browser.get(f"/static/{name}").status_code == (200 if there else 404)


@pytest.mark.parametrize("name", ["..%2Fserver.py", "uPlot.LICENSE", "none.js", "%2Fetc%2Fpasswd"])
def test_nothing_else_is_served_as_a_static_file(browser: httpx.Client, name: str) -> None:
    assert browser.get(f"/static/{name}").status_code == 404


def test_the_libraries_evaluate_no_text_and_keep_no_page(browser: httpx.Client) -> None:
    settings = re.search("name=\"htmx-config\" content='([^']*)'", browser.get("/").text)
    if settings is None:
        pytest.skip("htmx is not there: make page fetches it")
    told = json.loads(settings[1])
    assert told["allowEval"] is told["allowScriptTags"] is told["includeIndicatorStyles"] is False
    assert told["historyCacheSize"] == 0 and told["selfRequestsOnly"] is True


def test_the_lock_file_of_the_libraries_names_no_registry() -> None:
    folder = Path(__file__).parents[3] / ".ci" / "page"
    lock = (folder / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock and "://" not in lock
    assert '"integrity": "sha512-' in lock
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    wanted = package["dependencies"] | package["devDependencies"]
    locked = {path.removeprefix("node_modules/"): one for path, one in json.loads(lock)["packages"].items() if path}
    assert {name: one["version"] for name, one in locked.items()} == wanted


def _row(text: str, model_id: str) -> str:
    return text.split(f'<li id="{model_id}">')[1].split("\n</li>")[0]


def token_of(text: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert found
    return found.group(1)


def _champion(live: Live) -> str | None:
    with live.store.read() as session:
        return models.champion_id(session)
