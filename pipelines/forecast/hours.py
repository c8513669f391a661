"""How long a round takes: its work in numbers, times what each piece of work costs on this machine.

    train     steps x (step + rows x row + tokens x token + tokens with loss x trained), and the looks at dev
    evaluate  items x seconds an item, of each model that is not yet scored
    export    parameters x seconds a parameter: merging, converting, quantizing, comparing

Every stage says where its figure comes from: timed here just now, an earlier round, or a guess.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from pipelines.backends.base import Pace
from pipelines.backends.examples import best_fit_decreasing
from pipelines.recipe import Train
from pipelines.records import Record
from pipelines.stages import STAGES

Ground = Literal["timed", "rounds", "guess"]
GROUNDS: Mapping[Ground, str] = {
    "timed": "timed on this machine",
    "rounds": "as in earlier rounds",
    "guess": "a guess: no round here has shown it yet",
}

# What a stage's seconds are counted by; the others take as long as they took.
UNITS = {"snapshot": "conversations", "mix": "examples", "train": "tokens", "prefer": "answers", "evaluate": "items"}

_DRAWS = 24  # steps that are packed to see how many rows they make
# Two cores, by a model of 135 M: seconds a parameter of converting, of quantizing, and of comparing on 32 prompts.
_CONVERT, _QUANTIZE, _COMPARE = 25e-9, 45e-9, 400e-9
_SECONDS_A_CONVERSATION = 0.01
_SECONDS_OF_A_SMALL_STAGE = 2.0
_ANSWER_TOKENS = 200.0  # of a held-out answer with its question, or a rated one
_CHARACTERS_A_TOKEN = 3.0
_STARTS: Mapping[str, int] = {
    "origin": 1,
    "prefer": 1,
    "export": 3,
    "evaluate": 2,
}  # child processes, one after the other
START_SECONDS = 6.0  # of a child that trains or scores, on two idle cores
_READS_TRAINED, _READS_PREFERRED = 6.0, 5.0  # a token with loss and the prompt before it; policy, reference and anchors
_MODELS = 2  # are scored anew: the candidate, and in a first round the origin


class ExampleSize(NamedTuple):
    """Tokens of one example, those of them that get loss, and whether it is an anchor."""

    tokens: int
    trained: int
    anchor: bool = False


class StageTime(Record):
    """How long a stage takes, in seconds, and on what ground that is said."""

    name: str
    seconds: float
    ground: Ground


class RoundWork(Record):
    """What a round has to do: by stage, how much of what UNITS counts it by.

    Attributes:
        amounts: by stage; 0 for one that has nothing to do.
        item_characters: of a scored item on average; None for those of a chat.
        parameters: of the base; None where they are not known.
        origin_ready: the origin has been converted before.
    """

    amounts: Mapping[str, float]
    parameters: int | None
    origin_ready: bool
    item_characters: float | None = None


class Speed(NamedTuple):
    """By what a stage is guessed that no round has shown: seconds to read a token, and to start a process."""

    read: float
    start: float = START_SECONDS


class TrainingWork(Record):
    """What training reads: a sample of examples in the proportions of the mixture, and how many there are.

    Attributes:
        steps: of SFT; `looks`: how often the dev examples are read.
        dev_examples: how many, about as long as the others.
    """

    sample: tuple[ExampleSize, ...]
    steps: int
    looks: int
    dev_examples: int


def stage_times(
    work: RoundWork, rates: Mapping[str, float], speed: Speed | None, known: Mapping[str, float]
) -> tuple[StageTime, ...]:
    """How long every stage takes, in their order; empty where nothing at all is known to go by.

    Args:
        rates: seconds for one of what UNITS counts, or for the whole stage, as earlier rounds took them.
        speed: of this machine, as far as it is known.
        known: seconds of stages that were timed just now.
    """
    times = []
    for stage in STAGES:
        amount = work.amounts.get(stage.name, 0.0 if stage.name in UNITS else 1.0)
        if amount == 0 or (stage.name == "origin" and work.origin_ready):
            continue
        if stage.name in known:
            times.append(StageTime(name=stage.name, seconds=known[stage.name], ground="timed"))
        elif stage.name in rates:
            times.append(StageTime(name=stage.name, seconds=rates[stage.name] * amount, ground="rounds"))
        elif (seconds := _guess(stage.name, amount, work, speed)) is not None:
            times.append(StageTime(name=stage.name, seconds=seconds, ground="guess"))
        else:
            return ()
    return tuple(times)


def _guess(stage: str, amount: float, work: RoundWork, speed: Speed | None) -> float | None:
    """Seconds of a stage by its size alone; None where the model or the machine is not known."""
    if stage == "snapshot":
        return _SECONDS_OF_A_SMALL_STAGE + amount * _SECONDS_A_CONVERSATION
    if stage in ("mix", "gate", "report"):
        return _SECONDS_OF_A_SMALL_STAGE
    if work.parameters is None or speed is None:
        return None
    starts = _STARTS.get(stage, 1) * speed.start
    per_parameter = {"origin": _CONVERT + _QUANTIZE, "export": _CONVERT + _QUANTIZE + _COMPARE}
    if stage in per_parameter:
        return starts + work.parameters * per_parameter[stage]
    item = _ANSWER_TOKENS if work.item_characters is None else work.item_characters / _CHARACTERS_A_TOKEN
    read = {"train": _READS_TRAINED, "prefer": _READS_PREFERRED * _ANSWER_TOKENS, "evaluate": _MODELS * item}
    return starts + amount * speed.read * read[stage]


def training_seconds(train: Train, work: TrainingWork, pace: Pace) -> float:
    """Seconds of the whole stage: start, steps and looks at dev."""
    if not work.sample:
        return pace.start
    batch = train.batch.per_device * train.batch.accumulate
    steps = [_step_seconds(drawn, pace, apart=train.kl.weight > 0) for drawn in _draws(work.sample, batch)]
    looking = fmean(one.tokens for one in work.sample) * pace.read * work.dev_examples
    return pace.start + work.steps * (pace.step + fmean(steps)) + work.looks * looking


def _draws(sample: Sequence[ExampleSize], batch: int) -> Iterator[list[ExampleSize]]:
    """Some batches as shuffling would make them; the same for the same sample."""
    order, shuffled = random.Random(0), list[ExampleSize]()
    for _ in range(_DRAWS):
        while len(shuffled) < batch:
            shuffled += order.sample(sample, len(sample))
        yield shuffled[:batch]
        del shuffled[:batch]


def _step_seconds(examples: Sequence[ExampleSize], pace: Pace, *, apart: bool) -> float:
    """Seconds of the rows into which a step's examples are packed."""
    seconds = 0.0
    for anchor in (False, True):
        group = [one for one in examples if (apart and one.anchor) == anchor]
        rows = best_fit_decreasing([one.tokens for one in group], pace.row_tokens)
        plain = len(rows) * pace.row + sum(pace.token * one.tokens + pace.trained * one.trained for one in group)
        seconds += plain * (pace.anchor if anchor else 1.0)
    return seconds


def span(seconds: float) -> str:
    """A duration as people plan with it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
