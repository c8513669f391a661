"""Detection on texts it was not written on, beside stock Presidio: recall by kind, precision, and what is damaged.

Three generators with names, templates and formats of their own: `seen` and `hostile`, whose rows may be looked at while rules
are written, and `unseen`, of which only figures are looked at. Only the last is evidence, and the rules' first author wrote it.
"""

from dataclasses import asdict
from typing import Any

from bench.privacy import finders, hostile, seen, unseen
from bench.privacy.rows import build
from bench.privacy.score import score

SEED = 17
ROWS_PER_TEMPLATE = 12


def run() -> dict[str, Any]:
    """Figures of both sides on both splits; without a spaCy model stock Presidio finds no names, and `stock_model` says so."""
    ours = finders.ours()
    stock, model = finders.stock()
    splits = {
        name: build(part, ROWS_PER_TEMPLATE, SEED)
        for name, part in (("seen", seen.PART), ("hostile", hostile.PART), ("unseen", unseen.PART))
    }
    return {"stock_model": model} | {
        split: {name: asdict(score(rows, find)) for name, find in (("ours", ours), ("stock", stock))}
        for split, rows in splits.items()
    }
