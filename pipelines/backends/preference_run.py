"""A preference run as every backend plans it before its first step, and what it writes after its last."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.backends import output
from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.examples import ExampleSet, load_examples
from pipelines.backends.label_weights import balanced_weights, readings_of
from pipelines.backends.objective import Objective
from pipelines.backends.preference_items import Item, Items, load_items
from pipelines.backends.reference import forget_reference
from pipelines.backends.step_plan import Step, plan_steps, with_anchors
from pipelines.backends.watch import Look, Watch
from pipelines.errors import NothingToLearn, RecipeError
from pipelines.recipe import Train
from pipelines.tokenizer import ChatTokenizer

_OWN_KEYS = ("scheduler", "warmup", "epochs", "batch", "save_every")
_LOOKS = 8


@dataclass(frozen=True)
class PreferencePlan:
    """What a run reads, all of it known before the first step. `train` has the preference section's figures."""

    train: Train
    data: Items
    anchors: ExampleSet
    steps: tuple[Step, ...]
    objective: Objective

    @property
    def items(self) -> Sequence[Item]:
        """The items of all steps."""
        return self.data.items


class Kept(Protocol):
    """What a run has kept: the weights of the last look that broke no stop rule, None for the reference's."""

    step: int
    look: Look
    stopped_by: str | None

    @property
    def weights(self) -> Path | None:
        """Where they are."""
        ...


@dataclass(frozen=True)
class Trained:
    """What a run has done, for its record."""

    steps: int
    history: Sequence[Mapping[str, Any]]
    tokens: int
    seconds: float
    peak_memory_bytes: int
    precision: Literal["float32", "bfloat16"]
    choices: Mapping[str, str]


def require_adapter(request: PreferRequest) -> None:
    """Raise RecipeError for `train.method: full`, which leaves no adapter that could be the reference."""
    if request.train.method == "full":
        raise RecipeError(
            "preference training needs the adapter that SFT trained, and `train.method: full` leaves none; use "
            "`method: lora` or qlora, or `preference: {method: none}`"
        )


def plan_preference(request: PreferRequest, tokenizer: ChatTokenizer) -> PreferencePlan:
    """The run's items, anchors, steps and weights. Raises NothingToLearn where nothing is left to train on."""
    preference = request.preference
    train = request.train.model_copy(update={key: getattr(preference, key) for key in _OWN_KEYS})
    data = load_items(request.train_file, tokenizer, train.max_tokens, request.method)
    if not data.items:
        raise NothingToLearn(
            f"no example is left for {request.method} (left out: {dict(data.left_out)}); use another "
            "preference.method, a larger train.max_tokens, or `preference: {method: none}`"
        )
    anchors = ExampleSet((), 0, 0)
    if request.anchors_file is not None:
        anchors = load_examples(request.anchors_file, tokenizer, train.max_tokens)
    size = train.batch.per_device * train.batch.accumulate
    steps = plan_steps(data.items, size, train.epochs, train.seed)
    anchor_tokens = [sum(label >= 0 for label in anchor.labels) for anchor in anchors.examples]
    steps = with_anchors(steps, data.items, anchor_tokens, preference.anchors, train.seed)
    desirable, undesirable = 1.0, 1.0
    if request.method != "dpo":
        good, bad = (readings_of(steps, data.items, good=mark) for mark in (True, False))
        desirable, undesirable = balanced_weights(
            good, bad, preference.desirable, preference.undesirable, preference.max_boost
        )
    objective = Objective(request.method, preference.beta, preference.nll_weight, desirable, undesirable)
    by_steps = {
        "learning_rate": preference.rate(len(steps)),
        "evaluate_every": look_every(preference.evaluate_every, len(steps)),
    }
    train = train.model_copy(update=by_steps)
    return PreferencePlan(train, data, anchors, tuple(steps), objective)


def look_every(every: Literal["auto"] | int, steps: int) -> int:
    """How many steps lie between two looks of the stop rules; auto: at least eight looks, or one after every step."""
    return max(1, steps // _LOOKS) if every == "auto" else every


def in_words(request: PreferRequest, plan: PreferencePlan, watch: Watch) -> dict[str, str]:
    """What was decided about a run beyond device and precision, in words."""
    read = [plan.items[place] for step in plan.steps for place in step.items]
    anchors = sum(len(step.anchors) for step in plan.steps)
    choices = {
        "steps": f"{len(plan.steps)} of exactly {len(plan.steps[0].items)} items, drawn up before the first",
        "learning_rate": _rate(request, plan),
        "anchors": f"{anchors} readings of {len(plan.anchors.examples)} anchors, {request.preference.anchors:g} tokens per answer token",
        "looks": _looks(request, plan),
        "stop_rules": f"skipped: {watch.skipped}" if watch.skipped else "all five are watched",
        "dropout": "off: with it the policy would differ from its reference at once",
    }
    if request.method != "dpo":
        good = sum(item.good for item in read)
        choices["weights"] = (
            f"desirable {plan.objective.desirable:.3g}, undesirable {plan.objective.undesirable:.3g}: "
            f"{good} good and {len(read) - good} bad answers are read, and one counts at most "
            f"{request.preference.max_boost:g} times as much as one of the other label"
        )
    if request.method == "bco":
        choices["prompt_density"] = (
            "bad answers weighted by p(good | prompt) / p(bad | prompt) within 0.5 to 10, five-fold"
        )
    return choices


def write_preference(
    request: PreferRequest,
    out: Path,
    plan: PreferencePlan,
    watch: Watch,
    before: Look,
    kept: Kept,
    trained: Trained,
    packages: Sequence[str],
) -> PreferOutput:
    """Write the weights and figures, drop what only a running training needs."""
    output.write_dev(out, watch.dev, before.dev, kept.look.dev)
    shutil.rmtree(out / "adapter", ignore_errors=True)
    if kept.weights is None:
        _copy_adapter(request, out / "adapter")
    else:
        shutil.copytree(kept.weights, out / "adapter")
    output.write_preference_history(out, before, trained.history)
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    items = plan.items
    result = PreferOutput(
        method=request.method,
        weights="adapter",
        history=output.PREFERENCE_HISTORY,
        metrics=output.PREFERENCE_METRICS,
        dev=output.PREFERENCE_DEV,
        steps=trained.steps,
        planned_steps=len(plan.steps),
        kept_step=kept.step,
        stopped_by=kept.stopped_by,
        pairs=sum(item.is_pair for item in items),
        good=sum(not item.is_pair and item.good for item in items),
        bad=sum(not item.is_pair and not item.good for item in items),
        left_out=plan.data.left_out,
        anchors=len(plan.anchors.examples),
        tokens=trained.tokens,
        seconds=round(trained.seconds, 3),
        tokens_per_second=round(trained.tokens / max(trained.seconds, 1e-6), 1),
        peak_memory_bytes=trained.peak_memory_bytes,
        first_loss=losses[0],
        last_loss=losses[-1],
        dev_before=before.dev_accuracy,
        dev_after=kept.look.dev_accuracy,
        probe_before=before.probe,
        probe_after=kept.look.probe,
        desirable=plan.objective.desirable,
        undesirable=plan.objective.undesirable,
        precision=trained.precision,
        choices=trained.choices,
    )
    output.write_preference_metrics(out, request, result, packages)
    for name in ("checkpoints", "kept"):
        shutil.rmtree(out / name, ignore_errors=True)
    forget_reference(out)
    return result


def _rate(request: PreferRequest, plan: PreferencePlan) -> str:
    rule, rate = request.preference, f"{plan.train.learning_rate:.2g}"
    if rule.learning_rate != "auto":
        return f"{rate}: as the recipe asks"
    return f"{rate}: {rule.travel:g} shared out over {len(plan.steps)} steps, within 5e-06 and 0.0002"


def _looks(request: PreferRequest, plan: PreferencePlan) -> str:
    every, steps = plan.train.evaluate_every, len(plan.steps)
    if request.preference.evaluate_every == "auto":
        return f"every {every} of {steps} steps: at least {_LOOKS}, or one a step"
    if every >= steps:
        return f"only after the last of {steps} steps, as preference.evaluate_every is {every}: the stop rules cannot end this run early"
    return f"every {every} of {steps} steps, as the recipe asks"


def _copy_adapter(request: PreferRequest, target: Path) -> None:
    target.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(request.adapter / name, target / name)
