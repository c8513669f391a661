"""The demo, top to bottom: month one comes in, a round learns from it, the gate judges, the champion changes; month two."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.artifacts import write_atomic
from pipelines.errors import NotFound
from pipelines.recipe_file import load_recipe
from service.demo import privacy
from service.demo.months import SAMPLES, Clock, Wheel
from service.demo.processes import Service, environment, free_port, fresh_home, start_service
from service.demo.steps import prepare_origin
from service.progress import waiting
from service.settings import load_settings

_PORT = 8600
_LEARNED_BEFORE_AT_MOST, _LEARNED_AFTER_AT_LEAST, _QUESTIONS_AT_LEAST = 0.2, 0.8, 100
_PREFERRED_AFTER_AT_LEAST = 0.8


def run_demo(
    recipe_path: Path, *, stay: bool, console: Console, home: Path = Path("var/demo"), months: int = 2
) -> bool:
    """Turns the wheel and leaves summary.json; True if every candidate passed, was promoted and learned.

    Args:
        stay: keep the service up until Ctrl-C.
        months: 1 ends after month one; so does the demo where its model was not promoted or the recipe learns no preferences.

    Raises:
        PerennialError: a step could not be done; nothing of another home is touched.
    """
    recipe = load_recipe(recipe_path)
    if not (SAMPLES / "month-1.ndjson").is_file():
        raise NotFound(f"{SAMPLES}/month-1.ndjson is missing: run the demo in the project's folder")
    goes_on = months > 1 and recipe.preference is not None
    home = home.absolute()
    fresh_home(home)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service below is stopped then, too
    clock = Clock()
    port = free_port(_PORT)
    console.print(f"The page is http://127.0.0.1:{port} (in some seconds; watch the rounds there)", soft_wrap=True)
    console.rule("Perennial: the wheel turns")
    console.print(
        "No NER model is configured: names are found by rules only (PERENNIAL_ALLOW_DEGRADED_NAMES=1)", soft_wrap=True
    )
    settings = load_settings(environment(home, port))
    with clock.step("origin"), waiting(console, "exporting the origin to the form in which it is served"):
        origin = prepare_origin(settings, recipe)
    with clock.step("start"), waiting(console, "starting web, worker and engine"):
        service = start_service(home, port)
    try:
        summary = _turn(
            Wheel(service, settings, recipe_path.read_text(encoding="utf-8"), clock, console), origin, goes_on
        )
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
    return _second_is_good(summary) and bool(
        summary["verdict"] == "pass"
        and summary["promoted"]
        and took["n"] >= _QUESTIONS_AT_LEAST
        and took["before"] <= _LEARNED_BEFORE_AT_MOST
        and took["after"] >= _LEARNED_AFTER_AT_LEAST
        and not any(summary["privacy"]["leaked"].get(entity, 0) for entity in privacy.MUST_NOT_LEAK)
        and not summary["privacy"]["on_disk"]
    )


def _second_is_good(summary: dict[str, Any]) -> bool:
    """True if month two's round passed, kept month one and took over the style; or if there was no such round to do."""
    if "second" not in summary:
        return summary["preference"] is None
    second, style = summary["second"], summary["preference"]
    return bool(
        second["verdict"] == "pass"
        and second["promoted"]
        and second["learned_month_one"]["after"] >= _LEARNED_AFTER_AT_LEAST
        and style["heldout_after"] >= _PREFERRED_AFTER_AT_LEAST
    )


def _turn(wheel: Wheel, origin: str, goes_on: bool) -> dict[str, Any]:
    told = wheel.first_month(origin)
    if goes_on and told["promoted"]:
        told |= wheel.second_month(told["champion"])
    return {"preference": None, **told, "seconds": wheel.clock.all()}


def _stay(service: Service, console: Console) -> None:
    console.print(f"\nThe service stays up at {service.url} (pages) - Ctrl-C ends it. Try:")
    console.print(
        f"  curl {service.url}/v1/chat/completions -H 'Content-Type: application/json' "
        """-d '{"model": "champion", "messages": [{"role": "user", "content": "Hello!"}]}'""",
        markup=False,
    )
    try:
        while True:
            service.check_running()
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("stopping")
