"""The demo, top to bottom: month one comes in, a round learns from it, the gate judges, the champion changes."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.artifacts import write_atomic
from pipelines.errors import NotFound, PerennialError
from pipelines.recipe import load_recipe
from service.demo import learned, privacy, show
from service.demo.processes import Service, environment, free_port, fresh_home, start_service
from service.demo.steps import (
    ask_over_http,
    import_month,
    prepare_origin,
    promote,
    run_round,
    served_form,
    wait_for_curation,
)
from service.settings import load_settings

SAMPLES = Path("data/samples")
_PORT = 8600
_LEARNED_BEFORE_AT_MOST, _LEARNED_AFTER_AT_LEAST, _QUESTIONS_AT_LEAST = 0.2, 0.8, 100


class Clock:
    """Seconds per step of the story."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)

    def all(self) -> dict[str, float]:
        return self.seconds | {"total": round(time.monotonic() - self._start, 1)}


def run_demo(recipe_path: Path, *, stay: bool, console: Console, home: Path = Path("var/demo")) -> bool:
    """Turns the wheel once and leaves summary.json; True if the candidate passed, was promoted and learned.

    Args:
        stay: keep the service up until Ctrl-C.

    Raises:
        PerennialError: a step could not be done; nothing of another home is touched.
    """
    recipe = load_recipe(recipe_path)
    if not (SAMPLES / "month-1.ndjson").is_file():
        raise NotFound(f"{SAMPLES}/month-1.ndjson is missing: run the demo in the project's folder")
    home = home.absolute()
    fresh_home(home)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service below is stopped then, too
    clock = Clock()
    console.rule("Perennial: one turn of the wheel")
    console.print("No NER model is configured: names are found by rules only (PERENNIAL_ALLOW_DEGRADED_NAMES=1)")
    port = free_port(_PORT)
    settings = load_settings(environment(home, port))
    with clock.step("origin"), console.status("exporting the origin to the form in which it is served"):
        origin = prepare_origin(settings, recipe)
    with clock.step("start"), console.status("starting web, worker and engine"):
        service = start_service(home, port)
    try:
        summary = _turn(service, settings, recipe_path, origin, clock, console)
        write_atomic(home / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
        good = is_good(summary)
        console.print(f"Summary: {home / 'summary.json'}   seconds: {summary['seconds']['total']:.0f}")
        if stay:
            _stay(service, console)
    finally:
        service.stop()
        (home / "demo.pid").unlink(missing_ok=True)
    return good


def is_good(summary: dict[str, Any]) -> bool:
    """The demo's own pass: verdict, promotion and learning, as the README promises."""
    took = summary["learned"]
    return bool(
        summary["verdict"] == "pass"
        and summary["promoted"]
        and took["n"] >= _QUESTIONS_AT_LEAST
        and took["before"] <= _LEARNED_BEFORE_AT_MOST
        and took["after"] >= _LEARNED_AFTER_AT_LEAST
        and not any(summary["privacy"]["leaked"].get(entity, 0) for entity in privacy.MUST_NOT_LEAK)
        and not summary["privacy"]["on_disk"]
    )


def _turn(
    service: Service, settings: Any, recipe_path: Path, origin: str, clock: Clock, console: Console
) -> dict[str, Any]:
    month = SAMPLES / "month-1.ndjson"
    with clock.step("import"):
        console.print(f"Month one comes in over HTTP: {import_month(service.api, month, console)}")
    with clock.step("curate"):
        wait_for_curation(settings, console)
    ten = [row["prompt"] for row in json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))]
    with clock.step("ask before"), console.status("asking the old champion"):
        before_ten = ask_over_http(service.api, origin, ten)
    with clock.step("round"):
        round_row = run_round(settings, service.api, recipe_path.read_text(encoding="utf-8"), console)
    report = round_row["report"]
    clock.seconds |= {f"round/{stage}": seconds for stage, seconds in report["seconds"].items()}
    show.funnel(console, report["funnel"])
    show.gate(console, report["scores"], report["verdict"], report["reasons"])
    candidate = round_row["model"]
    with clock.step("promote"):
        promoted = promote(service.api, candidate, console)
    questions = learned.read_questions(SAMPLES / "facts.json")
    with clock.step("ask after"), console.status("asking questions in phrasings that nobody trained on"):
        prompts = [question.prompt for question in questions]
        before, after = (
            learned.share_right(questions, learned.ask(settings.home, served_form(settings, model), prompts))
            for model in (origin, candidate)
        )
        after_ten = ask_over_http(service.api, candidate, ten) if promoted else ["(not promoted)"] * len(ten)
    show.side_by_side(console, list(zip(ten, before_ten, after_ten, strict=True)))
    console.print(f"Learned: {before:.0%} before, {after:.0%} after, on {len(questions)} held-out phrasings")
    with clock.step("privacy"):
        clean = privacy.clean_texts(settings, "demo", privacy.client_ids(month))
        planted = privacy.read_planted(SAMPLES / "planted.json", clean.keys())
        checked = privacy.measure(planted, clean, service.home)
    show.privacy(console, checked)
    return {
        "verdict": report["verdict"],
        "promoted": promoted,
        "champion": candidate if promoted else origin,
        "reasons": report["reasons"],
        "funnel": report["funnel"],
        "scores": {name: _fractions(row) for name, row in report["scores"].items() if row["metric"] != "perplexity"},
        "learned": {"before": round(before, 4), "after": round(after, 4), "n": len(questions)},
        "privacy": checked,
        "seconds": clock.all(),
    }


def _fractions(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the score table with points turned into fractions, as the summary's other shares are."""
    return {key: value / 100 if isinstance(value, float) else value for key, value in row.items()}


def _stay(service: Service, console: Console) -> None:
    console.print(f"\nThe service stays up at {service.url} (pages) - Ctrl-C ends it. Try:")
    console.print(
        f"  curl {service.url}/v1/chat/completions -H 'Content-Type: application/json' "
        """-d '{"model": "champion", "messages": [{"role": "user", "content": "Hello!"}]}'""",
        markup=False,
    )
    try:
        while service.process.poll() is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("stopping")
        return
    raise PerennialError(f"the service ended by itself; its log is {service.home / 'logs' / 'up.log'}")
