"""What a run leaves beside its weights: its history as CSV, its figures as JSON, the same for every backend.

loss_history.csv        step,epoch,loss,dev_loss,learning_rate,grad_norm
preference_history.csv  step,loss,margin,...,kl,refusals,...     step 0 is the reference; looks of the stop rules between
preference_dev.csv      id,answer,before,after                   log-probabilities of dev answers, nats
"""

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipelines.artifacts import write_atomic
from pipelines.backends.base import PreferOutput, PreferRequest, TrainOutput, TrainRequest
from pipelines.backends.preference_items import Item
from pipelines.backends.watch import Look, as_metrics
from pipelines.recipe import Train

LOSS_HISTORY, TRAINING_METRICS = "loss_history.csv", "training_metrics.json"
PREFERENCE_HISTORY, PREFERENCE_METRICS = "preference_history.csv", "preference_metrics.json"
PREFERENCE_DEV = "preference_dev.csv"
_LOSS_COLUMNS = ("step", "epoch", "loss", "dev_loss", "learning_rate", "grad_norm")
_LOOK_COLUMNS = ("chosen", "length", "preferred_length", "kl", "refusals", "agreement", "dev_accuracy")
_PREFERENCE_COLUMNS = (
    *("step", "loss", "margin", "chosen_reward", "rejected_reward", "accuracy", "reference_point", "anchor_loss"),
    *("learning_rate", "grad_norm"),
    *_LOOK_COLUMNS,
)

# What stands beside the weights of a model: its tokenizer, template and settings.
_COMPANIONS = (".json", ".jinja", ".model", ".txt")

Entry = Mapping[str, Any]


def copy_companions(base: Path, folder: Path) -> None:
    """The base's tokenizer, template and settings beside a whole model; what stands there already stays."""
    for path in sorted(base.iterdir()):
        is_index = path.name.endswith(".safetensors.index.json")
        if path.suffix in _COMPANIONS and not is_index and not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)


def write_loss_history(out: Path, entries: Iterable[Entry]) -> None:
    """One line per step (`loss`) and one per evaluation (`eval_loss`), in order."""
    rows = (
        {**entry, "dev_loss": entry.get("eval_loss")} for entry in entries if "loss" in entry or "eval_loss" in entry
    )
    _write_table(out / LOSS_HISTORY, _LOSS_COLUMNS, rows)


def write_preference_history(out: Path, before: Look, entries: Iterable[Entry]) -> None:
    """The reference at step 0, then one line per step and one per look (`as_metrics`), in order."""
    rows = []
    for entry in [{"step": 0, **as_metrics(before)}, *entries]:
        if "loss" in entry:
            rows.append(entry)
        elif "eval_dev_accuracy" in entry:
            rows.append({"step": entry["step"], **{name: entry[f"eval_{name}"] for name in _LOOK_COLUMNS}})
    _write_table(out / PREFERENCE_HISTORY, _PREFERENCE_COLUMNS, rows)


def write_dev(out: Path, items: Sequence[Item], before: Sequence[float], after: Sequence[float]) -> None:
    """What reference and adapter say of every dev answer, in order: a pair has two lines, chosen and rejected."""
    sides = [(item.id, side) for item in items for side in _sides(item)]
    rows = (
        {"id": id, "answer": side, "before": first, "after": last}
        for (id, side), first, last in zip(sides, before, after, strict=True)
    )
    _write_table(out / PREFERENCE_DEV, ("id", "answer", "before", "after"), rows)


def write_training_metrics(out: Path, request: TrainRequest, output: TrainOutput, packages: Sequence[str]) -> None:
    """The run's settings and figures, and the versions of the packages that it depends on."""
    _write_metrics(out / TRAINING_METRICS, request.base_name, request.train, output, packages)


def write_preference_metrics(out: Path, request: PreferRequest, output: PreferOutput, packages: Sequence[str]) -> None:
    """The same of a preference run, with the settings of SFT that hold there too."""
    path = out / PREFERENCE_METRICS
    _write_metrics(path, request.base_name, request.preference, output, packages, train=request.train)


def _write_metrics(
    path: Path,
    base_name: str,
    settings: BaseModel,
    output: TrainOutput | PreferOutput,
    packages: Sequence[str],
    train: Train | None = None,
) -> None:
    figures = {
        "base": base_name,
        "hyper_parameters": settings.model_dump(mode="json"),
        **({"train": train.model_dump(mode="json")} if train else {}),
        **output.model_dump(mode="json"),
        "versions": _versions(packages),
    }
    write_atomic(path, json.dumps(figures, indent=1, ensure_ascii=False))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Of those that are installed."""
    installed = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def _sides(item: Item) -> Sequence[str]:
    if item.is_pair:
        return ("chosen", "rejected")
    return ("chosen",) if item.good else ("rejected",)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Entry]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
