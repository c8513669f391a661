"""How likely a model finds the rest of a text, as plain text and without a chat template: what became of its language.

{"id": "...", "prompt": "The tide comes in twice a day, and whoever", "answer": "walks out to the island has to know when."}
"""

from pipelines.suites.asked import AskedModel
from pipelines.suites.load import Item


def score(item: Item, model: AskedModel) -> float:
    """The mean log-probability in nats of the tokens of `answer` behind `prompt`; exp(-mean) over items is their perplexity."""
    before, behind = model.split(item.prompt, f" {item.answer}")
    return model.scorer.loglikelihood(before, behind)[0] / len(behind)
