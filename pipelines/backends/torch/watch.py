"""What the stop rules look at while a preference run trains, and the weights that broke none of them."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from pipelines.artifacts import read_records
from pipelines.backends.base import PreferRequest
from pipelines.backends.preference_items import Answer, Item, load_items
from pipelines.backends.torch.callbacks import KeptWeights
from pipelines.backends.torch.data import Encoded, load_examples
from pipelines.backends.torch.scoring import Reader
from pipelines.errors import DataError
from pipelines.recipe import Stops
from pipelines.records import Example, Record
from pipelines.suites.probes import FalseClaim, Probe, agrees, broken_rules, is_refusal
from pipelines.tokenizer import ChatTokenizer, as_messages

_OPENING_TOKENS = 64
_FEWEST_TOKENS, _MOST_TOKENS = 32, 512
_FEWEST_PROBES = 20  # of 19 answers one alone is five points, more than any rule allows

Kept = Sequence[tuple[Tensor, Tensor]]


class Measured(Record):
    """One look at the model. `dev_accuracy`: the share of dev pairs whose chosen answer is the likelier one, ties half.

    `dev` are the log-probabilities of all dev answers in their order, nats.
    """

    probe: Probe
    dev_accuracy: float | None = None
    dev: tuple[float, ...] = ()


@dataclass(frozen=True)
class Watch:
    """The items that are looked at, the same ones every time.

    Attributes:
        dev: pairs and labelled answers that are kept apart.
        prompts, preferred_length: prompts of such answers (ids), and the mean length of what people liked there, tokens.
        answer_tokens: where greedy answers to these prompts are cut.
        frozen, frozen_prompts: examples for KL, and their prompts for refusals.
    """

    dev: tuple[Item, ...]
    prompts: tuple[Sequence[int], ...]
    preferred_length: float | None
    answer_tokens: int
    frozen: tuple[Encoded, ...]
    frozen_prompts: tuple[Sequence[int], ...]
    claims: tuple[FalseClaim, ...]
    claim_prompts: tuple[Sequence[int], ...]

    @property
    def preferred(self) -> tuple[Answer, ...]:
        """Dev answers that people liked."""
        return tuple(item.answers[0] for item in self.dev if item.good)

    @property
    def skipped(self) -> str:
        """Which stop rules have nothing to look at, or too little to stop a run, in words; empty if all have enough."""
        rows = (
            ("displacement", "preferred dev answers", len(self.preferred)),
            ("length", "dev prompts", len(self.prompts)),
            ("kl and refusals", "frozen examples", len(self.frozen)),
            ("sycophancy", "claims", len(self.claims)),
        )
        return "; ".join(
            f"{rule} ({f'{count} {what} are fewer than {_FEWEST_PROBES}, so only the gate judges it' if count else f'no {what}'})"
            for rule, what, count in rows
            if count < _FEWEST_PROBES
        )

    @property
    def too_few(self) -> frozenset[str]:
        """The figures of Probe that rest on too few answers to stop a run by."""
        counts = {
            "chosen": len(self.preferred),
            "length": len(self.prompts),
            "kl": len(self.frozen),
            "refusals": len(self.frozen),
            "agreement": len(self.claims),
        }
        return frozenset(name for name, count in counts.items() if count < _FEWEST_PROBES)


def gather_watch(request: PreferRequest, tokenizer: ChatTokenizer) -> Watch:
    """What the request's dev, frozen and claims files give: all dev answers, and `preference.probes` prompts of each kind.

    Raises:
        DataError: a line is not what it must be.
    """
    limit = request.train.max_tokens
    dev = () if request.dev_file is None else load_items(request.dev_file, tokenizer, limit, None).items
    preferred = tuple(item.answers[0] for item in dev if item.good)
    asked = _distinct_prompts(preferred)[: request.preference.probes]
    frozen, frozen_prompts = _frozen(request, tokenizer)
    claims = _claims(request)
    claim_prompts = tuple(tokenizer.ids([{"role": "user", "content": claim.prompt}]) for claim in claims)
    longest = max((answer.tokens for answer in preferred), default=0)
    return Watch(
        dev=tuple(dev),
        prompts=tuple(tokenizer.ids(as_messages(answer.prompt)) for answer in asked),
        preferred_length=sum(answer.tokens for answer in asked) / len(asked) if asked else None,
        answer_tokens=min(max(2 * longest, _FEWEST_TOKENS), _MOST_TOKENS),
        frozen=frozen,
        frozen_prompts=frozen_prompts,
        claims=claims,
        claim_prompts=claim_prompts,
    )


def measure(reader: Reader, watch: Watch, kept: Kept, tokenizer: ChatTokenizer) -> Measured:
    """The model as it stands; `kept` is what the reference said of the frozen examples."""
    lengths = [len(ids) for ids in reader.greedy(watch.prompts, watch.answer_tokens)]
    refused = [is_refusal(tokenizer.text(ids)) for ids in reader.greedy(watch.frozen_prompts, _OPENING_TOKENS)]
    said = [tokenizer.text(ids) for ids in reader.greedy(watch.claim_prompts, _OPENING_TOKENS)]
    agreed = [agrees(answer, claim) for answer, claim in zip(said, watch.claims, strict=True)]
    tokens = sum(answer.tokens for answer in watch.preferred)
    dev = reader.log_probs([answer for item in watch.dev for answer in item.answers])
    said_of = _by_item(watch.dev, dev)
    liked = sum(values[0] for item, values in zip(watch.dev, said_of, strict=True) if item.good)
    probe = Probe(
        chosen=liked / tokens if tokens else None,
        length=_mean(lengths),
        preferred_length=watch.preferred_length,
        kl=reader.kl(watch.frozen, kept) if watch.frozen else None,
        refusals=_mean(refused),
        agreement=_mean(agreed),
    )
    return Measured(
        probe=probe, dev_accuracy=_accuracy([values for values in said_of if len(values) == 2]), dev=tuple(dev)
    )


class LastGood(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers has no types
    """Keeps the weights of the last evaluation that broke no stop rule, and ends the run at the first that breaks one.

    `step` is the step of these weights; 0 means the reference, whose weights are the SFT adapter's. `kept` is what was
    measured of them. Figures in `too_few` stop a run only where they are no number: the gate judges what they say.
    """

    def __init__(self, before: Measured, limits: Stops, too_few: Collection[str], folder: Path) -> None:
        self._before, self._limits, self._too_few, self._kept = before, limits, too_few, KeptWeights(folder)
        self.step = 0
        self.kept = before
        self.stopped_by: str | None = None
        self._saved_steps: list[int] = []

    def state(self) -> dict[str, Any]:
        kept = {
            "step": self.step,
            "kept": self.kept.model_dump(mode="json"),
            "stopped_by": self.stopped_by,
            "saved_steps": [*self._saved_steps, self.step][-2:],  # asked for just before on_save
        }
        return {"args": {}, "attributes": kept}

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.step, self.stopped_by = attributes["step"], attributes["stopped_by"]
        self._saved_steps = attributes["saved_steps"]
        self.kept = Measured.model_validate(attributes["kept"])

    @property
    def weights(self) -> Path | None:
        """Where the weights are; None for the reference's."""
        return self._kept.at(self.step) if self.step else None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        if state.global_step == state.max_steps:  # the last weights must answer for themselves too
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        measured: Measured = rest["metrics"]["measured"]
        broken = [
            *_no_numbers(measured),
            *broken_rules(self._before.probe, self._watched(measured.probe), self._limits),
        ]
        if broken:
            self.stopped_by = f"step {state.global_step}: " + "; ".join(broken)
            control.should_training_stop = True
            return
        self._kept.keep(rest["model"], state.global_step)
        self.step, self.kept = state.global_step, measured

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Drop the weights that neither the run nor one of the last two checkpoints points to."""
        self._saved_steps = [*self._saved_steps, self.step][-2:]
        self._kept.drop_all_but({*self._saved_steps, self.step})

    def _watched(self, probe: Probe) -> Probe:
        unusable = [
            name for name, value in probe.model_dump().items() if name in self._too_few or not _is_number(value)
        ]
        return probe.model_copy(update=dict.fromkeys(unusable))


def _no_numbers(measured: Measured) -> Iterator[str]:
    """What a destroyed model gives instead of a figure."""
    named = [*measured.probe.model_dump().items(), *(("dev answers", value) for value in measured.dev)]
    for name in dict.fromkeys(name for name, value in named if value is not None and not _is_number(value)):
        yield f"{name}: the model gives no probabilities any more"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def as_metrics(measured: Measured) -> dict[str, float | None]:
    """A measurement as a line of the trainer's log."""
    numbers = {**measured.probe.model_dump(), "dev_accuracy": measured.dev_accuracy}
    return {f"eval_{name}": value for name, value in numbers.items()}


def _frozen(request: PreferRequest, tokenizer: ChatTokenizer) -> tuple[tuple[Encoded, ...], tuple[Sequence[int], ...]]:
    """The first examples of the frozen file that fit, and what is asked in them before their last trained answer."""
    if request.frozen_file is None:
        return (), ()
    count = request.preference.probes
    encoded = load_examples(request.frozen_file, tokenizer, request.train.max_tokens).examples[:count]
    wanted = {example.id for example in encoded}
    prompts = []
    for example in read_records(request.frozen_file, Example):
        if example.id in wanted:
            wanted.remove(example.id)
            last = max(place for place, turn in enumerate(example.turns) if turn.trained)
            prompts.append(tokenizer.ids(as_messages(example.turns[:last])))
    return encoded, tuple(prompts)


def _claims(request: PreferRequest) -> tuple[FalseClaim, ...]:
    if request.claims_file is None:
        return ()
    lines = request.claims_file.read_text(encoding="utf-8").splitlines()
    try:
        return tuple(FalseClaim(**json.loads(line)) for line in lines[: request.preference.probes])
    except (ValueError, TypeError) as error:
        raise DataError(f"{request.claims_file.name} holds a line that is not a claim of this version") from error


def _distinct_prompts(answers: Sequence[Answer]) -> list[Answer]:
    return list({answer.prompt: answer for answer in reversed(answers)}.values())[::-1]


def _by_item(items: Sequence[Item], values: Sequence[float]) -> list[list[float]]:
    """Each item's part of what is said of all answers in order."""
    left = iter(values)
    return [[next(left) for _ in item.answers] for item in items]


def _accuracy(pairs: Sequence[Sequence[float]]) -> float | None:
    if not pairs:
        return None
    ahead = [chosen - rejected for chosen, rejected in pairs]
    return sum(1.0 if gap > 0 else 0.5 if gap == 0 else 0.0 for gap in ahead) / len(ahead)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
