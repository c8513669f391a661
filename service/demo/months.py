"""The demo's two months: facts that move, then thumbs. Each comes in over HTTP, is learnt in a round, judged and promoted."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from service.demo import learned, privacy, show
from service.demo.processes import Service
from service.demo.steps import ask_over_http, import_month, promote, run_round, served_form, wait_for_curation
from service.models.answers import ask
from service.progress import waiting
from service.settings import Settings

_ANSWER_TOKENS = 32

SAMPLES = Path("data/samples")


class Clock:
    """Seconds per step of the story."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times the block under this name."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)

    def all(self) -> dict[str, float]:
        """Seconds by step, and in all so far."""
        return self.seconds | {"total": round(time.monotonic() - self._start, 1)}


class Wheel:
    """A running service and what turns it. A month gives its part of summary.json."""

    def __init__(self, service: Service, settings: Settings, recipe: str, clock: Clock, console: Console) -> None:
        self._service, self._settings, self._recipe = service, settings, recipe
        self.clock, self._console = clock, console
        self._ten = [row["prompt"] for row in json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))]
        self._questions = learned.read_questions(SAMPLES / "facts.json")

    def first_month(self, origin: str) -> dict[str, Any]:
        """Facts that moved: what the round learned of them, what it kept, and whether anything personal leaked."""
        self._take_in(1)
        with self.clock.step("ask before"), waiting(self._console, "asking the old champion"):
            before_ten = ask_over_http(self._service.api, origin, self._ten)
        report, candidate, promoted = self._turn("round")
        with (
            self.clock.step("ask after"),
            waiting(self._console, "asking questions in phrasings that nobody trained on"),
        ):
            before, after = (self._share_known(model) for model in (origin, candidate))
            after_ten = self._ask_ten(candidate, promoted)
        show.side_by_side(self._console, list(zip(self._ten, before_ten, after_ten, strict=True)))
        self._console.print(
            f"Learned: {before:.0%} before, {after:.0%} after, on {len(self._questions)} held-out phrasings"
        )
        return {
            "verdict": report["verdict"],
            "promoted": promoted,
            "champion": candidate if promoted else origin,
            "reasons": report["reasons"],
            "funnel": report["funnel"],
            "scores": _scores(report),
            "learned": {"before": round(before, 4), "after": round(after, 4), "n": len(self._questions)},
            "privacy": self._check_privacy(),
        }

    def second_month(self, champion: str) -> dict[str, Any]:
        """Thumbs about style: what the round made of them, and that month one survives."""
        self._console.rule("Month two: thumbs")
        self._take_in(2)
        before_ten = ask_over_http(self._service.api, champion, self._ten)
        report, candidate, promoted = self._turn("second round")
        told, style = report["preference"], learned.read_style(SAMPLES / "style.json")
        with (
            self.clock.step("ask after thumbs"),
            waiting(self._console, "asking for the style, and for month one's facts"),
        ):
            preferred = [self._share_preferred(model, style) for model in (champion, candidate)]
            known = [self._share_known(model) for model in (champion, candidate)]
            after_ten = self._ask_ten(candidate, promoted)
        show.feedback(self._console, told)
        show.side_by_side(self._console, list(zip(self._ten, before_ten, after_ten, strict=True)))
        self._console.print(
            f"Preferred style likelier: {preferred[0]:.0%} before, {preferred[1]:.0%} after, on {len(style)} held-out prompts; "
            f"month one's facts: {known[0]:.0%} before, {known[1]:.0%} after"
        )
        return {
            "champion": candidate if promoted else champion,
            "preference": {
                "method": told["method"],
                "why": told["why"],
                "used": told["used"],
                "dropped": told["dropped"],
                "heldout_before": round(preferred[0], 4),
                "heldout_after": round(preferred[1], 4),
                "n": len(style),
            },
            "second": {
                "verdict": report["verdict"],
                "promoted": promoted,
                "reasons": report["reasons"],
                "scores": _scores(report),
                "learned_month_one": {
                    "before": round(known[0], 4),
                    "after": round(known[1], 4),
                    "n": len(self._questions),
                },
            },
        }

    def _take_in(self, month: int) -> None:
        with self.clock.step(f"import {month}"):
            came = import_month(self._service.url, SAMPLES / f"month-{month}.ndjson", self._console)
            self._console.print(f"Month {month} comes in over HTTP: {came}")
        with self.clock.step(f"curate {month}"):
            wait_for_curation(self._settings, self._console)

    def _turn(self, name: str) -> tuple[dict[str, Any], str, bool]:
        """A round followed to its end: its report, its candidate, and whether that was promoted."""
        with self.clock.step(name):
            row = run_round(self._settings, self._service, self._recipe, self._console)
        report, candidate = row["report"], row["model"]
        self.clock.seconds |= {f"{name}/{stage}": seconds for stage, seconds in report["seconds"].items()}
        show.funnel(self._console, report["funnel"])
        show.gate(self._console, report["scores"], report["verdict"], report["reasons"])
        with self.clock.step(f"promote {name}"):
            return report, candidate, promote(self._service.api, candidate, self._console)

    def _ask_ten(self, model: str, promoted: bool) -> list[str]:
        return ask_over_http(self._service.api, model, self._ten) if promoted else ["(not promoted)"] * len(self._ten)

    def _share_known(self, model: str) -> float:
        prompts = [question.prompt for question in self._questions]
        answers = ask(self._settings.home, served_form(self._settings, model), prompts, _ANSWER_TOKENS)
        return learned.share_right(self._questions, answers)

    def _share_preferred(self, model: str, style: Sequence[Any]) -> float:
        return learned.share_preferred(self._settings.home, served_form(self._settings, model), style)

    def _check_privacy(self) -> dict[str, Any]:
        with self.clock.step("privacy"):
            clean = privacy.clean_texts(self._settings, "demo", privacy.client_ids(SAMPLES / "month-1.ndjson"))
            planted = privacy.read_planted(SAMPLES / "planted.json", clean.keys())
            checked = privacy.measure(planted, clean, self._service.home)
        show.privacy(self._console, checked)
        return checked


def _scores(report: dict[str, Any]) -> dict[str, Any]:
    """The score table with points turned into fractions, as the summary's other shares are."""
    return {
        name: {key: value / 100 if isinstance(value, float) else value for key, value in row.items()}
        for name, row in report["scores"].items()
        if row["metric"] != "perplexity"
    }
