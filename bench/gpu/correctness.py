"""Is training right on this device: the same losses as on a CPU, NF4, packed rows apart, preferences, a kill and a resume."""

import csv
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.gpu.random_models import device_here, matrix_parameters, random_model, rounded, shape
from pipelines.backends import launch
from pipelines.backends.base import PreferRequest, TrainRequest
from pipelines.backends.examples import IGNORED
from pipelines.backends.torch import prefer, train
from pipelines.backends.torch.answer_rows import row_log_probs
from pipelines.backends.torch.attention import with_fitting_attention
from pipelines.backends.torch.device import choose
from pipelines.errors import Cancelled
from pipelines.gguf.rounding import round_trip
from pipelines.recipe import Preference, Train

_TINY, _POOL = Path("models/tiny"), Path("data/general/general.jsonl")
_EXAMPLES = 64
_MOST = 1e-3  # nats per token between two devices in float32


def same_losses() -> dict[str, Any]:
    """The losses of one LoRA run in float32 on a CPU and here, the difference that bfloat16 makes, and NF4 here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = _sft(folder / "cpu", "cpu", "float32")
        here = {
            "float32": _sft(folder / "float32", "auto", "float32"),
            "bfloat16": _sft(folder / "bfloat16", "auto", "bfloat16"),
            "qlora": _sft(folder / "qlora", "auto", "bfloat16", method="qlora"),
        }
    differences = {kind: apart(reference, losses) for kind, losses in here.items()}
    return rounded(
        {
            "passed": len(reference) > 3
            and differences["float32"] < _MOST
            and all(map(math.isfinite, differences.values())),
            "device": device_here(),
            "steps": len(reference),
            "first_loss": reference[0],
            "last_loss": reference[-1],
            **{f"{kind}_apart": value for kind, value in differences.items()},
        }
    )


def nf4() -> dict[str, Any]:
    """Whether a matrix that goes through NF4 comes back the same here and on the CPU, where exports are made."""
    matrix = torch.randn(1024, 896, dtype=torch.bfloat16)
    there, here = (round_trip(one, "nf4").float().cpu() for one in (matrix, matrix.to(device_here())))
    return rounded(
        {
            "passed": bool((there - here).abs().max() < 1e-2),
            "equal_share": (there == here).float().mean().item(),
            "most_apart": (there - here).abs().max().item(),
            "rounding": ((matrix.float() - here).norm() / matrix.float().norm()).item(),
        }
    )


def isolated_rows() -> dict[str, Any]:
    """How far another document of the row moves a document's log-probability: not at all."""
    device = device_here()
    config = shape("0.5B", device)
    model = random_model(config, device, nf4=False, attention="sdpa").eval()
    with_fitting_attention(model, choose(Train(), matrix_parameters(config), None))
    generator = torch.Generator().manual_seed(3)
    documents = [
        torch.randint(3, config.vocab_size, (length,), generator=generator).tolist() for length in (300, 700, 200)
    ]
    before = _document_log_probs(model, documents, device)
    other = torch.randint(3, config.vocab_size, (700,), generator=generator).tolist()
    after = _document_log_probs(model, [documents[0], other, documents[2]], device)
    alone = [_document_log_probs(model, [document], device)[0] for document in documents]
    moved = max(abs(before[place] - after[place]) for place in (0, 2))
    from_alone = max(abs(one - whole) / abs(one) for one, whole in zip(alone, before, strict=True))
    return rounded(
        {
            "passed": moved == 0.0 and before[1] != after[1] and from_alone < 1e-2,
            "attention": model.config._attn_implementation,
            "moved_nats": moved,
            "apart_from_alone": from_alone,
        }
    )


def preferences() -> dict[str, Any]:
    """The losses of DPO, KTO and BCO in float32 on a CPU and here."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _sft(folder / "sft", "cpu", "float32")
        for method in ("dpo", "kto", "bco"):
            losses = [_preference(folder, method, backend) for backend in ("cpu", "auto")]
            figures[f"{method}_apart"] = apart(*losses)
            figures[f"{method}_steps"] = len(losses[1])
    differences = [value for key, value in figures.items() if key.endswith("apart")]
    return rounded({"passed": all(value < _MOST for value in differences)} | figures)


def resume() -> dict[str, Any]:
    """A run that is killed with -9 after its first checkpoint and started again, against one that was left alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = sft_request(folder, "auto", "auto", save_every=2)
        whole, killed = folder / "whole", folder / "killed"
        for out in (whole, killed):
            out.mkdir()
        launch.train(request, whole)
        steps = _killed_at(request, killed)
        launch.train(request, killed)
        losses, resumed = losses_in(whole / "loss_history.csv"), losses_in(killed / "loss_history.csv")
        same = (whole / "adapter/adapter_model.safetensors").read_bytes() == (
            killed / "adapter/adapter_model.safetensors"
        ).read_bytes()
    difference = apart(losses, resumed)
    return rounded(
        {
            "passed": difference < _MOST,
            "killed_after_step": steps,
            "steps": len(losses),
            "apart": difference,
            "adapter_identical": same,
        }
    )


def _killed_at(request: TrainRequest, out: Path) -> int:
    """Kill the training child as soon as a checkpoint is whole; the step of that checkpoint."""

    def newest() -> int:
        sealed = (out / "checkpoints").glob("checkpoint-*/complete.json")
        return max((int(path.parent.name.removeprefix("checkpoint-")) for path in sealed), default=0)

    def look() -> None:
        if newest():
            raise Cancelled("a checkpoint is whole")

    try:
        launch.train(request, out, look)
    except Cancelled:
        return newest()
    return -1  # it ended before anybody looked


def sft_request(folder: Path, backend: str, precision: str, **changes: Any) -> TrainRequest:
    """SFT of the embedded model on chats of the shipped pool."""
    lines = [json.loads(line) for line in _POOL.read_text(encoding="utf-8").splitlines()[:_EXAMPLES]]
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(_trained(line)) + "\n" for line in lines), encoding="utf-8")
    settings = {
        "backend": backend,
        "precision": precision,
        "learning_rate": 1e-3,
        "epochs": 2,
        "batch": {"per_device": 8, "accumulate": 1},
        "max_tokens": 256,
        "lora": {"r": 8, "alpha": 16, "dropout": 0.0},
        **changes,
    }
    return TrainRequest(
        base=_TINY, base_name="models/tiny", train=Train.model_validate(settings), train_file=path, threads=2
    )


def _trained(line: dict[str, Any]) -> dict[str, Any]:
    turns = [{**turn, "trained": turn["role"] == "assistant"} for turn in line["turns"]]
    return {"id": line["id"], "source": "new", "turns": turns}


def _sft(out: Path, backend: str, precision: str, **changes: Any) -> list[float]:
    out.mkdir()
    train.train(sft_request(out, backend, precision, **changes), out)
    return losses_in(out / "loss_history.csv")


def _preference(folder: Path, method: str, backend: str) -> list[float]:
    out = folder / f"{method}-{backend}"
    out.mkdir()
    request = PreferRequest(
        base=_TINY,
        base_name="models/tiny",
        train=sft_request(folder, backend, "float32").train,
        preference=Preference.model_validate(
            {"learning_rate": 1e-4, "batch": {"per_device": 8, "accumulate": 1}, "stops": _NO_STOPS}
        ),
        method=method,
        adapter=folder / "sft" / "adapter",
        train_file=_pairs(folder / "pairs.jsonl"),
        threads=2,
    )
    prefer.prefer(request, out)
    return losses_in(out / "preference_history.csv")


_NO_STOPS = {"displacement": 1e9, "length": 1e9, "kl": 1e9, "refusal": 100, "sycophancy": 100}


def _pairs(path: Path) -> Path:
    """Questions with their own answer and with that of the next question of the pool."""
    lines = [json.loads(line)["turns"] for line in _POOL.read_text(encoding="utf-8").splitlines()[:_EXAMPLES]]
    rows = [
        {
            "id": f"pair-{place}",
            "kind": "pair",
            "source": "siblings",
            "topic": "facts",
            "prompt": turns[:1],
            "chosen": turns[1]["content"],
            "rejected": other[1]["content"],
        }
        for place, (turns, other) in enumerate(zip(lines, lines[1:], strict=False))
        if turns[1]["content"] != other[1]["content"]
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def losses_in(path: Path) -> list[float]:
    """Of each step, from a history."""
    with path.open(encoding="utf-8") as file:
        return [float(line["loss"]) for line in csv.DictReader(file) if line["loss"]]


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference of two runs' losses, infinite where they have not as many steps."""
    if len(one) != len(other):
        return math.inf
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _document_log_probs(model: Any, documents: Sequence[Sequence[int]], device: str) -> list[float]:
    """The summed log-probability of each document's tokens but the first, all of them in one row."""
    flat = [token for document in documents for token in document]
    labels = [label for document in documents for label in (IGNORED, *document[1:])]
    row = {
        "input_ids": torch.tensor([flat], device=device),
        "position_ids": torch.tensor([[place for one in documents for place in range(len(one))]], device=device),
        "labels": torch.tensor([labels], device=device),
        "answer": torch.tensor([[owner for owner, one in enumerate(documents) for _ in one]], device=device),
        "answers": len(documents),
    }
    with torch.no_grad():
        return [float(value) for value in row_log_probs(model, row)]
