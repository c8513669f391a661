"""The torch backend: a mixture's text in, a PEFT adapter with its loss history and figures out.

out/
├── adapter/               adapter_config.json, adapter_model.safetensors (model/ for method: full)
├── loss_history.csv       step,epoch,loss,dev_loss,learning_rate,grad_norm
├── training_metrics.json  hyper-parameters, data, tokens, speed, memory, choices and why
└── checkpoints/, best/    while it runs; a killed run goes on from there
"""

import json
import shutil
from functools import partial
from pathlib import Path

import structlog
import torch
from transformers import PrinterCallback, set_seed

from pipelines.backends import output
from pipelines.backends.base import TrainOutput, TrainRequest
from pipelines.backends.checkpoints import newest_valid_checkpoint
from pipelines.backends.examples import ExampleSet, load_examples, require_trained
from pipelines.backends.torch.attention import with_fitting_attention, with_isolated_rows
from pipelines.backends.torch.callbacks import BestOnDev, Tally, save_weights
from pipelines.backends.torch.data import RowCollator, as_dataset
from pipelines.backends.torch.device import Choices, choose, machine
from pipelines.backends.torch.load import count_parameters, keep_trained_in_float32, load_model, load_padding
from pipelines.backends.torch.measures import PACKAGES, peak_memory_bytes, with_fitting_threads
from pipelines.backends.torch.precision import with_measured_precision
from pipelines.backends.torch.relief import as_before, keep_in_mind, telling_out_of_memory, until_rows_fit
from pipelines.backends.torch.rows import with_fitting_rows
from pipelines.backends.torch.settings import trainer_settings
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.errors import RecipeError, TrainingError
from pipelines.tokenizer import ChatTokenizer

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def train(request: TrainRequest, out: Path) -> TrainOutput:
    """Train as the request says, going on from the newest whole checkpoint in `out`.

    Raises:
        TrainingError: no token would get loss, a loss, gradient or weight became NaN, the device is not here, or its memory
            does not hold a single example.
        RecipeError, ModelError, DataError: see load_model and load_examples.
    """
    recipe = request.train
    if recipe.kl.weight and recipe.method == "full":
        raise RecipeError("train.kl needs an adapter to switch off; use `method: lora` or qlora, or `kl: {weight: 0}`")
    machine(request.train.backend).require(request.train)
    tokenizer = ChatTokenizer(request.base, request.chat)
    data = load_examples(request.train_file, tokenizer, recipe.max_tokens)
    dev = load_examples(request.dev_file, tokenizer, recipe.max_tokens) if request.dev_file else ExampleSet((), 0, 0)
    choices = _choices(request, out)
    longest = max((len(one.ids) for one in (*data.examples, *dev.examples)), default=0)
    return until_rows_fit(partial(_train, request, out, tokenizer, data, dev), choices, longest)


def _choices(request: TrainRequest, out: Path) -> Choices:
    """The choices for this machine; those that an interrupted run in `out` made where it could not resume exactly with others."""
    before = Tally(out)
    _restore(newest_valid_checkpoint(out / "checkpoints"), before, None)
    choices = choose(request.train, count_parameters(request.base), request.threads)
    torch.set_num_threads(choices.threads)
    choices = with_measured_precision(request.base, request.train, choices, before.bf16)
    return as_before(with_fitting_rows(request.base, request.train, choices), before)


def _train(
    request: TrainRequest, out: Path, tokenizer: ChatTokenizer, data: ExampleSet, dev: ExampleSet, choices: Choices
) -> TrainOutput:
    """Train from the newest checkpoint on with these choices. Raises RowsDoNotFit where memory runs out."""
    recipe = request.train
    torch.set_num_threads(choices.threads)
    tally = Tally(out)
    best = BestOnDev(recipe.early_stopping, out / "best") if recipe.early_stopping and dev.examples else None
    checkpoint = newest_valid_checkpoint(out / "checkpoints")
    _restore(checkpoint, tally, best)
    keep_in_mind(choices, tally)
    set_seed(recipe.seed)
    trainer = _trainer(request, out, data, dev, tokenizer, choices, tally, best)
    choices = with_isolated_rows(trainer.model, with_fitting_attention(trainer.model, choices))
    trainer.data_collator = RowCollator(tokenizer.pad_id, choices.row_tokens, anchors_apart=recipe.kl.weight > 0)
    with telling_out_of_memory():
        choices = with_fitting_threads(request.base, request.threads, choices, trainer, tally)
        for name, why in choices.why.items():
            _log.info("training_choice", choice=name, why=why)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return _finish(request, out, data, dev, choices, trainer, tally, best)


def _trainer(
    request: TrainRequest,
    out: Path,
    data: ExampleSet,
    dev: ExampleSet,
    tokenizer: ChatTokenizer,
    choices: Choices,
    tally: Tally,
    best: BestOnDev | None,
) -> RowTrainer:
    recipe = request.train
    require_trained(data.examples, "training")
    if dev.examples:
        require_trained(dev.examples, "dev")
    dev_data = as_dataset(dev.examples) if dev.examples else None
    trainer = RowTrainer(
        model=load_model(request.base, request.base_name, recipe, choices),
        args=trainer_settings(recipe, choices, out, evaluates=dev_data is not None),
        train_dataset=as_dataset(data.examples),
        eval_dataset=dev_data,
        processing_class=load_padding(tokenizer, request.base),
        callbacks=[tally, best] if best else [tally],
        collator=RowCollator(tokenizer.pad_id, choices.row_tokens, anchors_apart=recipe.kl.weight > 0),
        tally=tally,
        kl_weight=recipe.kl.weight,
    )
    trainer.remove_callback(PrinterCallback)
    keep_trained_in_float32(trainer.model)
    return trainer


def _restore(checkpoint: Path | None, tally: Tally, best: BestOnDev | None) -> None:
    if checkpoint is None:
        return
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    callbacks = state["stateful_callbacks"]
    tally.restore(callbacks["Tally"]["attributes"])
    if best is not None:
        best.restore(callbacks["BestOnDev"]["attributes"])


def _finish(
    request: TrainRequest,
    out: Path,
    data: ExampleSet,
    dev: ExampleSet,
    choices: Choices,
    trainer: RowTrainer,
    tally: Tally,
    best: BestOnDev | None,
) -> TrainOutput:
    """Write the weights and figures, drop what only a running training needs."""
    trainer.refuse_broken_weights()
    seconds = tally.seconds
    weights = "model" if request.train.method == "full" else "adapter"
    shutil.rmtree(out / weights, ignore_errors=True)
    if best is not None and best.path is not None:
        shutil.copytree(best.path, out / weights)
    else:
        save_weights(trainer.model, out / weights)
    if request.train.method == "full":
        output.copy_companions(request.base, out / weights)
    history = trainer.state.log_history
    output.write_loss_history(out, history)
    losses = [entry["loss"] for entry in history if "loss" in entry]
    if not losses:
        raise TrainingError("training ended without a single step; give more examples or more epochs")
    result = TrainOutput(
        kind="full" if request.train.method == "full" else "adapter",
        trained_on="nf4" if request.train.method == "qlora" else "full",
        weights=weights,
        loss_history=output.LOSS_HISTORY,
        metrics=output.TRAINING_METRICS,
        steps=trainer.state.global_step,
        planned_steps=trainer.state.max_steps,
        stopped_early=best is not None and best.stopped_early,
        examples=len(data.examples),
        dev_examples=len(dev.examples),
        truncated=data.truncated,
        left_out={"no_trained_token": data.left_out} if data.left_out else {},
        tokens=tally.tokens,
        trained_tokens=tally.trained_tokens,
        tokens_per_second=round(tally.tokens / max(seconds, 1e-6), 1),
        seconds=round(seconds, 3),
        peak_memory_bytes=peak_memory_bytes(choices.device),
        first_loss=losses[0],
        last_loss=losses[-1],
        best_dev_loss=None if best is None else best.best_loss,
        best_step=None if best is None else best.best_step,
        precision=choices.precision,
        choices=choices.why,
    )
    output.write_training_metrics(out, request, result, PACKAGES)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    shutil.rmtree(out / "best", ignore_errors=True)
    return result
