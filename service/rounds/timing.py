"""What a round's stages cost on this machine: a training step timed once and kept, and what earlier rounds took.

var/paces/9f3c....json    {"device": "cpu", "row_tokens": 384, "step": 0.02, "token": 0.0003, ...}

A pace is kept by the base, the settings that decide it, the machine and the versions of what trains.
"""

import os
import platform
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session

from pipelines.artifacts import Manifest, digest_of, read_manifest, sha256_of, write_atomic
from pipelines.backends.base import Pace
from pipelines.backends.launch import calibrate
from pipelines.errors import PerennialError
from pipelines.forecast.hours import ExampleSize, Speed
from pipelines.forecast.plan import Plan
from pipelines.mixture.anchors import Pools
from pipelines.recipe import HELDOUT, Recipe, Train
from pipelines.recipe_file import parse_recipe
from pipelines.records import Corpus, Turn
from pipelines.suites.folder import SuiteFolder
from pipelines.tokenizer import ChatTokenizer
from service.settings import Settings
from service.store import rounds
from service.store.tables import Round

_DECISIVE = {"backend", "method", "lora", "batch", "max_tokens", "precision", "optimizer", "kl"}
_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "mlx", "mlx-lm")
_ROUNDS = 3
_SAMPLE = 400
_TRAINED_TO_READ = 3.0  # a token that is trained takes as long as three that are read
_LOOK_AT = 150


def find_pace(settings: Settings, base: Path, train: Train, *, timed: bool) -> tuple[Pace | None, str]:
    """The kept pace, or one that is timed now; else None, and why there is none.

    Args:
        timed: whether it may be timed now, which takes seconds, on a large base minutes.
    """
    path = settings.home / "paces" / f"{_key(base, train)[:32]}.json"
    try:
        return Pace.model_validate_json(path.read_bytes()), ""
    except (OSError, ValidationError):
        pass
    if not timed:
        return None, "nothing was timed"
    try:
        pace = calibrate(base, train)
    except PerennialError as error:
        return None, f"training could not be timed here: {error}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, pace.model_dump_json())
    return pace, ""


def _key(base: Path, train: Train) -> str:
    """What decides a pace: model, settings, machine, packages."""
    weights = sorted((file.name, file.stat().st_size) for file in base.glob("*.safetensors"))
    return digest_of(
        {
            "config": sha256_of(base / "config.json"),
            "weights": weights,
            "train": train.model_dump(mode="json", include=_DECISIVE),
            "machine": [platform.machine(), platform.node(), os.cpu_count()],
            "packages": [_version(name) for name in _PACKAGES],
        }
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def sample_examples(
    corpus: Corpus, pools: Pools, tokenizer: ChatTokenizer, plan: Plan, max_tokens: int
) -> tuple[ExampleSize, ...]:
    """Sizes of examples in the proportions of the plan's mixture, from what is stored and the pools."""
    sizes: dict[str, Sequence[ExampleSize]] = {
        name: list(_anchor_sizes(pools, name, tokenizer, max_tokens)) for name in pools
    }
    users = list(_user_sizes(corpus, tokenizer, max_tokens))
    whole = sum(plan.examples.values())
    sample: list[ExampleSize] = []
    for source, count in plan.examples.items():
        of_source = sizes.get(source, users)
        if whole and of_source:
            sample += islice(cycle(of_source), round(_SAMPLE * count / whole))
    return tuple(sample)


def _user_sizes(corpus: Corpus, tokenizer: ChatTokenizer, max_tokens: int) -> Iterator[ExampleSize]:
    chats = (one for one in corpus.candidates() if one.part == "train" and one.consent)
    for chat in islice(chats, _LOOK_AT):
        turns = [message.turn(trained=message.role == "assistant") for message in chat.messages]
        yield from _sizes(turns, tokenizer, max_tokens, anchor=False)


def _anchor_sizes(pools: Pools, name: str, tokenizer: ChatTokenizer, max_tokens: int) -> Iterator[ExampleSize]:
    pool = next(pool for kind, pool in pools.items() if kind == name)
    train, _ = pool.split()
    random.Random(0).shuffle(train)
    for anchor in train[:_LOOK_AT]:
        yield from _sizes(anchor.trained_turns, tokenizer, max_tokens, anchor=True)


def _sizes(turns: Sequence[Turn], tokenizer: ChatTokenizer, max_tokens: int, *, anchor: bool) -> Iterator[ExampleSize]:
    if tokenizer.can_render(turns):
        rows, _ = tokenizer.rows(turns, max_tokens)
        yield from (ExampleSize(len(row.ids), sum(row.mask), anchor) for row in rows if any(row.mask))


def count_items(recipe: Recipe, sizes: Mapping[str, int], heldout: int) -> int:
    """Items on which one model is scored for the gate."""
    asked = min(heldout, recipe.evaluate.heldout) if HELDOUT in recipe.evaluate.suites else 0
    return sum(_asked(recipe, sizes).values()) + asked


def item_characters(recipe: Recipe, suites: SuiteFolder) -> float | None:
    """How long the suites' items are on average, None without any."""
    asked = _asked(recipe, suites.sizes)
    whole = sum(asked.values())
    return sum(suites.characters[name] * count for name, count in asked.items()) / whole if whole else None


def _asked(recipe: Recipe, sizes: Mapping[str, int]) -> dict[str, int]:
    most = recipe.evaluate.items
    return {name: size if most is None else min(size, most) for name, size in sizes.items()}


def stage_rates(session: Session, settings: Settings, recipe: Recipe, sizes: Mapping[str, int]) -> dict[str, float]:
    """Seconds for one of what a stage is counted by, or for the whole stage, of the last rounds with this base."""
    seen: dict[str, list[float]] = defaultdict(list)
    for row in rounds.list_rounds(session, 50):
        if _alike(row, recipe) and max(map(len, seen.values()), default=0) < _ROUNDS:
            for stage, rate in _rates_of(session, settings, row, recipe, sizes):
                seen[stage].append(rate)
    return {stage: median(values) for stage, values in seen.items()}


def seen_speed(session: Session, settings: Settings, recipe: Recipe) -> Speed | None:
    """How fast the last round with this base trained, which says how fast it reads; None before there was one."""
    for row in rounds.list_rounds(session, 50):
        for attempt in rounds.attempts(session, row.id or 0) if _alike(row, recipe) else ():
            manifest = read_manifest(settings.home / attempt.folder / "train")
            if manifest is not None and (speed := speed_of(manifest)):
                return speed
    return None


def speed_of(trained: Manifest) -> Speed | None:
    """How fast a finished training read, by its tokens a second."""
    per_second = float(trained.output.get("tokens_per_second") or 0)
    return Speed(1 / per_second / _TRAINED_TO_READ) if per_second else None


def _alike(row: Round, recipe: Recipe) -> bool:
    """Whether a round trained the same base in the same way."""
    try:
        other = parse_recipe(row.recipe, f"of round {row.id}")
    except PerennialError:
        return False
    return (other.base.model, other.train.method, other.export.form) == (
        recipe.base.model,
        recipe.train.method,
        recipe.export.form,
    )


def _rates_of(
    session: Session, settings: Settings, row: Round, recipe: Recipe, sizes: Mapping[str, int]
) -> Iterator[tuple[str, float]]:
    attempts = rounds.attempts(session, row.id or 0)
    for stage in rounds.stages(session, attempts[-1].id or 0) if attempts else ():
        manifest = read_manifest(settings.home / attempts[-1].folder / stage.name)
        if manifest is None:
            continue
        amount = _amount(stage.name, manifest.output, row, recipe, sizes)
        if amount:
            yield stage.name, stage.seconds / amount


def _amount(stage: str, output: Mapping[str, Any], row: Round, recipe: Recipe, sizes: Mapping[str, int]) -> float:
    """How much a finished stage did, by its manifest; 0 for one that was left out."""
    match stage:
        case "evaluate":
            return count_items(recipe, sizes, int(row.counts.get("heldout", 0)))
        case "snapshot":
            return float(output.get("received", 0))
        case "mix":
            return float(sum(output.get("examples", {}).values()))
        case "train":
            return float(output.get("trained_tokens", 0))
        case "prefer":
            trained = output.get("trained") or {}
            return float(2 * trained.get("pairs", 0) + trained.get("good", 0) + trained.get("bad", 0))
    return 1.0
