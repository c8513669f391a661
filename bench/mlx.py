"""MLX beside torch on one tiny job: tokens a second and peak memory, with each BLAS that is here; rows packed or by length.

Every run is a training child of its own on models/tiny, one thread, float32, LoRA; the job is read from the shipped anchors.
"""

import importlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from ctypes.util import find_library
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.backends.base import TrainOutput, TrainRequest
from pipelines.backends.blas import blas_environment
from pipelines.isolated import run_in_child
from pipelines.recipe import Train

_PROJECT = Path(__file__).resolve().parent.parent
_TINY = _PROJECT / "models" / "tiny"
_EXAMPLES, _STEP = 96, 16
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_TIMES = 3


def run() -> dict[str, Any]:
    """Figures of each way, torch first; a way whose library is not here is left out."""
    if find_spec("mlx") is None or find_spec("mlx_lm") is None:
        return {"left_out": "mlx is not installed here: pip install 'perennial-service[mlx]'"}
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        folder = Path(name)
        _write_job(folder / "train.jsonl")
        runs = [{way: _train(folder, way, *how) for way, how in _ways()} for _ in range(_TIMES)]
        figures = {way: max((run[way] for run in runs), key=_speed) for way in runs[0]}
        arguments = {"file": str(folder / "train.jsonl")}
        rows = run_in_child("bench.mlx:compare_rows", arguments, environment=blas_environment("mlx", 1))
    for one in figures.values():
        one["of_torch"] = round(_speed(one) / _speed(figures["torch"]), 2)
    return {**figures, "rows": rows, "metal": "not run: there is no Apple GPU here"}


def compare_rows(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Processor seconds of forward and backward of steps, packed into masked rows and padded by length; in a child process."""
    from pipelines.backends.examples import best_fit_decreasing, load_examples
    from pipelines.backends.mlx.load import load_for_sft
    from pipelines.backends.mlx.rows import batch_examples
    from pipelines.tokenizer import ChatTokenizer

    examples = load_examples(Path(arguments["file"]), ChatTokenizer(_TINY), 512).examples
    model = load_for_sft(_TINY, "models/tiny", Train(backend="mlx"), bf16=False)
    steps = [examples[start : start + _STEP] for start in range(0, len(examples), _STEP)]
    padded = [batch for step in steps for batch in batch_examples(step, 2048)]
    packed = [
        [step[place] for place in places]
        for step in steps
        for places in best_fit_decreasing([len(example.ids) for example in step], 384)
    ]
    ways = {"by_length": lambda: _read_padded(model, padded), "packed": lambda: _read_packed(model, packed)}
    seconds = {way: min(_seconds(read) for _ in range(_TIMES)) for way, read in ways.items()}
    tokens = sum(len(example.ids) for example in examples)
    slots = sum(batch.ids_BT.size for batch in padded)
    return {
        **{f"{way}_seconds": round(taken, 3) for way, taken in seconds.items()},
        "tokens": tokens,
        "padding": round(1 - tokens / slots, 3),
    }


def _ways() -> Iterator[tuple[str, tuple[str, Mapping[str, str]]]]:
    yield "torch", ("cpu", _ONE_THREAD)
    yield "mlx_own_blas", ("mlx", _ONE_THREAD)
    if library := find_library("openblas"):
        yield "mlx_openblas", ("mlx", {**_ONE_THREAD, "LD_PRELOAD": library})
    best = blas_environment("mlx", 1)
    if "torch" in best.get("LD_PRELOAD", ""):
        yield "mlx_torchs_blas", ("mlx", best)


def train_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """One run, its library imported before the clocks start; for a child process."""
    request = TrainRequest.model_validate(arguments["request"])
    folder = "mlx" if request.train.backend == "mlx" else "torch"
    module = importlib.import_module(f"pipelines.backends.{folder}.train")
    began, processor = time.perf_counter(), time.process_time()
    output: TrainOutput = module.train(request, Path(arguments["out"]))
    processor, seconds = time.process_time() - processor, time.perf_counter() - began
    return {
        "tokens_per_second": round(output.tokens / seconds, 1),
        "tokens_per_processor_second": round(output.tokens / processor, 1),
        "peak_memory_mb": output.peak_memory_bytes >> 20,
        "last_loss": round(output.last_loss, 4),
    }


def _train(folder: Path, way: str, backend: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The quickest of some runs of one way."""
    settings = {
        "backend": backend,
        "epochs": 1,
        "batch": {"per_device": _STEP, "accumulate": 1},
        "max_tokens": 512,
        "precision": "float32",
    }
    train = Train.model_validate(settings)
    file = folder / "train.jsonl"
    request = TrainRequest(base=_TINY, base_name="models/tiny", train=train, train_file=file, threads=1)
    out = folder / way
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    arguments = {"request": request.model_dump(mode="json"), "out": str(out)}
    return run_in_child("bench.mlx:train_here", arguments, log=folder / f"{way}.log", environment=environment)


def _write_job(path: Path) -> None:
    with (_PROJECT / "data" / "general" / "general.jsonl").open(encoding="utf-8") as pool:
        lines = [json.loads(line) for line in islice(pool, _EXAMPLES)]
    with path.open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            turns = [{**turn, "trained": turn["role"] == "assistant"} for turn in line["turns"]]
            file.write(json.dumps({"id": f"b{number}", "source": "new", "turns": turns}, ensure_ascii=False) + "\n")


def _speed(figures: Mapping[str, Any]) -> float:
    """By the processor's clock, which other work on the machine does not slow."""
    return float(figures["tokens_per_processor_second"])


def _seconds(read: Any) -> float:
    start = time.process_time()
    read()
    return time.process_time() - start


def _read_padded(model: Any, batches: list[Any]) -> None:
    from pipelines.backends.mlx.loss import add_up, share

    add_up(model, (share(model, batch, 1) for batch in batches))


def _read_packed(policy: Any, rows: list[list[Any]]) -> None:
    """Each row one sequence; a cache that keeps nothing answers with the block-diagonal mask. rope tells distances alone."""
    import mlx.core as mx
    import mlx.nn as nn
    import numpy as np

    from pipelines.backends.mlx.loss import add_up
    from pipelines.backends.mlx.picking import logits_at
    from pipelines.backends.mlx.rows import make_batch

    class Blocks:
        offset = 0

        def __init__(self, owner: Any) -> None:
            count = len(owner)
            self._mask = mx.array((owner[:, None] == owner[None]) & np.tri(count, dtype=bool))

        def make_mask(self, *_: Any, **__: Any) -> Any:
            return self._mask

        def update_and_fetch(self, keys: Any, values: Any) -> Any:
            return keys, values

    class Masked:
        model = policy.model

        def __init__(self, cache: list[Blocks]) -> None:
            self._cache = cache

        def __call__(self, ids_BT: Any) -> Any:
            return policy(ids_BT, cache=self._cache)

    def loss(row: list[Any]) -> Any:
        ids = [id for example in row for id in example.ids]
        labels = [label for example in row for label in (-100, *example.labels[1:])]
        batch = make_batch([(ids, labels)])
        owner = np.repeat(np.arange(len(row)), [len(example.ids) for example in row])
        masked = [Blocks(owner)] * len(policy.layers)

        def value() -> Any:
            logits_NV = logits_at(Masked(masked), batch.ids_BT, batch.places_N)
            return (nn.losses.cross_entropy(logits_NV, batch.targets_N, reduction="sum"),)

        return value

    add_up(policy, (loss(row) for row in rows))
