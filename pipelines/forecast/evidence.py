"""What is told of a plan: where its data fall short, its schedule cannot work, or it leaves the evidence.

Limits of learning rate, epochs, rank and batch are the evidence collected in SCIENCE section 6 (LoRA sweeps, QLoRA,
TRACE); a recipe may leave them, but not without being told.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from pipelines.backends.base import Machine
from pipelines.forecast.memory import SHARED, WIRED_AT_MOST, MemoryOutlook, size_words
from pipelines.forecast.model_size import count_words
from pipelines.forecast.plan import Plan
from pipelines.forecast.preference import preference_warnings
from pipelines.recipe import Recipe, Train
from pipelines.stages.mix import asked_shares

_EPOCH_SLACK = 1e-9
_FEW_EXAMPLES = 0.6  # of the share that anchors have of the tokens


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


def warnings_of(recipe: Recipe, plan: Plan, have: int, machine: Machine | None) -> Iterator[str]:
    """Every sentence on a plan; `have` are the examples that there are now."""
    yield from _data_warnings(recipe, plan, have)
    yield from _schedule_warnings(recipe, plan)
    yield from _evidence_warnings(recipe, plan)
    yield from _preference_warnings(recipe, plan)
    yield from _machine_warnings(recipe, plan, machine) if machine else ()


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
    yield from _anchor_warnings(recipe, plan)
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


def _anchor_warnings(recipe: Recipe, plan: Plan) -> Iterator[str]:
    """Anchors that fill their share of the tokens with few examples, or of which there are too few for the floor."""
    floor, asked, reached = (recipe.mixture.anchor_examples, 1 - recipe.mixture.user, plan.anchor_share(plan.examples))
    if floor and reached < 0.99 * floor:
        yield (
            f"anchors are {100 * reached:.0f} % of the examples, and mixture.anchor_examples asks for {100 * floor:.0f} %: the "
            "pools have no more"
        )
    elif not floor and 0 < reached < _FEW_EXAMPLES * asked:
        yield (
            f"anchors have {100 * plan.anchor_share(plan.tokens):.0f} % of the tokens, but are {100 * reached:.0f} % of the examples: "
            f"theirs are longer than your users'; `mixture: {{anchor_examples: {asked:.2g}}}` sets a floor"
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
    train, size = recipe.train, count_words(plan.parameters)
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
    if plan.memory is not None and not plan.memory.fits:
        yield _too_much(recipe.train, plan.memory)
    if plan.disk_bytes is not None and plan.free_bytes is not None and plan.disk_bytes > plan.free_bytes:
        yield (
            f"the round would stop for want of room: it needs about {size_words(plan.disk_bytes)} of disk while it runs, and "
            f"{size_words(plan.free_bytes)} are free for rounds"
        )


def _too_much(train: Train, memory: MemoryOutlook) -> str:
    """What does not fit, the nearest settings that do, and on a Mac what can be raised."""
    sentence = f"training needs about {size_words(memory.bytes)} and this machine has {size_words(memory.memory_bytes)}"
    if memory.usable_bytes != memory.memory_bytes:
        sentence += f", of which its GPU may hold {size_words(memory.usable_bytes)}"
    if memory.nearest is None:
        return f"{sentence}: no batch, rank or length makes that fit; take a smaller base"
    sentence += f": {_changed(train, memory.nearest)} fits"
    if memory.device in SHARED and memory.bytes < WIRED_AT_MOST * memory.memory_bytes:
        megabytes = math.ceil(memory.bytes * 1.02 / (1 << 20))
        sentence += f"; or let the GPU hold more, with nothing else open: sudo sysctl iogpu.wired_limit_mb={megabytes}"
    return sentence


def _changed(train: Train, nearest: Train) -> str:
    """The settings that differ, as they stand in a recipe."""
    changes = []
    if nearest.method != train.method:
        changes.append(f"method: {nearest.method}")
    if nearest.lora != train.lora:
        changes.append(f"lora: {{r: {nearest.lora.r}, alpha: {nearest.lora.alpha:g}}}")
    if nearest.batch != train.batch:
        changes.append(f"batch: {{per_device: {nearest.batch.per_device}, accumulate: {nearest.batch.accumulate}}}")
    if nearest.max_tokens != train.max_tokens:
        changes.append(f"max_tokens: {nearest.max_tokens}")
    return f"`train: {{{', '.join(changes)}}}`"


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
