"""Rounds from the page: planned, asked for, watched, cancelled, compared; recipes and schedules kept from there."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.errors import InputError
from pipelines.gate.decide import Check
from pipelines.recipe import Stops
from pipelines.recipe_file import find_problems
from pipelines.suites.probes import Probe
from service.rounds.card import check_card
from service.rounds.files import find_file
from service.store import audit, rounds
from service.web.pages.rounds import recipe_changes
from service.web.pages.scores import score_row
from service.web.pages.stops import stop_lines
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.web.filled import RECIPE, fill
from tests.service.web.test_pages import token_of

SCHEDULED = RECIPE.replace("name: tiny", "name: monthly") + 'schedule: {cron: "0 3 1 * *", min_new_examples: 10}\n'
# nothing of this base is here, so a plan need not look at it in a process of its own
ELSEWHERE = RECIPE.replace("{model: models/tiny}", "{model: somebody/elsewhere, hub: true}")


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    settings = make_settings(home)
    fill(settings)
    with running(settings, engine=False) as service:
        yield service


@pytest.fixture
def browser(live: Live) -> Iterator[httpx.Client]:
    with live.http(follow_redirects=True) as client:
        client.get("/rounds")
        yield client


def csrf(browser: httpx.Client) -> str:
    return token_of(browser.get("/rounds/new?recipe=tiny").text)


def ask(browser: httpx.Client, text: str = RECIPE) -> int:
    answer = browser.post("/rounds", data={"csrf": csrf(browser), "text": text.replace("\n", "\r\n")})
    assert answer.status_code == 200, answer.text
    return int(answer.url.path.rsplit("/", 1)[1])


def test_a_round_is_asked_for_and_cancelled(live: Live, browser: httpx.Client) -> None:
    number = ask(browser)
    with live.store.read() as session:
        row = rounds.get_round(session, number)
        assert (row.state, row.recipe, row.requested_by) == ("requested", RECIPE, "page:localhost")
    assert "It waits for a worker to claim it." in browser.get(f"/rounds/{number}").text
    browser.post(f"/rounds/{number}/cancel", data={"csrf": csrf(browser)})
    with live.store.read() as session:
        assert rounds.get_round(session, number).state == "cancelled"
        acts = [(one.action, one.actor) for one in audit.entries(session, limit=2)]
    assert acts == [("round.cancel", "page:localhost"), ("round.request", "page:localhost")]
    again = browser.post(f"/rounds/{number}/cancel", data={"csrf": csrf(browser)})
    assert again.status_code == 409 and "has ended (cancelled)" in again.text


def test_nothing_is_asked_for_without_the_forms_token(live: Live, browser: httpx.Client) -> None:
    with live.store.read() as session:
        before = len(rounds.list_rounds(session))
    assert browser.post("/rounds", data={"csrf": "guess", "text": RECIPE}).status_code == 403
    assert browser.post("/rounds/2/cancel", data={"csrf": "guess"}).status_code == 403
    with live.store.read() as session:
        assert len(rounds.list_rounds(session)) == before
        assert not rounds.get_round(session, 2).cancel_requested


def test_a_recipe_that_is_refused_stands_in_the_editor_with_the_sentence(browser: httpx.Client) -> None:
    wrong = RECIPE.replace("mixture", "mixtur")
    for path in ("/rounds", "/rounds/plan"):
        page = browser.post(path, data={"csrf": csrf(browser), "text": wrong})
        assert page.status_code == 422 and 'role="alert"' in page.text
        assert "did you mean `mixture`?" in page.text.replace("&#39;", "'") and "mixtur: {user" in page.text


def test_the_plan_shows_what_stops_a_round_and_starts_nothing(live: Live, browser: httpx.Client) -> None:
    text = ELSEWHERE.replace("tiny_math", "nowhere")
    with live.store.read() as session:
        before = len(rounds.list_rounds(session))
    page = browser.post("/rounds/plan", data={"csrf": csrf(browser), "text": text}).text
    assert "Plan of tiny" in page and "What stands in the way here" in page and "the recipe asks for 1" in page
    assert "This stops it" in page and "the suite &#39;nowhere&#39;" in page and "<button disabled" in page
    assert browser.post("/rounds", data={"csrf": csrf(browser), "text": text}).status_code == 422
    with live.store.read() as session:
        assert len(rounds.list_rounds(session)) == before


def test_a_round_runs_again_with_its_own_recipe(browser: httpx.Client) -> None:
    assert "Run round 1 again" in browser.get("/rounds/new?again=1").text
    assert "tiny_math, margin: {champion: 3.0" in browser.get("/rounds/new?again=1").text


def test_a_stream_gives_every_part_once_and_then_what_changed(live: Live, browser: httpx.Client) -> None:
    progress = live.settings.home / "rounds" / "0002" / "attempt-1" / "train.1.tmp" / "progress.jsonl"
    with browser.stream("GET", "/rounds/2/events") as answer:
        events = _events(answer)
        assert answer.headers["content-type"].startswith("text/event-stream")
        name, parts = next(events)
        assert name == "parts" and set(parts) == {"state", "verdict", "stages", "curves", "result", "earlier"}
        assert "40 of 100" in parts["stages"]
        with progress.open("a") as file:
            file.write('\n{"stage": "train", "done": 60, "total": 100, "loss": 0.5}\n')
        name, parts = next(event for event in events if event[0] != "beat")
    assert name == "parts" and "60 of 100" in parts["stages"] and "to 0.500" in parts["curves"]
    assert "verdict" not in parts and "result" not in parts


def test_a_stream_of_a_round_that_ended_ends(browser: httpx.Client) -> None:
    with browser.stream("GET", "/rounds/1/events") as answer:
        assert [name for name, _ in _events(answer)] == ["parts", "end"]
    assert browser.get("/rounds/99/events").status_code == 404


def _events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, str]]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_files_of_a_round_are_served_and_no_others(live: Live, browser: httpx.Client) -> None:
    taken = browser.get("/rounds/1/attempts/1/files/report/report.json")
    assert taken.json()["recipe"] == "tiny" and "attachment" in taken.headers["content-disposition"]
    secret = live.settings.home / "rounds" / "0001" / "attempt-1" / "report" / "stolen.png"
    secret.symlink_to(live.settings.home / "perennial.db")
    for name in ("report/stolen.png", "../../0002/attempt-1/recipe.json", "snapshot/items.jsonl", "%2e%2e/recipe.json"):
        assert browser.get(f"/rounds/1/attempts/1/files/{name}").status_code == 404, name
    secret.unlink()
    assert find_file(live.settings, 1, 1, "report/report.json")[1] == "read"


def test_two_rounds_stand_side_by_side(browser: httpx.Client) -> None:
    page = browser.get("/rounds/compare?a=1&b=2")
    assert page.status_code == 200 and "Rounds 1 and 2" in page.text
    assert browser.get("/rounds/compare?a=1&b=99").status_code == 404
    changed = recipe_changes(
        {"train": {"epochs": 2}, "name": "a"}, {"train": {"epochs": 3}, "name": "a", "replay": 0.1}
    )
    assert [(one.key, one.before, one.after) for one in changed] == [
        ("train.epochs", "2", "3"),
        ("replay", "not set", "0.1"),
    ]


def test_what_is_wrong_with_a_recipe_is_said_by_line(browser: httpx.Client) -> None:
    text = RECIPE.replace("champion: 3.0", "champion: 300").replace("evaluate:", "evaluat:")
    answer = browser.post("/recipes/check", data={"csrf": csrf(browser), "text": text}).json()
    assert [one["line"] for one in answer["problems"]] == [1, 5, 6]
    assert find_problems(RECIPE) == []
    assert [one.line for one in find_problems("name: x\n\nbase: {model: [}\n")] == [3]
    assert [one.line for one in find_problems("- a\n")] == [1]


def test_a_recipe_is_kept_and_never_over_one_that_ships_or_was_changed_meanwhile(
    live: Live, browser: httpx.Client
) -> None:
    def save(text: str, replaces: str = "") -> httpx.Response:
        return browser.post("/recipes/save", data={"csrf": csrf(browser), "text": text, "replaces": replaces})

    shipped = save(RECIPE)
    assert shipped.status_code == 409 and "ships with the program" in shipped.text
    kept = save(SCHEDULED)
    assert kept.url.path == "/recipes/monthly" and "It is kept." in kept.text
    path = live.settings.home / "recipes" / "monthly.yaml"
    assert path.read_text() == SCHEDULED and "monthly" in browser.get("/recipes").text
    digest = kept.text.split('name="replaces" value="')[1].split('"')[0]
    assert save(SCHEDULED + "# mine\n", digest).url.path == "/recipes/monthly"
    late = save(SCHEDULED + "# too late\n", digest)
    assert late.status_code == 409 and path.read_text().endswith("# mine\n") and "# too late" in late.text
    assert save("name: broken").status_code == 422 and not (path.parent / "broken.yaml").exists()


def test_a_schedule_is_turned_on_shown_and_turned_off(live: Live, browser: httpx.Client) -> None:
    (live.settings.home / "recipes").mkdir(exist_ok=True)
    (live.settings.home / "recipes" / "monthly.yaml").write_text(SCHEDULED)
    page = browser.post("/schedule/on", data={"csrf": csrf(browser), "recipe": "monthly"}).text
    assert "0 3 1 * *" in page and "0 of the 10 that it asks for" in page and "at any time" in page
    assert page.count("03:00 UTC") == 3
    assert "No recipe asks" in browser.post("/schedule/monthly/off", data={"csrf": csrf(browser)}).text
    assert browser.post("/schedule/on", data={"csrf": csrf(browser), "recipe": "tiny"}).status_code == 422


def test_the_conversations_of_a_round_stand_there_by_id(browser: httpx.Client) -> None:
    page = browser.get("/rounds/1/conversations?outcome=left_out").text
    assert "cannot_be_rendered" in page and "Left out 1" in page


def test_a_perplexity_has_its_unit_and_is_on_no_scale_of_points() -> None:
    check = Check(
        suite="heldout",
        criterion="min_gain",
        outcome="pass",
        reason="heldout (perplexity) against the champion: 1.1",
        baseline="champion",
        candidate=1.1,
        reference=1.2,
        difference=8.2,
        lower=5.7,
        upper=10.7,
        n=80,
    )
    row = score_row(check, (), 10.0)
    assert (row.metric, row.difference, row.bounds, row.drawing) == ("perplexity", "+8.2 %", "+5.7 to +10.7 %", None)


def test_stop_rules_are_drawn_as_what_is_used_of_their_allowance() -> None:
    before = Probe(chosen=-1.0, length=10.0, preferred_length=14.0, kl=0.0, refusals=0.0, agreement=0.1)
    now = Probe(chosen=-1.025, length=15.05, preferred_length=14.0, kl=0.1, refusals=0.01, agreement=0.1)
    lines: Any = stop_lines([(0, before), (20, now)], Stops(length_follows_preferred=True))
    assert {rule: round(points[-1][1], 1) for rule, points in lines.items()} == {
        "displacement": 50.0,
        "length": 50.0,
        "kl": 50.0,
        "refusals": 50.0,
        "sycophancy": 0.0,
    }
    assert all(points[0] == (0, 0) for points in lines.values()) and stop_lines([(0, before)], Stops()) == {}


def test_the_card_says_what_to_decide_by_and_is_signed(live: Live, browser: httpx.Client) -> None:
    page = browser.get("/rounds/1/card").text
    assert "It passed" in page and "What it learned" in page and "Have them written" in page
    assert "Preferred answers" not in page  # the report of this round is none that this version reads
    file = browser.get("/rounds/1/card.json").text
    assert file == browser.get("/rounds/1/card.json").text  # the same card is signed alike
    facts = check_card(live.vault, file)
    assert (facts["round"], facts["verdict"]) == (1, "pass") and len(facts["digests"]["report.json"]) == 64
    assert json.loads(file)["signature"] in page
    changed = json.loads(file)
    changed["card"]["verdict"] = "fail"
    with pytest.raises(InputError, match="changed after it was signed"):
        check_card(live.vault, json.dumps(changed))
    with pytest.raises(InputError, match="another home"):
        check_card(live.vault, json.dumps(json.loads(file) | {"public_key": "00"}))
    with pytest.raises(InputError, match="no decision card"):
        check_card(live.vault, "[]")
    assert browser.get("/rounds/2/card").status_code == 404


def test_answers_are_written_of_what_was_held_out_and_kept_in_memory_alone(live: Live, browser: httpx.Client) -> None:
    refused = browser.post("/rounds/2/card/answers", data={"csrf": csrf(browser)})
    assert refused.status_code == 404 and "made no model" in refused.text
    assert browser.post("/rounds/1/card/answers", data={"csrf": csrf(browser)}).status_code == 200
    deadline = time.monotonic() + 20
    while "are being written" in (text := browser.get("/rounds/1/card/answers").text) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 'role="alert"' in text and "kept no snapshot" in text
