"""How near a run on preferences comes to its stop rules: what each rule allows is 100, so that all share one picture."""

from collections.abc import Iterator, Mapping, Sequence

from pipelines.recipe import Stops
from pipelines.suites.probes import Probe

Look = tuple[float, Probe]


def stop_lines(looks: Sequence[Look], stops: Stops) -> Mapping[str, list[tuple[float, float]]]:
    """By rule, step and percent of the allowance used; no line for what was not measured, nor before the second look.

    The first look is the reference, so it lies at 0.
    """
    if len(looks) < 2:
        return {}
    lines: dict[str, list[tuple[float, float]]] = {}
    for step, probe in looks:
        for rule, used in _used(looks[0][1], probe, stops):
            lines.setdefault(rule, []).append((step, 100 * max(0.0, used)))
    return lines


def _used(before: Probe, now: Probe, stops: Stops) -> Iterator[tuple[str, float]]:
    """By rule, the share of its allowance that is used; below 0 where a figure moved the way that is allowed."""
    if before.chosen is not None and now.chosen is not None and stops.displacement:
        yield "displacement", (before.chosen - now.chosen) / stops.displacement
    if before.length and now.length is not None and stops.length:
        yield "length", _length(before, now, stops)
    if now.kl is not None:
        yield "kl", now.kl / stops.kl
    if before.refusals is not None and now.refusals is not None and stops.refusal:
        yield "refusals", 100 * (now.refusals - before.refusals) / stops.refusal
    if before.agreement is not None and now.agreement is not None and stops.sycophancy:
        yield "sycophancy", 100 * (now.agreement - before.agreement) / stops.sycophancy


def _length(before: Probe, now: Probe, stops: Stops) -> float:
    """How far the length left where it may lie, against how far beyond it may go."""
    ends = [before.length or 0.0]
    if stops.length_follows_preferred and before.preferred_length is not None:
        ends.append(before.preferred_length)
    low, high, length = min(ends), max(ends), now.length or 0.0
    return max((low - length) / (low * stops.length), (length - high) / (high * stops.length))
