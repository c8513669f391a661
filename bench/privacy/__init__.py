"""Detection on texts it was not written on, beside stock Presidio: recall by kind, precision, and what is damaged.

Two generators with names, templates and formats of their own: `seen`, whose rows may be looked at while rules are written,
and `unseen`, of which only figures are looked at. Only the second is evidence, and one author wrote both.
"""

from dataclasses import asdict
from typing import Any

from bench.privacy import finders, seen, unseen
from bench.privacy.rows import build
from bench.privacy.score import score

SEED = 17
ROWS_PER_TEMPLATE = 12


def run() -> dict[str, Any]:
    """Figures of both sides on both splits; without a spaCy model stock Presidio finds no names, and `stock_model` says so."""
    ours = finders.ours()
    stock, model = finders.stock()
    splits = {
        name: build(part, ROWS_PER_TEMPLATE, SEED) for name, part in (("seen", seen.PART), ("unseen", unseen.PART))
    }
    return {"stock_model": model} | {
        split: {name: asdict(score(rows, find)) for name, find in (("ours", ours), ("stock", stock))}
        for split, rows in splits.items()
    }
