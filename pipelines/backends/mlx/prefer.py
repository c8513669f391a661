"""Preference training with MLX on top of an SFT adapter: pairs and labelled answers in, an adapter with its history out.

The files are those of pipelines/backends/torch/prefer.py.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.checkpoints import newest_valid_checkpoint
from pipelines.backends.kept import LastGood
from pipelines.backends.mlx.checkpoint import restore_parts
from pipelines.backends.mlx.choices import Choices, apply, choose
from pipelines.backends.mlx.load import load_adapted
from pipelines.backends.mlx.loop import Evaluation, Loop, Tally
from pipelines.backends.mlx.measures import PACKAGES, peak_memory_bytes
from pipelines.backends.mlx.preference_steps import PreferenceSteps, RewardShift
from pipelines.backends.mlx.reading import Reader
from pipelines.backends.mlx.weights import continued_writer
from pipelines.backends.preference_run import (
    PreferencePlan,
    Trained,
    in_words,
    plan_preference,
    require_adapter,
    write_preference,
)
from pipelines.backends.reference import Reference, consult_reference
from pipelines.backends.watch import Look, Watch, as_metrics, as_progress, gather_watch, look
from pipelines.tokenizer import ChatTokenizer

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def prefer(request: PreferRequest, out: Path) -> PreferOutput:
    """Train as the request says, going on from the newest whole checkpoint in `out`.

    Raises:
        NothingToLearn: nothing to train on, or answers of one label only.
        TrainingError: a loss, gradient or weight that became NaN.
        RecipeError: `train.method: full`, which leaves no adapter that could be the reference.
        ModelError, DataError: the base, the adapter or a file does not hold what it must.
    """
    require_adapter(request)
    tokenizer = ChatTokenizer(request.base, request.chat)
    plan, watch = plan_preference(request, tokenizer), gather_watch(request, tokenizer)
    tally, shift = Tally(), RewardShift()
    checkpoint = newest_valid_checkpoint(out / "checkpoints")
    if checkpoint is not None:
        restore_parts(checkpoint, {"tally": tally, "shift": shift})
    choices = _choices(request, plan, watch, tally)
    model, adapter = load_adapted(request.base, request.base_name, request.adapter, plan.train, bf16=choices.bf16)
    apply(choices, model)
    reader = Reader(model, choices.budget, bf16=choices.bf16, end_id=tokenizer.end_id)
    reference = consult_reference(request, plan.items, watch, reader, tokenizer, out)
    write = continued_writer(model, request.base_name, adapter)
    last_good = LastGood(reference.before, request.preference.stops, watch.too_few, out / "kept")
    loop = Loop(model, plan.train, out, tally, {"shift": shift, "last_good": last_good}, stage="prefer")
    if checkpoint is not None:
        loop.restore(checkpoint)
        restore_parts(checkpoint, {"last_good": last_good})
    steps = PreferenceSteps(
        *(model, plan.steps, plan.items, plan.anchors.examples, reference.scores),
        *(plan.objective, shift, choices.budget),
    )
    loop.run(
        len(plan.steps),
        len(plan.steps),
        steps.gradients,
        _evaluation(reader, watch, reference, tokenizer, loop, partial(last_good.judge, write=write)),
    )
    trained = Trained(
        steps=tally.step,
        history=tally.history,
        tokens=tally.tokens,
        seconds=tally.seconds,
        peak_memory_bytes=peak_memory_bytes(),
        precision=choices.precision,
        choices=choices.why,
    )
    return write_preference(request, out, plan, watch, reference.before, last_good, trained, PACKAGES)


def _choices(request: PreferRequest, plan: PreferencePlan, watch: Watch, tally: Tally) -> Choices:
    choices = choose(plan.train, request.base, tally.bf16)
    tally.bf16 = choices.bf16
    choices = replace(choices, why={**choices.why, **in_words(request, plan, watch)})
    for name, why in choices.why.items():
        _log.info("preference_choice", choice=name, why=why)
    return choices


def _evaluation(
    reader: Reader,
    watch: Watch,
    reference: Reference,
    tokenizer: ChatTokenizer,
    loop: Loop,
    judge: Callable[[Look, int], bool],
) -> Callable[[int], Evaluation]:
    """What the stop rules look at; broken weights are not looked at."""

    def evaluate(step: int) -> Evaluation:
        loop.refuse_broken_weights()
        seen = look(reader, watch, reference.distributions, tokenizer)
        metrics = as_metrics(seen)
        return Evaluation(metrics, as_progress(metrics), judge(seen, step))

    return evaluate
