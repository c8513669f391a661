"""The demo's steps that talk to the service: over HTTP as an app would, and to its database for what is not public."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from perennial.client import Client
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

_IMPORT_SECONDS = 120
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


def import_month(url: str, path: Path, console: Console) -> str:
    """Hands a month's conversations over with the client, as an app does, with a progress bar; the counts in words.

    Raises:
        PerennialError: some were not stored.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    deadline = time.monotonic() + _IMPORT_SECONDS
    with Client(url) as client, open_progress(console) as shown:
        for row in rows:
            client.conversation(**row)
        while not client.flush(0.2) and time.monotonic() < deadline:
            shown.update("import", client.status().delivered, len(rows))
        counts = client.status()
        shown.update("import", counts.delivered, len(rows))
    if counts.delivered < len(rows):
        raise PerennialError(f"of {len(rows)} conversations {counts.delivered} were stored, {counts.rejected} rejected")
    return f"{counts.delivered} conversations stored"


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
