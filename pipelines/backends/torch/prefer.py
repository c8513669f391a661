"""Preference training on top of an SFT adapter: pairs and labelled answers in, an adapter with its history out.

out/
├── adapter/                  the weights of the last evaluation that broke no stop rule
├── preference_history.csv    step,loss,margin,chosen_reward,rejected_reward,accuracy,..., one line per step and per look
├── preference_dev.csv        id,answer,before,after: log-probabilities of dev answers, nats, under reference and adapter
├── preference_metrics.json   hyper-parameters, data, weights, stop, speed, memory, choices and why
└── checkpoints/, kept/, reference.npz    while it runs; a killed run goes on from there
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog
import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerState, set_seed

from pipelines.backends import output
from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.checkpoints import newest_valid_checkpoint
from pipelines.backends.examples import ExampleSet, load_examples
from pipelines.backends.label_weights import balanced_weights, readings_of
from pipelines.backends.preference_items import Item, Items, load_items
from pipelines.backends.step_plan import Step, plan_steps, with_anchors
from pipelines.backends.torch.answer_rows import StepCollator
from pipelines.backends.torch.attention import with_fitting_attention
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.data import RowCollator
from pipelines.backends.torch.device import Choices, choose, machine
from pipelines.backends.torch.last_good import LastGood
from pipelines.backends.torch.load import count_parameters, load_adapted, load_padding
from pipelines.backends.torch.measures import PACKAGES, peak_memory_bytes, with_fitting_threads
from pipelines.backends.torch.objective import Objective, RewardShift
from pipelines.backends.torch.precision import with_measured_precision
from pipelines.backends.torch.preference_trainer import PreferenceTrainer
from pipelines.backends.torch.reference import consult_reference, forget_reference
from pipelines.backends.torch.scoring import Reader
from pipelines.backends.torch.settings import trainer_settings
from pipelines.backends.watch import Look, Watch, gather_watch, look
from pipelines.errors import NothingToLearn, RecipeError
from pipelines.recipe import Train
from pipelines.tokenizer import ChatTokenizer

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_OWN_KEYS = ("learning_rate", "scheduler", "warmup", "epochs", "batch", "save_every")
_LOOKS = 8


@dataclass(frozen=True)
class Plan:
    """What a run reads, all of it known before the first step. `train` has the preference section's figures."""

    train: Train
    data: Items
    anchors: ExampleSet
    steps: tuple[Step, ...]
    objective: Objective
    choices: Choices

    @property
    def items(self) -> Sequence[Item]:
        """The items of all steps."""
        return self.data.items


def prefer(request: PreferRequest, out: Path) -> PreferOutput:
    """Train as the request says, going on from the newest whole checkpoint in `out`.

    Raises:
        NothingToLearn: nothing to train on, or answers of one label only.
        TrainingError: a loss, gradient or weight that became NaN, or no such device here.
        RecipeError: `train.method: full`, which leaves no adapter that could be the reference.
        ModelError, DataError: the base, the adapter or a file does not hold what it must.
    """
    if request.train.method == "full":
        raise RecipeError(
            "preference training needs the adapter that SFT trained, and `train.method: full` leaves none; use "
            "`method: lora` or qlora, or `preference: {method: none}`"
        )
    machine(request.train.backend).require(request.train)
    tokenizer = ChatTokenizer(request.base, request.chat)
    plan = _plan(request, tokenizer)
    watch = gather_watch(request, tokenizer)
    torch.set_num_threads(plan.choices.threads)
    tally, shift = Tally(out, "prefer"), RewardShift()
    checkpoint = newest_valid_checkpoint(out / "checkpoints")
    _restore(checkpoint, (tally, shift))
    plan = replace(plan, choices=with_measured_precision(request.base, plan.train, plan.choices, tally.bf16))
    tally.bf16 = plan.choices.bf16
    set_seed(plan.train.seed)
    trainer = _trainer(request, out, plan, tokenizer, [tally, shift])
    plan = replace(plan, choices=with_fitting_attention(trainer.model, plan.choices))
    reader = Reader(
        trainer.model,
        plan.choices.device,
        plan.choices.row_tokens,
        bf16=plan.choices.bf16,
        end_id=tokenizer.end_id,
        pad_id=tokenizer.pad_id,
    )
    reference = consult_reference(request, plan.items, watch, reader, tokenizer, out)
    last_good = LastGood(reference.before, request.preference.stops, watch.too_few, out / "kept")
    trainer.add_callback(last_good)
    trainer.data_collator = StepCollator(
        plan.steps,
        plan.items,
        _anchor_rows(plan.anchors),
        reference.scores,
        RowCollator(tokenizer.pad_id, plan.choices.row_tokens, anchors_apart=False),
        plan.choices.row_tokens,
    )
    trainer.look = partial(look, reader, watch, reference.distributions, tokenizer)
    _restore(checkpoint, (last_good,))
    choices = with_fitting_threads(request.base, request.threads, plan.choices, trainer, tally)
    choices = replace(choices, why=choices.why | _words(request, plan, watch))
    for name, why in choices.why.items():
        _log.info("preference_choice", choice=name, why=why)
    if last_good.stopped_by is not None and checkpoint is not None:  # killed between the stop and the result
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    output.write_dev(out, watch.dev, reference.before.dev, last_good.look.dev)
    return _finish(request, out, replace(plan, choices=choices), trainer, tally, last_good, reference.before)


def _plan(request: PreferRequest, tokenizer: ChatTokenizer) -> Plan:
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
    choices = choose(train, count_parameters(request.base), request.threads)
    train = train.model_copy(update={"evaluate_every": look_every(preference.evaluate_every, len(steps))})
    return Plan(train, data, anchors, tuple(steps), objective, choices)


def look_every(every: Literal["auto"] | int, steps: int) -> int:
    """How many steps lie between two looks of the stop rules; auto: at least eight looks, or one after every step."""
    return max(1, steps // _LOOKS) if every == "auto" else every


def _trainer(
    request: PreferRequest, out: Path, plan: Plan, tokenizer: ChatTokenizer, callbacks: Sequence[Any]
) -> PreferenceTrainer:
    tally, shift = callbacks
    model = load_adapted(request.base, request.base_name, request.adapter, plan.train, plan.choices)
    exact = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    numbers = Dataset.from_dict({"step": list(range(len(plan.steps)))})
    one_epoch = {"num_train_epochs": 1, "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1}
    trainer = PreferenceTrainer(
        model=model,
        args=trainer_settings(plan.train, plan.choices, out, evaluates=True, **one_epoch),
        train_dataset=numbers,
        eval_dataset=numbers,
        processing_class=load_padding(tokenizer, request.base),
        callbacks=list(callbacks),
        collator=None,
        tally=tally,
        objective=plan.objective,
        shift=shift,
    )
    trainer.remove_callback(PrinterCallback)
    for name, weight in trainer.model.named_parameters():
        if name in exact:
            weight.data = exact[name]  # trl has rounded the adapter of a 4-bit base to bfloat16
    return trainer


def _anchor_rows(anchors: ExampleSet) -> list[dict[str, Any]]:
    return [{"input_ids": list(one.ids), "labels": list(one.labels), "anchor": True} for one in anchors.examples]


def _restore(checkpoint: Path | None, callbacks: Sequence[Any]) -> None:
    if checkpoint is None:
        return
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    for callback in callbacks:
        callback.restore(state["stateful_callbacks"][type(callback).__name__]["attributes"])


def _words(request: PreferRequest, plan: Plan, watch: Watch) -> dict[str, str]:
    """What was decided about this run beyond device and precision, in words."""
    read = [plan.items[place] for step in plan.steps for place in step.items]
    anchors = sum(len(step.anchors) for step in plan.steps)
    choices = {
        "steps": f"{len(plan.steps)} of exactly {len(plan.steps[0].items)} items, drawn up before the first",
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


def _looks(request: PreferRequest, plan: Plan) -> str:
    every, steps = plan.train.evaluate_every, len(plan.steps)
    if request.preference.evaluate_every == "auto":
        return f"every {every} of {steps} steps: at least {_LOOKS}, or one a step"
    if every >= steps:
        return f"only after the last of {steps} steps, as preference.evaluate_every is {every}: the stop rules cannot end this run early"
    return f"every {every} of {steps} steps, as the recipe asks"


def _finish(
    request: PreferRequest,
    out: Path,
    plan: Plan,
    trainer: PreferenceTrainer,
    tally: Tally,
    last_good: LastGood,
    before: Look,
) -> PreferOutput:
    """Write the weights and figures, drop what only a running training needs."""
    seconds = tally.seconds
    shutil.rmtree(out / "adapter", ignore_errors=True)
    if last_good.weights is None:
        _copy_adapter(request, out / "adapter")
    else:
        shutil.copytree(last_good.weights, out / "adapter")
    history = trainer.state.log_history
    output.write_preference_history(out, before, history)
    losses = [entry["loss"] for entry in history if "loss" in entry]
    items = plan.items
    result = PreferOutput(
        method=request.method,
        weights="adapter",
        history=output.PREFERENCE_HISTORY,
        metrics=output.PREFERENCE_METRICS,
        dev=output.PREFERENCE_DEV,
        steps=trainer.state.global_step,
        planned_steps=len(plan.steps),
        kept_step=last_good.step,
        stopped_by=last_good.stopped_by,
        pairs=sum(item.is_pair for item in items),
        good=sum(not item.is_pair and item.good for item in items),
        bad=sum(not item.is_pair and not item.good for item in items),
        left_out=plan.data.left_out,
        anchors=len(plan.anchors.examples),
        tokens=tally.tokens,
        seconds=round(seconds, 3),
        tokens_per_second=round(tally.tokens / max(seconds, 1e-6), 1),
        peak_memory_bytes=peak_memory_bytes(plan.choices.device),
        first_loss=losses[0],
        last_loss=losses[-1],
        dev_before=before.dev_accuracy,
        dev_after=last_good.look.dev_accuracy,
        probe_before=before.probe,
        probe_after=last_good.look.probe,
        desirable=plan.objective.desirable,
        undesirable=plan.objective.undesirable,
        precision=plan.choices.precision,
        choices=plan.choices.why,
    )
    output.write_preference_metrics(out, request, result, PACKAGES)
    for name in ("checkpoints", "kept"):
        shutil.rmtree(out / name, ignore_errors=True)
    forget_reference(out)
    return result


def _copy_adapter(request: PreferRequest, target: Path) -> None:
    target.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(request.adapter / name, target / name)
