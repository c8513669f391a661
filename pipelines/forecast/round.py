"""The forecast of a round before anything starts: examples, steps, memory and disk, and warnings in words.

Limits of learning rate, epochs, rank and batch are the evidence collected in SCIENCE section 6 (LoRA sweeps, QLoRA,
TRACE); a recipe may leave them, but not without being told.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pipelines.backends.base import Machine
from pipelines.curate.reasons import Altered
from pipelines.feedback.reasons import CONVERSATION_REASONS
from pipelines.forecast.model_size import Shape, shape_of
from pipelines.forecast.preference import PreferencePlan, Thumbs, plan_preference, preference_warnings
from pipelines.gate.outlook import GateOutlook, outlook_lines
from pipelines.mixture.anchors import AnchorName
from pipelines.recipe import Recipe
from pipelines.records import Record
from pipelines.stages.mix import asked_shares
from pipelines.tokenizer import check_policy

_Q4_K_M_BYTES = 0.61
_EPOCH_SLACK = 1e-9


class Stock(Record):
    """How much there is of one source: examples and their trained tokens."""

    examples: int
    tokens: int


class Limits(NamedTuple):
    """What the evidence supports for a size of model; learning rate of LoRA, to be swept by half and double."""

    below: float
    learning_rate: float
    ranks: tuple[int, int]
    batch: tuple[int, int]
    epochs: float


# SCIENCE section 6. Below 0.1e9 parameters it says nothing, and so do we.
_SMALLEST = 1e8
_LIMITS = (
    Limits(5e9, 2e-4, (16, 32), (16, 16), 2),
    Limits(11e9, 2e-4, (16, 32), (16, 32), 2),
    Limits(22e9, 1e-4, (16, 16), (16, 32), 2),
    Limits(math.inf, 1e-4, (16, 16), (16, 32), 1),
)


REFUSED = "the round would be refused: "


class Plan(Record):
    """What a round would be. Bytes and parameters are None when the model's size cannot be told."""

    recipe: str
    examples: Mapping[str, int]
    tokens: Mapping[str, int]
    batch: int
    steps: int
    epochs: float
    warmup_steps: int
    evaluations: int
    parameters: int | None
    trained_parameters: int | None
    memory_bytes: int | None
    disk_bytes: int | None
    warnings: tuple[str, ...]
    preference: PreferencePlan | None = None
    left_out: Mapping[str, int] = {}
    altered: Altered = Altered()
    gates: tuple[GateOutlook, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the round would not start."""
        return any(warning.startswith(REFUSED) for warning in self.warnings)

    def lines(self) -> list[str]:
        """The forecast as a person reads it."""
        total, tokens = sum(self.examples.values()), sum(self.tokens.values())
        lines = [
            f"recipe    {self.recipe}",
            f"examples  {total} an epoch: " + ", ".join(f"{name} {n}" for name, n in self.examples.items()),
            f"tokens    {tokens} an epoch that get loss: "
            + ", ".join(f"{name} {n}" for name, n in self.tokens.items()),
            f"steps     {self.steps}: {self.epochs:g} epochs, {self.batch} examples a step, {self.warmup_steps} of warm-up, "
            f"{self.evaluations} evaluations on dev",
        ]
        if self.parameters and self.trained_parameters and self.disk_bytes:
            share = 100 * self.trained_parameters / self.parameters
            lines += [
                f"model     {_count(self.parameters)} parameters, {_count(self.trained_parameters)} trained ({share:.2g} %)",
                *([f"memory    about {_bytes(self.memory_bytes)} to train"] if self.memory_bytes else []),
                f"disk      about {_bytes(self.disk_bytes)} while it runs",
            ]
        lines += [self.preference.line()] if self.preference else []
        lines += outlook_lines(self.gates)
        if self.left_out:
            lines.append(f"left out  {sum(self.left_out.values())} conversations cannot train now:")
        for reason, count in sorted(self.left_out.items(), key=lambda pair: -pair[1]):
            sentence = CONVERSATION_REASONS.get(reason)
            lines.append(f"  {count} {reason}" + (f": {sentence}" if sentence else ""))
        lines += [f"changed   {self.altered.sentence}"] if self.altered.changed else []
        return lines + [f"warning   {warning}" for warning in self.warnings]


def forecast(
    recipe: Recipe,
    *,
    new: Stock,
    replay: Stock,
    anchors: Mapping[AnchorName, Stock],
    base: Path | None,
    machine: Machine | None,
    thumbs: Thumbs | None = None,
) -> Plan:
    """The plan of a round of this recipe, its phase already filled in (`Recipe.phase`).

    Args:
        new, replay: what selection would give now.
        anchors: the pools; a kind that is missing has no pool.
        base: the model's folder, if it is here.
        machine: what would train here; None where nothing can, and memory is not forecast then.
        thumbs: the feedback there is, for a recipe that learns preferences.

    Raises:
        ModelError: the base is not the kind of model that the recipe's `base.policy` asks for.
    """
    shape = shape_of(recipe.base.model, base)
    tokens = _tokens(recipe, new, replay, anchors)
    stocks: dict[str, Stock] = {"user": _sum(new, replay), "new": new, "replay": replay}
    for kind, stock in anchors.items():
        stocks[kind] = stock
    examples = {name: _examples(stocks.get(name), count) for name, count in tokens.items()}
    batch = recipe.train.batch.per_device * recipe.train.batch.accumulate
    steps = math.ceil(math.ceil(sum(examples.values()) / batch) * recipe.train.epochs)
    warmup = recipe.train.warmup
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
        memory_bytes=None if shape is None or machine is None else _memory(recipe, shape, machine),
        disk_bytes=None if shape is None or trained is None else _disk(shape, trained),
        warnings=(),
        preference=plan_preference(recipe.preference, thumbs) if recipe.preference and thumbs else None,
    )
    warnings = [
        *(check_policy(recipe.base, base) if base else ()),
        *_data_warnings(recipe, plan, new.examples + replay.examples),
        *_schedule_warnings(recipe, plan),
        *_evidence_warnings(recipe, plan),
        *_preference_warnings(recipe, plan),
        *(_machine_warnings(recipe, plan, machine) if machine else ()),
    ]
    return plan.model_copy(update={"warnings": tuple(warnings)})


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


def _examples(stock: Stock | None, tokens: int) -> int:
    if stock is None or stock.tokens == 0:
        return 0
    return math.ceil(tokens * stock.examples / stock.tokens)


def _sum(one: Stock, other: Stock) -> Stock:
    return Stock(examples=one.examples + other.examples, tokens=one.tokens + other.tokens)


def _trained_parameters(recipe: Recipe, shape: Shape) -> int:
    return shape.parameters if recipe.train.method == "full" else shape.lora_parameters(recipe.train.lora.r)


def _memory(recipe: Recipe, shape: Shape, machine: Machine) -> int:
    """Weights, the trained part with gradients and Adam, and the activations of one row; rough."""
    train = recipe.train
    bytes_per_linear = {"qlora": 0.516, "lora": 2.0, "full": 0.0}[train.method]  # NF4 with double quantization
    weights = shape.linear_parameters * bytes_per_linear + shape.embedding_parameters * 2 * (train.method != "full")
    moments = 2 if machine.device == "cuda" and "8bit" in train.optimizer else 8
    trained = _trained_parameters(recipe, shape) * (4 + 4 + moments)
    row = train.batch.per_device * train.max_tokens
    row = row if machine.row_tokens is None else min(row, max(machine.row_tokens, train.max_tokens))
    checkpointed = shape.parameters >= machine.checkpointing_from
    layer = row * (34 * shape.hidden + 8 * shape.intermediate)
    activations = row * shape.hidden * 2 * shape.layers + layer if checkpointed else layer * shape.layers
    return int(weights + trained + activations)


def _disk(shape: Shape, trained: int) -> int:
    """Two checkpoints with their moments, the best and the final weights, an F16 GGUF in passing, two quantized."""
    return int(trained * 4 * (2 * 3 + 2) + shape.parameters * (2 + 2 * _Q4_K_M_BYTES))


def _data_warnings(recipe: Recipe, plan: Plan, have: int) -> Iterator[str]:
    if have < recipe.min_examples:
        yield f"the round would be skipped: {have} examples, and the recipe asks for {recipe.min_examples}"
    shares = asked_shares(recipe)
    lead = next(iter(shares))
    for name, share in shares.items():
        wanted = round(share / shares[lead] * plan.tokens[lead])
        reached = plan.tokens.get(name, 0)
        if reached < 0.99 * wanted:
            why = "there is none" if reached == 0 else "there is no more"
            yield f"{name} falls short: {reached} of {wanted} tokens, because {why}; the other shares grow instead"
    if recipe.mixture.user > 0.999:
        yield "no anchors: nothing protects the skills that the gates measure (SCIENCE section 1)"
    if recipe.lineage == "sequential":
        yield (
            "`lineage: sequential` compounds drift from round to round, and falls back behind everything that came after a "
            "person who is erased; "
            "from_origin does neither (SCIENCE section 0)"
        )
    if recipe.select.response_tokens[1] <= 512:
        yield (
            f"answers over {recipe.select.response_tokens[1]} tokens get no loss: that deletes long code and rewards "
            "brevity (SCIENCE section 6)"
        )


def _schedule_warnings(recipe: Recipe, plan: Plan) -> Iterator[str]:
    train = recipe.train
    if plan.steps and plan.warmup_steps >= plan.steps:
        yield (
            f"the warm-up of {plan.warmup_steps} steps is longer than the run of {plan.steps}: the learning rate never "
            f"reaches {train.learning_rate:g}; use a share, such as `warmup: 0.05`"
        )
    elif plan.steps and plan.warmup_steps > 0.2 * plan.steps:
        yield (
            f"the warm-up takes {plan.warmup_steps} of {plan.steps} steps; 3 to 5 % is enough: use a share, such as "
            "`warmup: 0.05`"
        )
    if train.early_stopping is not None:
        # the first evaluation always counts as better, and at the last step there is nothing left to stop
        needed = (train.early_stopping.patience + 1) * train.evaluate_every + 1
        if needed > plan.steps:
            yield (
                f"early stopping cannot fire: patience {train.early_stopping.patience} with an evaluation every "
                f"{train.evaluate_every} steps needs more than {needed - 1} steps, and the run has {plan.steps}"
            )


def _evidence_warnings(recipe: Recipe, plan: Plan) -> Iterator[str]:
    """Where the recipe leaves what SCIENCE section 6 supports for this size of model."""
    if plan.parameters is None:
        yield f"the size of {recipe.base.model} is unknown, so learning rate, epochs and memory are not checked"
        return
    if plan.parameters < _SMALLEST:
        return
    limits = next(limits for limits in _LIMITS if plan.parameters < limits.below)
    train, size = recipe.train, _count(plan.parameters)
    best = limits.learning_rate / (10 if train.method == "full" else 1)
    if not best / 2 * 0.999 <= train.learning_rate <= best * 2 * 1.001:
        low = train.learning_rate < best
        yield (
            f"learning rate {train.learning_rate:g} is {'below' if low else 'above'} what holds for {size} parameters "
            f"with {train.method} ({best / 2:g} to {best * 2:g})"
            + (f": {best / train.learning_rate:.0f} times less than {best:g}, it may learn nothing" if low else "")
        )
    if train.epochs > limits.epochs + _EPOCH_SLACK:
        yield (
            f"{train.epochs:g} epochs are more than the {limits.epochs:g} that hold for {size} parameters: more "
            "forgetting, overfitting and memorised text"
        )
    if train.method != "full" and not limits.ranks[0] <= train.lora.r <= limits.ranks[1]:
        yield f"rank {train.lora.r} is not {_range(limits.ranks)}, which holds for {size} parameters"
    if not limits.batch[0] / 2 <= plan.batch <= limits.batch[1] * 2:
        yield f"{plan.batch} examples a step are not {_range(limits.batch)}, which holds for {size} parameters"


def _preference_warnings(recipe: Recipe, plan: Plan) -> Iterator[str]:
    if recipe.preference is not None and plan.preference is not None:
        judged = plan.parameters is not None and plan.parameters >= _SMALLEST
        yield from preference_warnings(recipe.preference, plan.preference, judged=judged)


def _machine_warnings(recipe: Recipe, plan: Plan, machine: Machine) -> Iterator[str]:
    if refused := machine.refuses.get(recipe.train.method):
        yield f"the round would be refused: {refused}"
    optimizer = recipe.train.optimizer
    if optimizer != "adamw_torch" and machine.device != "cuda":
        yield f"{optimizer} needs CUDA, which this machine does not have; adamw_torch takes its place"
    if plan.memory_bytes is not None and plan.memory_bytes > machine.memory_bytes:
        yield (
            f"training needs about {_bytes(plan.memory_bytes)} and this machine has {_bytes(machine.memory_bytes)}: lower "
            "train.batch.per_device, train.max_tokens or train.lora.r, or use `method: qlora`"
        )


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _count(number: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
