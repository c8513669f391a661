"""The demo's steps that talk to the service: over HTTP as an app would, and to its database for what is not public."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from pipelines.errors import PerennialError
from pipelines.recipe import Recipe
from service.demo.processes import Service
from service.models.origin import install_origin
from service.progress import open_progress
from service.rounds import requests
from service.rounds.follow import FINAL_STATES, show_stages
from service.settings import Settings
from service.store import models
from service.store.funnel import funnel
from service.store.session import migrate, open_store
from service.store.tables import ServedForm
from service.vault import open_vault

_BATCH_LINES = 100
_CURATION_SECONDS = 600


def prepare_origin(settings: Settings, recipe: Recipe) -> str:
    """Makes the home's database and the origin's served form, and promotes it as the first champion; its id."""
    migrate(settings)
    store = open_store(settings)
    try:
        open_vault(settings, store)
        return install_origin(settings, store, recipe, by="demo")
    finally:
        store.close()


def import_month(api: httpx.Client, path: Path, console: Console) -> str:
    """Posts a month's conversations as NDJSON, some lines at a time, with a progress bar; the counts in words."""
    lines = path.read_text(encoding="utf-8").splitlines()
    totals: dict[str, int] = {}
    with open_progress(console) as shown:
        for start in range(0, len(lines), _BATCH_LINES):
            part = "\n".join(lines[start : start + _BATCH_LINES]) + "\n"
            answer = (
                api.post("/v1/conversations/import", content=part.encode(), headers=_NDJSON).raise_for_status().json()
            )
            for key, value in answer.items():
                if isinstance(value, int):
                    totals[key] = totals.get(key, 0) + value
            shown.update("import", min(len(lines), start + _BATCH_LINES), len(lines))
    return ", ".join(f"{value} {key}" for key, value in totals.items() if value)


def wait_for_curation(settings: Settings, console: Console) -> None:
    """Waits until no conversation waits to be curated, with a progress bar."""
    store = open_store(settings)
    deadline = time.monotonic() + _CURATION_SECONDS
    try:
        with open_progress(console) as shown:
            while time.monotonic() < deadline:
                with store.read() as session:
                    now = funnel(session)
                shown.update("curate", now.received - now.waiting, now.received)
                if now.waiting == 0:
                    return
                time.sleep(0.25)
    finally:
        store.close()
    raise PerennialError(f"curation did not finish within {_CURATION_SECONDS} s; see {settings.logs}")


def run_round(settings: Settings, service: Service, recipe_text: str, console: Console) -> dict[str, Any]:
    """Asks for a round over HTTP, follows it to its end, and gives its report with the model it made.

    Raises:
        PerennialError: the round ended without a verdict, or the service that runs it has ended.
    """
    round_id = service.api.post("/v1/rounds", json={"recipe": recipe_text}).raise_for_status().json()["id"]
    store = open_store(settings)
    try:
        with open_progress(console) as shown:
            while (view := requests.show_round(store, settings, round_id)).round.state not in FINAL_STATES:
                show_stages(view, shown)
                service.check_running()
                time.sleep(0.3)
            show_stages(view, shown)
    finally:
        store.close()
    reports = [path for attempt in view.attempts for path in attempt.reports if path.name == "report.json"]
    if not reports or not view.models:
        raise PerennialError(f"round {round_id} ended as {view.round.state}: {view.round.message}")
    return {"report": json.loads(reports[-1].read_text(encoding="utf-8")), "model": view.models[-1]}


def promote(api: httpx.Client, model_id: str, console: Console) -> bool:
    """Promotes over HTTP; a refusal is shown with its reason."""
    answer = api.post(f"/v1/models/{model_id}/promote", json={})
    if answer.is_success:
        console.print(f"[green]{model_id} is the champion[/]")
        return True
    console.print(f"[red]Promotion refused[/]: {answer.json().get('detail', answer.text)}")
    return False


def ask_over_http(api: httpx.Client, model_id: str, prompts: Sequence[str]) -> list[str]:
    """The champion's greedy answers through the chat route, once the engine serves that model."""
    answers = []
    for prompt in prompts:
        body = {
            "model": model_id,
            "temperature": 0,
            "max_tokens": 48,
            "messages": [{"role": "user", "content": prompt}],
        }
        answer = _until_served(api, body)
        answers.append(answer.json()["choices"][0]["message"]["content"].strip())
    return answers


def served_form(settings: Settings, model_id: str) -> ServedForm:
    """The served form of a model."""
    store = open_store(settings)
    try:
        with store.read() as session:
            form = models.get_model(session, model_id).form
    finally:
        store.close()
    if form is None:
        raise PerennialError(f"model {model_id} has no served form")
    return form


def _until_served(api: httpx.Client, body: dict[str, Any], seconds: float = 60) -> httpx.Response:
    """The engine follows the champion row within a second or so; until then the route says 404 or 503."""
    deadline = time.monotonic() + seconds
    while True:
        answer = api.post("/v1/chat/completions", json=body)
        if answer.is_success or time.monotonic() > deadline:
            return answer.raise_for_status()
        time.sleep(0.2)


_NDJSON = {"Content-Type": "application/x-ndjson"}
