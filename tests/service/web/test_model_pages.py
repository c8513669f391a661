"""A model's page: who it learned from, its files, its answers beside the champion's, and decisions made on an old page."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlmodel import Session

from service.api_keys import create_key
from service.models import contributions
from service.models.answers import one_comparison
from service.models.questions import heldout_questions
from service.store import models
from service.store.session import Store
from service.store.tables import App, FeedbackFate, Model, Person, Round, SnapshotItem, now
from service.vault import Vault
from service.web.pages.outcome import read_facts
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.served import add_model
from tests.service.web.filled import fill


@pytest.fixture
def live(sqlite_template: Path, tmp_path: Path) -> Iterator[Live]:
    shutil.copy(sqlite_template, tmp_path / "perennial.db")
    fill(settings := make_settings(tmp_path))
    with running(settings, engine=False) as service:
        yield service


@pytest.fixture
def browser(live: Live) -> Iterator[httpx.Client]:
    with live.http(follow_redirects=True) as client:
        yield client


def field(text: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', text)
    assert found is not None
    return found[1]


def champion_of(live: Live) -> str | None:
    with live.store.read() as session:
        return models.champion_id(session)


def test_a_decision_made_against_another_champion_is_refused(live: Live, browser: httpx.Client) -> None:
    add_model(live.store, live.settings, "third", "third", round_id=1)
    page = browser.get("/models/third/promote").text
    seen = {"csrf": field(page, "csrf"), "expected": field(page, "expected")}
    assert seen["expected"] == "origin"
    browser.post("/models/good/promote", data=seen)
    late = browser.post("/models/third/promote", data=seen)
    assert late.status_code == 409 and champion_of(live) == "good"
    assert "this was decided while 'origin' was the champion, and now 'good' is" in late.text.replace("&#39;", "'")
    assert field(late.text, "expected") == "good"
    back = browser.post("/models/rollback", data=seen)
    assert back.status_code == 409 and champion_of(live) == "good"
    browser.post("/models/rollback", data={**seen, "expected": "good"})
    assert champion_of(live) == "origin"


def test_the_api_refuses_a_decision_made_against_another_champion(live: Live) -> None:
    with live.http() as api:
        late = api.post("/v1/models/good/promote", json={"expected_champion": "bad"})
        assert late.status_code == 409 and "'bad' was the champion" in late.json()["detail"]
        assert api.post("/v1/models/good/promote", json={"expected_champion": ""}).status_code == 409
        assert api.post("/v1/models/good/promote", json={"expected_champion": "origin"}).status_code == 200
        assert api.post("/v1/models/rollback", json={"expected_champion": "origin"}).status_code == 409


def test_a_model_answers_beside_the_champion_and_nothing_is_kept(live: Live, browser: httpx.Client) -> None:
    token = field(browser.get("/models/good").text, "csrf")
    page = browser.post("/models/good/ask", data={"csrf": token, "question": "What is <b>2</b>?"}).text
    said = page.split('id="answers"')[1].split("</section>")[0]
    assert said.count('class="said"') == 2 and said.index("origin") < said.index("good")
    assert "What is &lt;b&gt;2&lt;/b&gt;?" in said
    empty = browser.post("/models/good/ask", data={"csrf": token, "question": "  "})
    assert empty.status_code == 422 and "there is nothing to ask yet" in empty.text
    with one_comparison():
        busy = browser.post("/models/good/ask", data={"csrf": token, "question": "?"})
    assert busy.status_code == 503 and "one comparison at a time" in busy.text


def test_a_round_without_questions_kept_apart_says_so(browser: httpx.Client) -> None:
    token = field(browser.get("/models/good").text, "csrf")
    page = browser.post("/models/good/ask-held-out", data={"csrf": token})
    assert page.status_code == 409 and "no more questions of one turn" in page.text


def test_the_files_of_a_model_are_sent_as_they_lie_on_the_disk(live: Live, browser: httpx.Client) -> None:
    sent = browser.get("/models/good/files/model.gguf")
    assert sent.content == (live.settings.models / "good" / "model.gguf").read_bytes()
    assert 'filename="good.gguf"' in sent.headers["content-disposition"]
    missing = browser.get("/models/good/files/master.key")
    assert missing.status_code == 404 and "there are model.gguf" in missing.text
    assert browser.get("/models/good/files/..%2F..%2Fperennial.db").status_code == 404
    assert "download" in browser.get("/audit").text


def test_who_may_only_read_is_offered_nothing_and_may_do_nothing(live: Live) -> None:
    key = create_key(live.store, "reader", None, ["read"])
    with live.http(follow_redirects=True) as browser:
        token = field(browser.get("/login").text, "csrf")
        browser.post("/login", data={"csrf": token, "key": key})
        page = browser.get("/models/good").text
        assert (
            "Where it comes from" in page and "Promote" not in page and "Ask it" not in page and "download>" not in page
        )
        token = field(browser.get("/login").text, "csrf")
        for path in ("promote", "ask", "ask-held-out"):
            assert browser.post(f"/models/good/{path}", data={"csrf": token}).status_code == 403
        assert browser.get("/models/good/files/model.gguf").status_code == 403


def test_a_lineage_counts_its_people_and_those_who_were_forgotten(store: Store, vault: Vault) -> None:
    with store.begin() as session:
        _lineage(session)
    with store.read() as session:
        assert contributions.count_people(session, "child") == contributions.People(all=3, forgotten=1)
        assert contributions.count_people(session, "origin") == contributions.People(all=0, forgotten=0)
        assert heldout_questions(session, vault, 1, 3) == []


def _lineage(session: Session) -> None:
    """Two people trained the parent, one of them forgotten; one more was heard for the child; another was left out."""
    session.add(App(id="app", name="default"))
    session.flush()
    for name, erased in (("a", None), ("b", now()), ("c", None), ("d", None)):
        session.add(Person(id=name, app_id="app", hmac=name, erased_at=erased))
    for number in (1, 2):
        session.add(Round(id=number, recipe_name="r", recipe="", recipe_digest="", requested_by="t"))
    session.flush()
    session.add(Model(id="origin", kind="origin", recipe_name="r"))
    session.add(Model(id="parent", kind="candidate", recipe_name="r", round_id=1, parents=["origin"]))
    session.add(Model(id="child", kind="candidate", recipe_name="r", round_id=2, parents=["origin", "parent"]))
    for person, outcome in (("a", "used"), ("b", "used"), ("d", "left_out")):
        session.add(SnapshotItem(round_id=1, conversation_id=person, person_id=person, outcome=outcome, reason="x"))
    heard = {"conversation_id": "c", "message_id": "m", "kind": "vote", "value": 1, "rule": "rating", "weight": 1.0}
    session.add(FeedbackFate(round_id=2, rater="c", outcome="used", **heard))
    session.flush()


def test_the_gain_stands_first_on_the_page_and_on_the_confirmation(live: Live, browser: httpx.Client) -> None:
    sample = Path(__file__).parents[2] / "pipelines" / "stages" / "reports" / "answers.json"
    told = json.loads(sample.read_text()) | {"people": 3, "examples": {"new": 9}}
    told["training"]["trained_on"] = "full"  # the sample is of a version that did not tell these three
    report = live.settings.home / "rounds" / "0001" / "attempt-1" / "report" / "report.json"
    report.write_text(json.dumps(told))
    add_model(live.store, live.settings, "tiny-r0001-a1", "third", round_id=1)
    facts = read_facts(live.settings.home / "rounds" / "0001" / "attempt-1")
    assert facts is not None
    gained = next(row for row in facts.scores.values() if row.suite == "heldout")
    for page in ("/models/tiny-r0001-a1", "/models/tiny-r0001-a1/promote"):
        text = browser.get(page).text.split("</h1>")[1]
        assert "It passed" in text and f"{gained.champion_difference:+.1f}" in text
        assert text.index("It passed") < text.index("rougeL")
    text = browser.get("/models/tiny-r0001-a1").text
    assert text.index("What it gained and kept") < text.index("Scores") and 'class="interval"' in text


def test_a_modelfile_is_written_for_ollama(browser: httpx.Client) -> None:
    sent = browser.get("/models/good/files/Modelfile")
    assert sent.status_code == 200 and sent.text.startswith("FROM ./model.gguf") and "TEMPLATE " in sent.text


def test_deploy_targets_are_shown_with_what_answers_there(live: Live, browser: httpx.Client) -> None:
    assert "Where it answers outside" not in browser.get("/models").text
    live.settings.targets_path.write_text(f"desk: {{kind: copy, path: {live.settings.home}/desk.gguf}}\n")
    assert "desk.gguf" in browser.get("/models").text and "Where it answers outside" in browser.get("/models").text
    live.settings.targets_path.write_text("desk: {kind: nowhere}\n")
    assert "of the kind" in browser.get("/models").text
