"""What a finished attempt comes to: what it gained, what it kept, what it costs, in figures and one verdict sentence.

The sentences stand in the templates, where they are translated; here are the figures that they need.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import ValidationError

from pipelines.gate.decide import Check
from pipelines.recipe import CORRECTIONS, HELDOUT, PAIRS
from pipelines.stages.report.facts import JSON_FILE, ReportFacts
from pipelines.stages.report.scores import ScoreRow
from pipelines.suites.scores import PERPLEXITY
from service.web.pages import charts
from service.web.pages.words import N_

_GAINED = {
    HELDOUT: N_("Answers to questions it never saw"),
    CORRECTIONS: N_("Corrections that people wrote"),
    PAIRS: N_("Answers that people preferred"),
}
_THUMBS = N_("Preferred answers are the likelier ones")


@dataclass(frozen=True)
class Gain:
    """One thing that the candidate was to learn, before (under the champion) and after; points, of a perplexity as it is.

    `sure`: the bounds exclude chance; `better` that it went the right way. `unit` of the difference.
    """

    what: str
    metric: str
    before: str
    after: str
    difference: str
    bounds: str
    unit: str
    better: bool
    sure: bool


@dataclass(frozen=True)
class Price:
    """What serving takes, before and after."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Kept:
    """The old skills that are measured: how many, and the one that lost most against the champion."""

    suites: int
    worst: str
    difference: str
    lower: str
    lost: tuple[str, ...]
    unsure: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What an attempt comes to."""

    verdict: str
    gains: tuple[Gain, ...]
    kept: Kept
    prices: tuple[Price, ...]
    facts: ReportFacts | None

    @property
    def gain(self) -> Gain | None:
        """The gain that is told first: the surest of those for the better, else the first."""
        return next((one for one in self.gains if one.better and one.sure), next(iter(self.gains), None))


def read_facts(attempt: Path) -> ReportFacts | None:
    """The report of an attempt; None before there is one, or where another version wrote it otherwise."""
    try:
        raw: dict[str, Any] = json.loads((attempt / "report" / JSON_FILE).read_text(encoding="utf-8"))
        return ReportFacts.model_validate(raw, extra="ignore")
    except (OSError, ValueError, RecursionError, ValidationError):
        return None


def outcome_of(verdict: str, checks: Sequence[Check], facts: ReportFacts | None) -> Outcome:
    """What an attempt comes to, by its gate's checks and its report."""
    gains = tuple(_gains(facts)) if facts else ()
    return Outcome(verdict, gains, _kept(checks), tuple(_prices(facts)) if facts else (), facts)


def mixture_bars(facts: ReportFacts | None) -> tuple[tuple[str, float, int, int, str], ...]:
    """Name, share reached, tokens, examples and share asked, of everything that was mixed."""
    shares = facts.mixture if facts else ()
    return tuple((one.source, one.reached, one.tokens, one.examples, f"{100 * one.asked:.0f} %") for one in shares)


def drawing_of(row: ScoreRow, reach: float) -> Markup:
    """The candidate's difference from the champion."""
    return charts.interval(row.champion_difference, row.champion_lower, row.champion_upper, None, reach)


def _gains(facts: ReportFacts) -> Iterator[Gain]:
    measured = [row for row in facts.scores.values() if row.suite in _GAINED]
    for row in sorted(measured, key=lambda one: (list(_GAINED).index(one.suite), one.metric == PERPLEXITY)):
        yield _gain(row)
    learned = facts.preference
    if learned and learned.heldout_before is not None and learned.heldout_after is not None:
        lower, upper = 100 * (learned.lower or 0.0), 100 * (learned.upper or 0.0)
        before, after = 100 * learned.heldout_before, 100 * learned.heldout_after
        yield Gain(
            what=_THUMBS,
            metric="",
            before=f"{before:.1f} %",
            after=f"{after:.1f} %",
            difference=f"{after - before:+.1f}",
            bounds=f"{lower:+.1f} to {upper:+.1f}",
            unit=N_("points"),
            better=after > before,
            sure=lower > 0 or upper < 0,
        )


def _gain(row: ScoreRow) -> Gain:
    unit = N_("%% lower perplexity") if row.metric == PERPLEXITY else N_("points")
    return Gain(
        what=_GAINED[row.suite],
        metric=row.metric,
        before=f"{row.champion:.1f}",
        after=f"{row.candidate:.1f}",
        difference=f"{row.champion_difference:+.1f}",
        bounds=f"{row.champion_lower:+.1f} to {row.champion_upper:+.1f}",
        unit=unit,
        better=row.champion_difference > 0,
        sure=row.champion_lower > 0 or row.champion_upper < 0,
    )


def _kept(checks: Sequence[Check]) -> Kept:
    held = [check for check in checks if check.criterion in ("margin", "older", "own", "floor_below_origin", "floor")]
    against = [check for check in held if check.baseline == "champion" and check.difference is not None]
    worst = min(against, key=lambda check: check.difference or 0.0, default=None)
    return Kept(
        suites=len({check.suite for check in held}),
        worst=worst.suite if worst else "",
        difference=f"{worst.difference:+.1f}" if worst and worst.difference is not None else "",
        lower=f"{worst.lower:+.1f}" if worst and worst.lower is not None else "",
        lost=tuple(dict.fromkeys(check.suite for check in checks if check.outcome == "fail")),
        unsure=tuple(dict.fromkeys(check.suite for check in checks if check.outcome == "inconclusive")),
    )


def _prices(facts: ReportFacts) -> Iterator[Price]:
    before, after = facts.cost.get("champion"), facts.cost.get("candidate")
    if before is None or after is None:
        return
    yield Price(N_("Length of an answer, tokens"), _one(before.answer_tokens), _one(after.answer_tokens))
    yield Price(N_("Speed, tokens a second"), _whole(before.tokens_per_second), _whole(after.tokens_per_second))
    yield Price(N_("Size of the file"), size_in_words(before.size_bytes), size_in_words(after.size_bytes))


def size_in_words(size_bytes: float | None) -> str:
    """A size as people say it."""
    if size_bytes is None:
        return ""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
