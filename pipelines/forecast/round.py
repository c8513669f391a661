"""The forecast of a round before anything starts: examples, steps, memory and disk."""

import math
from collections.abc import Mapping
from pathlib import Path

from pipelines.backends.base import Machine
from pipelines.forecast.evidence import warnings_of
from pipelines.forecast.memory import memory_outlook
from pipelines.forecast.model_size import Shape, shape_of
from pipelines.forecast.plan import Plan
from pipelines.forecast.preference import Thumbs, plan_preference
from pipelines.mixture.anchors import AnchorName
from pipelines.recipe import Recipe
from pipelines.records import Record
from pipelines.stages.mix import asked_shares
from pipelines.tokenizer import check_policy

_Q4_K_M_BYTES = 0.61


class Stock(Record):
    """How much there is of one source: examples and their trained tokens."""

    examples: int
    tokens: int


def forecast(
    recipe: Recipe,
    *,
    new: Stock,
    replay: Stock,
    anchors: Mapping[AnchorName, Stock],
    base: Path | None,
    machine: Machine | None,
    thumbs: Thumbs | None = None,
    free_bytes: int | None = None,
) -> Plan:
    """The plan of a round of this recipe, its phase already filled in (`Recipe.phase`).

    Args:
        new, replay: what selection would give now.
        anchors: the pools; a kind that is missing has no pool.
        base: the model's folder, if it is here.
        machine: what would train here; None where nothing can, and memory is not forecast then.
        thumbs: the feedback there is, for a recipe that learns preferences.
        free_bytes: what rounds may fill of the disk; None where that is not looked at.

    Raises:
        ModelError: the base is not the kind of model that the recipe's `base.policy` asks for.
    """
    shape = shape_of(recipe.base.model, base)
    tokens = _tokens(recipe, new, replay, anchors)
    stocks: dict[str, Stock] = {"user": _sum(new, replay), "new": new, "replay": replay}
    for kind, stock in anchors.items():
        stocks[kind] = stock
    tokens = _with_enough_anchors(recipe, tokens, stocks)
    examples = {name: _examples(stocks.get(name), count) for name, count in tokens.items()}
    batch = recipe.train.batch.per_device * recipe.train.batch.accumulate
    steps = math.ceil(math.ceil(sum(examples.values()) / batch) * recipe.train.epochs)
    warmup = recipe.train.warmup
    have = new.examples + replay.examples
    trained = None if shape is None else _trained_parameters(recipe, shape)
    plan = Plan(
        recipe=recipe.name,
        examples=examples,
        tokens=tokens,
        batch=batch,
        steps=steps,
        epochs=recipe.train.epochs,
        warmup_steps=math.ceil(warmup * steps) if warmup < 1 else int(warmup),
        evaluations=steps // recipe.train.evaluate_every,
        parameters=None if shape is None else shape.parameters,
        trained_parameters=trained,
        memory=None if shape is None or machine is None else memory_outlook(recipe.train, shape, machine),
        disk_bytes=None if shape is None or trained is None else _disk(shape, trained),
        free_bytes=free_bytes,
        device="" if machine is None else _device_words(machine),
        warnings=(),
        preference=plan_preference(recipe.preference, thumbs) if recipe.preference and thumbs else None,
    )
    warnings = (*(check_policy(recipe.base, base) if base else ()), *warnings_of(recipe, plan, have, machine))
    return plan.model_copy(update={"warnings": warnings})


def _tokens(recipe: Recipe, new: Stock, replay: Stock, anchors: Mapping[AnchorName, Stock]) -> dict[str, int]:
    """Trained tokens per source and epoch, as the mix stage would reach them."""
    shares = asked_shares(recipe)
    lead = next(iter(shares))
    first = new.tokens + replay.tokens if lead == "user" else new.tokens
    if recipe.max_tokens_per_round is not None:
        first = min(first, math.floor(shares[lead] * recipe.max_tokens_per_round))
    tokens = {lead: first}
    room: dict[str, int] = {"replay": replay.tokens}
    for kind, stock in anchors.items():
        room[kind] = stock.tokens * recipe.mixture.max_repeats
    for name, share in shares.items():
        if name != lead and share > 0:
            tokens[name] = min(round(share / shares[lead] * first), room.get(name, 0))
    return tokens


def _with_enough_anchors(recipe: Recipe, tokens: Mapping[str, int], stocks: Mapping[str, Stock]) -> dict[str, int]:
    """The tokens, with more of anchors where they would be too few examples, as far as the pools go."""
    floor, raised = recipe.mixture.anchor_examples, dict(tokens)
    counts = {name: _examples(stocks.get(name), count) for name, count in tokens.items()}
    anchors = {name: counts[name] for name in recipe.mixture.anchors if counts.get(name)}
    least = (sum(counts.values()) - sum(anchors.values())) * floor / (1 - floor)
    if anchors and sum(anchors.values()) < least:
        times = least / sum(anchors.values())
        for name in anchors:
            raised[name] = min(math.ceil(times * tokens[name]), stocks[name].tokens * recipe.mixture.max_repeats)
    return raised


def _examples(stock: Stock | None, tokens: int) -> int:
    if stock is None or stock.tokens == 0:
        return 0
    return math.ceil(tokens * stock.examples / stock.tokens)


def _sum(one: Stock, other: Stock) -> Stock:
    return Stock(examples=one.examples + other.examples, tokens=one.tokens + other.tokens)


def _trained_parameters(recipe: Recipe, shape: Shape) -> int:
    return shape.parameters if recipe.train.method == "full" else shape.lora_parameters(recipe.train.lora.r)


def _device_words(machine: Machine) -> str:
    return machine.device + (f": {machine.why}" if machine.why else "")


def _disk(shape: Shape, trained: int) -> int:
    """Two checkpoints with their moments, the best and the final weights, an F16 GGUF in passing, two quantized."""
    return int(trained * 4 * (2 * 3 + 2) + shape.parameters * (2 + 2 * _Q4_K_M_BYTES))
