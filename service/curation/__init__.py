"""Feeds new conversations to pipelines.curate and stores what it made of them, or the reason why not.

Any number of workers may do this at once: each leases what it takes, and a result is stored only if the conversation
still waits for just this revision. What could not be checked is quarantined; nothing is ever passed on unchecked, and no
stored row keeps the next one from being curated (claim.py, results.py).

What is costly waits behind everything else, in a lane of its own (budget.py, curate.py), so that one person's hostile text
never holds up anybody's curation.
"""

from service.curation.again import curate_again
from service.curation.budget import Spending
from service.curation.curate import Curator, Lane, curate_due, delete_raw, delete_rejected, open_curator
from service.curation.explain import Explanation, explain
from service.curation.retention import note_look

__all__ = [
    "Curator",
    "Explanation",
    "Lane",
    "Spending",
    "curate_again",
    "curate_due",
    "delete_raw",
    "delete_rejected",
    "explain",
    "note_look",
    "open_curator",
]
