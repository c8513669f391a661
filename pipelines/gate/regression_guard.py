"""The permanent regression suite in the gate: does the candidate fall back on answers that people corrected?

    fail   surely worse than a baseline, and by 5 points or more
    pass   otherwise; too few corrections, or a loss that may be chance, are said and held against nobody

It holds by itself wherever there are held-out corrections, so it must not keep a round from passing that nobody gated on
it: a recipe that wants non-inferiority names the suite with a margin, and then that rule decides instead.
"""

from pipelines.gate.finding import Finding
from pipelines.gate.statistics import MIN_GRADED, paired_interval
from pipelines.recipe import CORRECTIONS
from pipelines.suites.scores import BaselineName, GateInput, paired_values

LOSS = 0.05


def regression_findings(scores: GateInput, alpha: float) -> list[Finding]:
    """One finding a baseline; none where there are no held-out corrections. Raises SuiteError on different items."""
    if not any(entry.suite == CORRECTIONS for entry in scores.candidate.suites):
        return []
    same = scores.origin.form == scores.champion.form
    names: tuple[BaselineName, ...] = ("champion",) if same else ("champion", "origin")
    return [_judge(scores, name, alpha) for name in names]


def _judge(scores: GateInput, name: BaselineName, alpha: float) -> Finding:
    candidate, baseline = (model.suite(CORRECTIONS) for model in (scores.candidate, scores.baseline(name)))
    new, old, clusters = paired_values(candidate, baseline)
    interval = paired_interval(new, old, alpha=alpha, clusters=clusters)
    said = (
        f"{sum(new):.0f} of {interval.n} held-out corrections are likelier than what they correct, {sum(old):.0f} were "
        f"({100 * interval.lower:+.1f} to {100 * interval.upper:+.1f} points)"
    )
    if interval.n < MIN_GRADED:
        return Finding("pass", f"{said}; fewer than {MIN_GRADED} decide nothing", name, interval.n)
    if interval.difference <= -LOSS and interval.upper < 0:
        return Finding("fail", f"{said}; surely a loss, and by {100 * LOSS:.0f} points or more", name, interval.n)
    return Finding("pass", f"{said}; no sure loss of {100 * LOSS:.0f} points", name, interval.n)
