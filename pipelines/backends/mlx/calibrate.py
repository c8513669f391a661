"""What training costs here with MLX: a few rows of random tokens through the recipe's own base, timed.

The terms are those of pipelines/backends/torch/calibrate.py; a row here is a batch of one length, without padding.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import mlx.core as mx
import numpy as np

from pipelines.backends.base import CalibrateRequest, Pace
from pipelines.backends.examples import IGNORED
from pipelines.backends.mlx.choices import apply, choose
from pipelines.backends.mlx.load import load_for_sft
from pipelines.backends.mlx.loop import Loop, StepResult, Tally
from pipelines.backends.mlx.loss import add_up, anchored_share, sft_loss, share
from pipelines.backends.mlx.measures import peak_memory_bytes
from pipelines.backends.mlx.rows import Batch, make_batch
from pipelines.backends.pace import fit_pace
from pipelines.tokenizer import ChatTokenizer

_STEPS = 6
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
    vocabulary = ChatTokenizer(request.base).size
    choices = choose(recipe, request.base, None)
    mx.random.seed(recipe.seed)
    model = load_for_sft(request.base, request.base.name, recipe, bf16=choices.bf16)
    apply(choices, model)
    example, longest = min(_EXAMPLE_TOKENS, recipe.max_tokens), choices.budget
    step, start = _seconds_of_a_step(model, request, _random(vocabulary, 1, example, example), clock)
    width = min(recipe.max_tokens, longest)
    count = longest // width
    shapes = [(width, width // 2), (width, width // 8), (width // 4, width // 8), (width // 2, width // 4)]
    batches = [_random(vocabulary, count, *shape) for shape in shapes]
    taken = [_seconds(lambda batch=batch: add_up(model, [share(model, batch, 1)]), clock) for batch in batches]  # type: ignore[misc]
    row, token, trained = fit_pace([(count * tokens, count * loss) for tokens, loss in shapes], taken)
    origin = 1.0
    if recipe.kl.weight:
        near = _seconds(lambda: add_up(model, [anchored_share(model, batches[0], 1, recipe.kl.weight)]), clock)
        origin = near / taken[0]
    model.eval()
    read = _seconds(lambda: mx.eval(sft_loss(model, batches[0])), clock)
    return Pace(
        device="mlx",
        precision=choices.precision,
        threads=request.threads or 1,
        row_tokens=longest,
        start=start,
        step=max(0.0, step - row - (token + trained) * example),
        row=row,
        token=token,
        trained=trained,
        anchor=origin,
        read=read / (count * width),
        memory_bytes=peak_memory_bytes(),
    )


def _seconds_of_a_step(model: Any, request: CalibrateRequest, batch: Batch, clock: Clock) -> tuple[float, float]:
    """Seconds from one optimizer step to the next, and from the request to the first."""

    def gradients(_: int) -> StepResult:
        loss, _others, sum_ = add_up(model, [share(model, batch, batch.trained)])
        return StepResult(loss, sum_, batch.tokens, batch.trained)

    with tempfile.TemporaryDirectory(prefix="perennial-calibrate-") as folder:
        loop = Loop(model, request.train, Path(folder), Tally(), {}, stage="train")
        start = clock() if request.processor else time.time() - request.asked_at
        ends = []
        for _step in range(_STEPS):
            loop.step(_STEPS, _STEPS, gradients)
            ends.append(clock())
    return median(after - before for before, after in zip(ends, ends[1:], strict=False)), start


def _random(vocabulary: int, count: int, tokens: int, with_loss: int) -> Batch:
    """A batch of rows whose last tokens get loss."""
    ids = np.random.default_rng(0).integers(vocabulary, size=(count, tokens))
    labels = np.where(np.arange(tokens) < tokens - with_loss, IGNORED, ids)
    return make_batch([(one.tolist(), other.tolist()) for one, other in zip(ids, labels, strict=True)])


def _seconds(work: Callable[[], Any], clock: Clock) -> float:
    first = _once(work, clock)
    return first if first > _LONG_SECONDS else median(_once(work, clock) for _ in range(_TIMES))


def _once(work: Callable[[], Any], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began
