"""What would be served: whether it is another model than before, and what serving it costs."""

from collections.abc import Iterator
from typing import Literal

from pipelines.gate.change import Change
from pipelines.gate.finding import Finding
from pipelines.suites.scores import BaselineName, GateInput


def served_findings(scores: GateInput, change: Change | None) -> Iterator[tuple[Literal["change", "cost"], Finding]]:
    """What is found of the candidate as it would be served; nothing where nothing was measured of it."""
    if finding := _change(scores, change):
        yield "change", finding
    candidate, champion = scores.candidate.cost, scores.champion.cost
    if candidate is not None and champion is not None:
        said = f"{candidate.sentence}; the champion: {champion.sentence}"
        yield "cost", Finding("pass", said, n=candidate.answers)


def _change(scores: GateInput, change: Change | None) -> Finding | None:
    """A candidate that is what it was trained from holds every margin by itself, and is never promoted for it."""
    names: tuple[BaselineName, ...] = ("champion", "origin")
    twin = next((name for name in names if scores.candidate.form == scores.baseline(name).form), None)
    probes = _probes(scores)
    if twin is None and change is None and probes is None:
        return None
    mute = probes is not None and not probes[0]
    fails = twin is not None or mute or (change is not None and change.unchanged)
    said = [f"it is the {twin} byte for byte"] if twin else []
    said += [change.sentence] if change else []
    said += [f"{probes[0]} of {probes[1]} probes of what is served differ from the origin's"] if probes else []
    why = "its adapter is not in what is served" if mute else "nothing was learned"
    said += [f"unchanged: {why}"] if fails else []
    return Finding("fail" if fails else "pass", "; ".join(said))


def _probes(scores: GateInput) -> tuple[int, int] | None:
    """How many probes differ from the origin's, of how many; None where none were asked."""
    candidate, origin = scores.candidate.cost, scores.origin.cost
    if candidate is None or origin is None or not origin.probes:
        return None
    pairs = list(zip(candidate.probes, origin.probes, strict=True))
    return sum(now != before for now, before in pairs), len(pairs)
