"""The MLX backend: a mixture's text in, a PEFT adapter with its loss history and figures out.

The files are those of pipelines/backends/torch/train.py; checkpoints/ and best/ are there while it runs.
"""

import shutil
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import structlog

from pipelines.backends import output
from pipelines.backends.base import TrainOutput, TrainRequest
from pipelines.backends.checkpoints import newest_valid_checkpoint
from pipelines.backends.examples import ExampleSet, load_examples, require_trained
from pipelines.backends.kept import BestOnDev, WriteWeights
from pipelines.backends.mlx.checkpoint import restore_parts
from pipelines.backends.mlx.choices import Choices, apply, choose
from pipelines.backends.mlx.load import MLX4, load_for_sft
from pipelines.backends.mlx.loop import Evaluation, Loop, StepResult, Tally
from pipelines.backends.mlx.loss import add_up, anchored_share, sft_loss, share
from pipelines.backends.mlx.measures import PACKAGES, peak_memory_bytes
from pipelines.backends.mlx.rows import Batch, SftSteps, batch_examples
from pipelines.backends.mlx.weights import adapter_writer, model_writer
from pipelines.errors import RecipeError, TrainingError
from pipelines.tokenizer import ChatTokenizer

_DEV_TOKENS = 2048
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def train(request: TrainRequest, out: Path) -> TrainOutput:
    """Train as the request says, going on from the newest whole checkpoint in `out`.

    Raises:
        TrainingError: no token would get loss, or a loss, gradient or weight became NaN.
        RecipeError, ModelError, DataError: see load_for_sft and load_examples.
    """
    recipe = request.train
    if recipe.kl.weight and recipe.method == "full":
        raise RecipeError("train.kl needs an adapter to switch off; use `method: lora` or qlora, or `kl: {weight: 0}`")
    tokenizer = ChatTokenizer(request.base, request.chat)
    data = load_examples(request.train_file, tokenizer, recipe.max_tokens)
    dev = load_examples(request.dev_file, tokenizer, recipe.max_tokens) if request.dev_file else ExampleSet((), 0, 0)
    require_trained(data.examples, "training")
    if dev.examples:
        require_trained(dev.examples, "dev")
    tally = Tally()
    checkpoint = newest_valid_checkpoint(out / "checkpoints")
    if checkpoint is not None:
        restore_parts(checkpoint, {"tally": tally})
    choices = choose(recipe, request.base, tally.bf16)
    tally.bf16 = choices.bf16
    for name, why in choices.why.items():
        _log.info("training_choice", choice=name, why=why)
    mx.random.seed(recipe.seed)
    model = load_for_sft(request.base, request.base_name, recipe, bf16=choices.bf16)
    apply(choices, model)
    write = _writer(request, model)
    best = BestOnDev(recipe.early_stopping, out / "best") if recipe.early_stopping and dev.examples else None
    loop = Loop(model, recipe, out, tally, {"best": best} if best else {}, stage="train")
    if checkpoint is not None:
        loop.restore(checkpoint)
        if best is not None:
            restore_parts(checkpoint, {"best": best})
    steps = SftSteps(len(data.examples), recipe.batch.per_device * recipe.batch.accumulate, recipe.epochs, recipe.seed)
    look = _evaluation(model, dev, best, write, steps.total) if dev.examples else None
    loop.run(steps.total, steps.per_epoch, _gradients(model, request, data, steps, choices), look)
    loop.refuse_broken_weights()
    return _finish(request, out, data, dev, choices, tally, best, steps, write)


def dev_loss(model: nn.Module, batches: list[Batch]) -> float:
    """The loss per trained token over these batches, nats; how they are grouped makes no difference."""
    model.eval()
    total, trained = 0.0, 0
    for batch in batches:
        total += sft_loss(model, batch).item()
        trained += batch.trained
    return total / max(trained, 1)


def _writer(request: TrainRequest, model: nn.Module) -> WriteWeights:
    if request.train.method == "full":
        return model_writer(model, request.base)
    return adapter_writer(model, request.base_name, request.train.lora)


def _gradients(
    model: nn.Module, request: TrainRequest, data: ExampleSet, steps: SftSteps, choices: Choices
) -> Callable[[int], StepResult]:
    """What a step's examples say: the loss per trained token of the whole step, however it is divided into batches."""
    kl_weight = request.train.kl.weight

    def gradients(step: int) -> StepResult:
        examples = [data.examples[place] for place in steps.of(step)]
        anchors = [example for example in examples if example.anchor and kl_weight]
        others = [example for example in examples if not (example.anchor and kl_weight)]
        plain, near = batch_examples(others, choices.budget), batch_examples(anchors, choices.budget)
        trained = max(1, sum(batch.trained for batch in [*plain, *near]))
        losses = (share(model, batch, trained) for batch in plain)
        anchored = (anchored_share(model, batch, trained, kl_weight) for batch in near)
        loss, _, sum_ = add_up(model, chain(losses, anchored))
        return StepResult(loss, sum_, sum(batch.tokens for batch in [*plain, *near]), trained)

    return gradients


def _evaluation(
    model: nn.Module, dev: ExampleSet, best: BestOnDev | None, write: WriteWeights, total: int
) -> Callable[[int], Evaluation]:
    batches = batch_examples(dev.examples, _DEV_TOKENS)

    def evaluate(step: int) -> Evaluation:
        loss = dev_loss(model, batches)
        stop = best is not None and best.judge(loss, step, write, last=step == total)
        return Evaluation({"eval_loss": loss}, {"dev_loss": round(loss, 5)}, stop)

    return evaluate


def _finish(
    request: TrainRequest,
    out: Path,
    data: ExampleSet,
    dev: ExampleSet,
    choices: Choices,
    tally: Tally,
    best: BestOnDev | None,
    steps: SftSteps,
    write: WriteWeights,
) -> TrainOutput:
    """Write the weights and figures, drop what only a running training needs."""
    seconds, full = tally.seconds, request.train.method == "full"
    weights = "model" if full else "adapter"
    shutil.rmtree(out / weights, ignore_errors=True)
    if best is not None and best.path is not None:
        shutil.copytree(best.path, out / weights)
    else:
        write(out / weights)
    output.write_loss_history(out, tally.history)
    losses = [entry["loss"] for entry in tally.history if "loss" in entry]
    if not losses:
        raise TrainingError("training ended without a single step; give more examples or more epochs")
    result = TrainOutput(
        kind="full" if full else "adapter",
        trained_on="mlx4" if request.train.method == "qlora" else "full",
        rounding=MLX4 if request.train.method == "qlora" else {},
        weights=weights,
        loss_history=output.LOSS_HISTORY,
        metrics=output.TRAINING_METRICS,
        steps=tally.step,
        planned_steps=steps.total,
        stopped_early=best is not None and best.stopped_early,
        examples=len(data.examples),
        dev_examples=len(dev.examples),
        truncated=data.truncated,
        left_out={"no_trained_token": data.left_out} if data.left_out else {},
        tokens=tally.tokens,
        trained_tokens=tally.trained_tokens,
        tokens_per_second=round(tally.tokens / max(seconds, 1e-6), 1),
        seconds=round(seconds, 3),
        peak_memory_bytes=peak_memory_bytes(),
        first_loss=losses[0],
        last_loss=losses[-1],
        best_dev_loss=None if best is None else best.best_loss,
        best_step=None if best is None else best.best_step,
        precision=choices.precision,
        choices=choices.why,
    )
    output.write_training_metrics(out, request, result, PACKAGES)
    for name in ("checkpoints", "best"):
        shutil.rmtree(out / name, ignore_errors=True)
    return result
