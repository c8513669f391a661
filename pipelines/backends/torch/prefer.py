"""Preference training on top of an SFT adapter: pairs and labelled answers in, an adapter with its history out.

out/
├── adapter/                  the weights of the last evaluation that broke no stop rule
├── preference_history.csv    step,loss,margin,chosen_reward,rejected_reward,accuracy,..., one line per step and per look
├── preference_dev.csv        id,answer,before,after: log-probabilities of dev answers, nats, under reference and adapter
├── preference_metrics.json   hyper-parameters, data, weights, stop, speed, memory, choices and why
└── checkpoints/, kept/, reference.npz    while it runs; a killed run goes on from there
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerState, set_seed

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.checkpoints import newest_valid_checkpoint
from pipelines.backends.examples import ExampleSet
from pipelines.backends.preference_run import (
    PreferencePlan,
    Trained,
    in_words,
    plan_preference,
    require_adapter,
    write_preference,
)
from pipelines.backends.reference import consult_reference
from pipelines.backends.torch.answer_rows import StepCollator
from pipelines.backends.torch.attention import with_fitting_attention, with_isolated_rows
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.data import RowCollator
from pipelines.backends.torch.device import Choices, choose, machine
from pipelines.backends.torch.last_good import LastGood
from pipelines.backends.torch.load import count_parameters, load_adapted, load_padding
from pipelines.backends.torch.measures import PACKAGES, peak_memory_bytes, with_fitting_threads
from pipelines.backends.torch.precision import with_measured_precision
from pipelines.backends.torch.preference_trainer import PreferenceTrainer
from pipelines.backends.torch.relief import as_before, keep_in_mind, telling_out_of_memory, until_rows_fit
from pipelines.backends.torch.reward_shift import RewardShift
from pipelines.backends.torch.rows import with_fitting_rows
from pipelines.backends.torch.scoring import Reader
from pipelines.backends.torch.settings import trainer_settings
from pipelines.backends.watch import Look, Watch, gather_watch, look
from pipelines.errors import RecipeError
from pipelines.tokenizer import ChatTokenizer

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Plan(PreferencePlan):
    """A run's plan with what this machine chose for it."""

    choices: Choices


def prefer(request: PreferRequest, out: Path) -> PreferOutput:
    """Train as the request says, going on from the newest whole checkpoint in `out`.

    Raises:
        NothingToLearn: nothing to train on, or answers of one label only.
        TrainingError: a loss, gradient or weight that became NaN, no such device here, or too little memory in it for one item.
        RecipeError: `train.method: full`, which leaves no adapter that could be the reference.
        ModelError, DataError: the base, the adapter or a file does not hold what it must.
    """
    require_adapter(request)
    machine(request.train.backend).require(request.train)
    tokenizer = ChatTokenizer(request.base, request.chat)
    plan = _plan(request, tokenizer)
    watch = gather_watch(request, tokenizer)
    longest = max(sum(len(answer.ids) for answer in item.answers) for item in plan.items)
    longest = max(longest, max((len(anchor.ids) for anchor in plan.anchors.examples), default=0))
    return until_rows_fit(partial(_prefer, request, out, tokenizer, plan, watch), _choices(request, out, plan), longest)


def _choices(request: PreferRequest, out: Path, plan: Plan) -> Choices:
    """The plan's choices, or those that an interrupted run in `out` made where it could not resume exactly with others."""
    before = Tally(out)
    _restore(newest_valid_checkpoint(out / "checkpoints"), (before,))
    torch.set_num_threads(plan.choices.threads)
    choices = with_measured_precision(request.base, plan.train, plan.choices, before.bf16)
    return as_before(with_fitting_rows(request.base, plan.train, choices), before)


def _prefer(
    request: PreferRequest, out: Path, tokenizer: ChatTokenizer, plan: Plan, watch: Watch, choices: Choices
) -> PreferOutput:
    """Train from the newest checkpoint on with these choices. Raises RowsDoNotFit where memory runs out."""
    torch.set_num_threads(choices.threads)
    tally, shift = Tally(out, "prefer"), RewardShift()
    checkpoint = newest_valid_checkpoint(out / "checkpoints")
    _restore(checkpoint, (tally, shift))
    keep_in_mind(choices, tally)
    plan = replace(plan, choices=choices)
    set_seed(plan.train.seed)
    trainer = _trainer(request, out, plan, tokenizer, [tally, shift])
    choices = with_isolated_rows(trainer.model, with_fitting_attention(trainer.model, choices))
    if choices.row_tokens == 1 and request.method == "dpo":
        raise RecipeError(
            "`preference.method: dpo` reads both answers of a pair in one row, and in this model's rows one would see the "
            "other; use kto or bco"
        )
    plan = replace(plan, choices=choices)
    reader = Reader(
        trainer.model,
        plan.choices.device,
        plan.choices.row_tokens,
        bf16=plan.choices.bf16,
        end_id=tokenizer.end_id,
        pad_id=tokenizer.pad_id,
    )
    with telling_out_of_memory():
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
    with telling_out_of_memory():
        choices = with_fitting_threads(request.base, request.threads, plan.choices, trainer, tally)
    choices = replace(choices, why=choices.why | in_words(request, plan, watch))
    for name, why in choices.why.items():
        _log.info("preference_choice", choice=name, why=why)
    if last_good.stopped_by is not None and checkpoint is not None:  # killed between the stop and the result
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        with telling_out_of_memory():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    plan = replace(plan, choices=choices)
    return _finish(request, out, plan, watch, trainer, tally, last_good, reference.before)


def _plan(request: PreferRequest, tokenizer: ChatTokenizer) -> Plan:
    plan = plan_preference(request, tokenizer)
    return Plan(**vars(plan), choices=choose(plan.train, count_parameters(request.base), request.threads))


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


def _finish(
    request: PreferRequest,
    out: Path,
    plan: Plan,
    watch: Watch,
    trainer: PreferenceTrainer,
    tally: Tally,
    last_good: LastGood,
    before: Look,
) -> PreferOutput:
    trained = Trained(
        steps=trainer.state.global_step,
        history=trainer.state.log_history,
        tokens=tally.tokens,
        seconds=tally.seconds,
        peak_memory_bytes=peak_memory_bytes(plan.choices.device),
        precision=plan.choices.precision,
        choices=plan.choices.why,
    )
    return write_preference(request, out, plan, watch, before, last_good, trained, PACKAGES)
