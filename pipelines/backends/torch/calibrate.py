"""What training costs here: a few rows of random tokens through the recipe's own base, timed.

    seconds of a step = step + the sum over its rows of (row + token x tokens + trained x tokens with loss)

The rows are read and trained by the same trainer as in a round, with the precision and threads that it would choose.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, set_seed

from pipelines.backends.base import CalibrateRequest, Pace
from pipelines.backends.examples import EncodedExample
from pipelines.backends.pace import fit_pace
from pipelines.backends.torch.attention import with_fitting_attention
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.data import RowCollator, as_dataset
from pipelines.backends.torch.device import Choices, choose
from pipelines.backends.torch.head import answer_values, token_log_probs
from pipelines.backends.torch.load import count_parameters, keep_trained_in_float32, load_model, load_padding
from pipelines.backends.torch.measures import peak_memory_bytes, with_fitting_threads
from pipelines.backends.torch.precision import with_measured_precision
from pipelines.backends.torch.rows import with_fitting_rows
from pipelines.backends.torch.settings import trainer_settings
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.tokenizer import ChatTokenizer

_STEPS = 6
_EXAMPLES = 16
_EXAMPLE_TOKENS = 64
_TIMES = 3
_LONG_SECONDS = 4.0  # a row that takes this long is its own warm-up

Clock = Callable[[], float]


def calibrate(request: CalibrateRequest) -> Pace:
    """The pace of training as the request says, from a few steps and rows on this machine; nothing is kept.

    Raises:
        TrainingError, RecipeError, ModelError: as training would.
    """
    clock = time.process_time if request.processor else time.perf_counter
    recipe = request.train
    tokenizer = ChatTokenizer(request.base)
    choices = choose(recipe, count_parameters(request.base), request.threads)
    torch.set_num_threads(choices.threads)
    choices = with_fitting_rows(request.base, recipe, with_measured_precision(request.base, recipe, choices))
    set_seed(recipe.seed)
    with tempfile.TemporaryDirectory(prefix="perennial-calibrate-") as folder:
        stamps = _Stamps(clock)
        trainer = _trainer(request, Path(folder), tokenizer, choices, stamps)
        choices = with_fitting_attention(trainer.model, choices)
        choices = with_fitting_threads(request.base, request.threads, choices, trainer, Tally())
        start = clock() if request.processor else time.time() - request.asked_at
        trainer.train()
    rows = _Rows(trainer, tokenizer.size, clock)
    longest = choices.row_tokens
    shapes = [
        (longest, longest // 2),
        (longest, longest // 8),
        (longest // 4, longest // 8),
        (longest // 2, longest // 4),
    ]
    taken = [rows.trained(*shape) for shape in shapes]
    row, token, trained = fit_pace(shapes, taken)
    example = min(_EXAMPLE_TOKENS, recipe.max_tokens)
    origin = rows.trained(longest, longest // 2, anchor=True) / taken[0] if recipe.kl.weight else 1.0
    return Pace(
        device=choices.device,
        precision=choices.precision,
        threads=choices.threads,
        row_tokens=longest,
        start=start,
        step=max(0.0, stamps.between() - row - (token + trained) * example),
        row=row,
        token=token,
        trained=trained,
        anchor=origin,
        read=rows.read(longest, longest // 2) / longest,
        memory_bytes=peak_memory_bytes(choices.device),
    )


def _trainer(
    request: CalibrateRequest, out: Path, tokenizer: ChatTokenizer, choices: Choices, stamps: "_Stamps"
) -> RowTrainer:
    recipe = request.train
    generator = torch.Generator().manual_seed(0)
    length = min(_EXAMPLE_TOKENS, recipe.max_tokens)
    texts = [torch.randint(tokenizer.size, (length,), generator=generator).tolist() for _ in range(_EXAMPLES)]
    examples = [EncodedExample(str(n), tuple(ids), tuple(ids), anchor=False) for n, ids in enumerate(texts)]
    one_example = {"per_device_train_batch_size": 1, "max_steps": _STEPS, "save_strategy": "no"}
    trainer = RowTrainer(
        model=load_model(request.base, request.base.name, recipe, choices),
        args=trainer_settings(recipe, choices, out, evaluates=False, **one_example),
        train_dataset=as_dataset(examples),
        processing_class=load_padding(tokenizer, request.base),
        callbacks=[stamps],
        collator=RowCollator(tokenizer.pad_id, choices.row_tokens, anchors_apart=recipe.kl.weight > 0),
        tally=Tally(),
        kl_weight=recipe.kl.weight,
    )
    trainer.remove_callback(PrinterCallback)
    keep_trained_in_float32(trainer.model)
    return trainer


class _Stamps(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """When each step ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Notes the time."""
        self._ends.append(self._clock())

    def between(self) -> float:
        """Seconds from one step to the next; the first, which warms up, is not counted."""
        return median(after - before for before, after in zip(self._ends, self._ends[1:], strict=False))


class _Rows:
    """Rows of random tokens, two examples in each as packing makes them, and how long they take."""

    def __init__(self, trainer: RowTrainer, vocabulary: int, clock: Clock) -> None:
        self._trainer, self._vocabulary, self._clock = trainer, vocabulary, clock
        self._device = trainer.args.device

    def trained(self, tokens: int, with_loss: int, *, anchor: bool = False) -> float:
        """Seconds of a forward and backward, the median of a few."""
        row = {**self._row(tokens, with_loss), "anchor": anchor}

        def work() -> None:
            self._trainer.training_step(self._trainer.model, {"rows": [row]})
            self._trainer.model.zero_grad()

        return self._seconds(work)

    def read(self, tokens: int, with_loss: int) -> float:
        """Seconds of a forward alone."""
        row = self._row(tokens, with_loss)
        labels = row.pop("labels")
        model = self._trainer.model.eval()

        def work() -> None:
            with torch.no_grad(), self._trainer.compute_loss_context_manager():
                answer_values(model, row, labels, token_log_probs)

        return self._seconds(work)

    def _row(self, tokens: int, with_loss: int) -> dict[str, Any]:
        half = tokens // 2
        ids = torch.randint(self._vocabulary, (1, tokens), generator=torch.Generator().manual_seed(0))
        labels = ids.clone()
        labels[0, : tokens - with_loss] = -100
        places = torch.cat([torch.arange(half), torch.arange(tokens - half)])[None]
        row = {"input_ids": ids, "labels": labels, "position_ids": places}
        return {name: value.to(self._device) for name, value in row.items()}

    def _seconds(self, work: Callable[[], None]) -> float:
        first = self._once(work)
        if first > _LONG_SECONDS:
            return first
        return median(self._once(work) for _ in range(_TIMES))

    def _once(self, work: Callable[[], None]) -> float:
        began = self._clock()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return self._clock() - began
