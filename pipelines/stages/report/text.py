"""report.md: the facts of an attempt for people, in the order in which the round went, by templates/report.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from pipelines.feedback.reasons import CONVERSATION_REASONS, FEEDBACK_REASONS, SOURCES
from pipelines.stages.report.facts import LossPoint, ReportFacts
from pipelines.suites.probes import Probe

_TEMPLATES = Path(__file__).parent / "templates"


class Figure(NamedTuple):
    """A figure of the stop rules: its field of a Probe, and its words. `places` None: a share."""

    name: str
    words: str
    places: int | None = None

    def shown(self, probe: Probe) -> str:
        """The value as the report shows it; what nobody measured is no zero."""
        value: float | None = getattr(probe, self.name)
        if value is None:
            return "not measured"
        return _percent(value) if self.places is None else f"{value:.{self.places}f}"


FIGURES = (
    Figure("chosen", "preferred answers, nats per token", places=3),
    Figure("length", "answer length, tokens", places=1),
    Figure("preferred_length", "preferred answers, tokens", places=1),
    Figure("kl", "KL from the champion, nats per token", places=3),
    Figure("refusals", "refusals"),
    Figure("agreement", "agreement with wrong claims"),
)


def as_markdown(facts: ReportFacts, pictures: Sequence[str]) -> str:
    """The text of report.md; `pictures` are file names beside it."""
    return (
        _environment()
        .get_template("report.md")
        .render(
            facts=facts,
            pictures=pictures,
            figures=FIGURES,
            conversation_reasons=CONVERSATION_REASONS,
            feedback_reasons=FEEDBACK_REASONS,
            sources=SOURCES,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": _percent, "counts": _counts, "loss": _loss, "spread": _spread}
    return environment


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in numbers.items())


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _spread(points: Sequence[LossPoint], about: int) -> Sequence[LossPoint]:
    """About so many of the points, evenly spread, the first among them."""
    return points[:: max(1, len(points) // about)]
