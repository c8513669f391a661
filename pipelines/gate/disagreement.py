"""How far two models lay apart on each suite when they were last measured: what an outlook takes in place of an assumption.

The candidate of that round had learned something, so it differs from its origin by more than an unchanged model would:
the power that follows is rather too low than too high.
"""

import gzip
import json
from collections import defaultdict
from math import sqrt
from pathlib import Path

import numpy as np

from pipelines.records import Record

# Fewer items than this say little of how much differs.
MIN_MEASURED = 100


class Disagreement(Record):
    """By suite (its first metric) and "suite/metric" one deviation of an item's paired difference; `source` says where."""

    source: str
    spread: dict[str, float]


def read_disagreement(items: Path, source: str) -> Disagreement | None:
    """Between origin and candidate, from the item scores of an evaluation; None where there are none that can be read."""
    values: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    metrics: dict[str, str] = {}
    try:
        with gzip.open(items, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                first = metrics.setdefault(row["suite"], row["metric"]) == row["metric"]
                for key in (f"{row['suite']}/{row['metric']}", *([row["suite"]] if first else [])):
                    values[key][row["model"]][row["id"]] = float(row["value"])
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    spreads = {suite: _spread(models["origin"], models["candidate"]) for suite, models in values.items()}
    return Disagreement(
        source=source, spread={suite: spread for suite, spread in spreads.items() if spread is not None}
    )


def _spread(origin: dict[str, float], candidate: dict[str, float]) -> float | None:
    """None for too few items. Where none differs one that would have is counted: 0 would promise certainty."""
    differences = [candidate[id] - value for id, value in origin.items() if id in candidate]
    if len(differences) < MIN_MEASURED:
        return None
    return max(float(np.std(differences)), sqrt(1 / len(differences)))
