"""How near an answer comes to the one that another model gave, which was recorded beforehand.

{"id": "...", "prompt": "How do I return a parcel?", "answer": "Within 30 days, free of charge."}
"""

from pipelines.recipe import Metric
from pipelines.suites.heldout import rouge
from pipelines.suites.load import Item
from pipelines.suites.probes import is_refusal


def score(item: Item, answer: str) -> dict[Metric, float]:
    """Agreement, likeness in length and in refusing, each from 0 to 1.

    `agreement` is ROUGE-L F1; `length` the shorter text's share of the longer one's characters; `refusals` 1 where both
    refuse or neither does.
    """
    lengths = sorted((len(answer.strip()), len(item.answer.strip())))
    return {
        "agreement": 1.0 if answer.strip() == item.answer.strip() else rouge(item.answer, answer)["rougeL"],
        "length": lengths[0] / max(1, lengths[1]),
        "refusals": float(is_refusal(answer) == is_refusal(item.answer)),
    }
