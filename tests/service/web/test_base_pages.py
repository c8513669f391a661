"""Bases, anchors and suites from the page: begun as jobs of their own processes, followed, stopped, interrupted."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.jobs.records import Job, read_jobs, write_job
from service.store import audit
from service.store.tables import now
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.web.test_pages import token_of

CHECKS = "".join(f'{{"prompt": "Say {number}.", "answer": "{number}", "scorer": "exact"}}\n' for number in range(60))


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    with running(make_settings(home), engine=False) as service:
        yield service


@pytest.fixture
def browser(live: Live) -> Iterator[httpx.Client]:
    with live.http(follow_redirects=True) as client:
        client.get("/bases")
        yield client


def csrf(browser: httpx.Client) -> str:
    return token_of(browser.get("/rounds/new?recipe=tiny").text)


def wait_for_end(live: Live, browser: httpx.Client) -> tuple[Job, str]:
    deadline = time.monotonic() + 60
    while (job := read_jobs(live.settings)[0]).state == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return job, browser.get("/bases/jobs").text


def test_a_suite_is_added_by_a_job_that_a_reload_still_shows(live: Live, browser: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(CHECKS)
    begun = browser.post("/bases/suite", data={"csrf": csrf(browser), "what": str(file)})
    assert begun.status_code == 200 and "Add a suite" in begun.text and begun.url.path == "/bases"
    job, shown = wait_for_end(live, browser)
    assert (job.state, job.by) == ("done", "page:localhost"), job.sentence
    assert job.sentence in shown and ">mine<" in browser.get("/bases").text.replace(" <", "<")
    with live.store.read() as session:
        assert audit.entries(session, action="job.suite")[0].subject == job.id


def test_a_job_that_cannot_be_done_ends_in_its_sentence(live: Live, browser: httpx.Client) -> None:
    assert browser.post("/bases/suite", data={"csrf": csrf(browser), "what": "nonsense"}).status_code == 200
    job, shown = wait_for_end(live, browser)
    assert job.state == "failed" and "is neither a benchmark" in job.sentence and "is neither a benchmark" in shown


def test_one_thing_is_made_at_a_time_and_what_lost_its_service_is_interrupted(
    live: Live, browser: httpx.Client
) -> None:
    base = Job(id="30000101-000000-00", kind="anchors", what="tiny", arguments={}, by="x", pid=1, begun_at=now())
    write_job(live.settings, base)  # process 1 lives
    refused = browser.post("/bases/adopt", data={"csrf": csrf(browser), "what": "models/tiny"})
    assert refused.status_code == 503 and "is being made already" in refused.text
    assert browser.post(f"/bases/jobs/{base.id}/stop", data={"csrf": csrf(browser)}).status_code == 404
    write_job(live.settings, base.model_copy(update={"pid": 2**22 - 1}))
    assert "interrupted" in browser.get("/bases/jobs").text
    shutil.rmtree(live.settings.home / "jobs" / base.id)


def test_anchors_are_made_for_recipes_of_this_home_alone(browser: httpx.Client) -> None:
    page = browser.post("/bases/anchors", data={"csrf": csrf(browser), "recipe": "../../etc/passwd"})
    assert page.status_code == 404 and "no recipe of its own" in page.text
    assert browser.post("/bases/adopt", data={"csrf": csrf(browser), "what": " "}).status_code == 422
    assert browser.post("/bases/adopt", data={"csrf": "guess", "what": "models/tiny"}).status_code == 403
