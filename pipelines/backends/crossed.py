"""Prompts with answers to other prompts, on which KTO estimates how far policy and reference are apart."""

import random
from collections.abc import Sequence

from pipelines.backends.examples import IGNORED
from pipelines.backends.preference_items import Answer, Item


def cross(items: Sequence[Item], max_tokens: int, seed: int) -> list[Answer]:
    """For each item its prompt with the first answer of another item: a fixed derangement, for KTO's reference point.

    The other item has another prompt wherever there is one. Where both together are longer than `max_tokens`, the answer
    is cut: what is estimated is a mean, and a prompt alone always leaves room for a token of an answer.
    """
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    partner = {}
    for here, place in enumerate(order):
        others = (order[(here + shift) % len(order)] for shift in range(1, len(order)))
        own = items[place].answers[0].prompt
        partner[place] = next((other for other in others if items[other].answers[0].prompt != own), order[here - 1])
    return [_crossed(item.answers[0], items[partner[place]].answers[0], max_tokens) for place, item in enumerate(items)]


def _crossed(question: Answer, reply: Answer, max_tokens: int) -> Answer:
    prompt = question.prompt_ids
    ids = (*prompt, *reply.ids[reply.start :])[:max_tokens]
    labels = (*(IGNORED for _ in prompt), *reply.labels[reply.start :])[:max_tokens]
    return Answer(question.prompt, ids, labels, len(prompt))
