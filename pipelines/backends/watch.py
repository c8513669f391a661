"""What the stop rules look at while a preference run trains, the same for every backend."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from pipelines.artifacts import read_records
from pipelines.backends.base import PreferRequest
from pipelines.backends.examples import EncodedExample, load_examples
from pipelines.backends.preference_items import Answer, Item, load_items
from pipelines.messages import as_prompt
from pipelines.recipe import Stops
from pipelines.records import Example, Record
from pipelines.suites.probes import FalseClaim, Probe, agrees, broken_rules, is_refusal
from pipelines.tokenizer import ChatTokenizer

_OPENING_TOKENS = 64
_FEWEST_TOKENS, _MOST_TOKENS = 32, 512
_FEWEST_PROBES = 20  # of 19 answers one alone is five points, more than any rule allows


class Reader(Protocol):
    """A model that is read as it stands; `distributions` are what the reference said of the same examples."""

    def greedy(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """The likeliest continuation of each prompt, at most `new_tokens` ids."""
        ...

    def log_probs(self, answers: Sequence[Answer]) -> list[float]:
        """The log-probability of each answer given its prompt, summed over its tokens, nats."""
        ...

    def kl(self, examples: Sequence[EncodedExample], distributions: Sequence[Any]) -> float:
        """Mean KL from these distributions to the model's, per answer token, nats."""
        ...


class Look(Record):
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
    frozen: tuple[EncodedExample, ...]
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
    distinct = _distinct_prompts(preferred)[: request.preference.probes]
    frozen, frozen_prompts = _frozen(request, tokenizer)
    claims = _claims(request)
    claim_prompts = tuple(tokenizer.ids([{"role": "user", "content": claim.prompt}]) for claim in claims)
    longest = max((answer.tokens for answer in preferred), default=0)
    return Watch(
        dev=tuple(dev),
        prompts=tuple(tokenizer.ids(as_prompt(answer.prompt)) for answer in distinct),
        preferred_length=sum(answer.tokens for answer in distinct) / len(distinct) if distinct else None,
        answer_tokens=min(max(2 * longest, _FEWEST_TOKENS), _MOST_TOKENS),
        frozen=frozen,
        frozen_prompts=frozen_prompts,
        claims=claims,
        claim_prompts=claim_prompts,
    )


def look(reader: Reader, watch: Watch, distributions: Sequence[Any], tokenizer: ChatTokenizer) -> Look:
    """The model as it stands; `distributions` are what the reference said of the frozen examples."""
    lengths = [len(ids) for ids in reader.greedy(watch.prompts, watch.answer_tokens)]
    refused = [is_refusal(tokenizer.text(ids)) for ids in reader.greedy(watch.frozen_prompts, _OPENING_TOKENS)]
    replies = [tokenizer.text(ids) for ids in reader.greedy(watch.claim_prompts, _OPENING_TOKENS)]
    agreed = [agrees(answer, claim) for answer, claim in zip(replies, watch.claims, strict=True)]
    tokens = sum(answer.tokens for answer in watch.preferred)
    dev = reader.log_probs([answer for item in watch.dev for answer in item.answers])
    by_item = _by_item(watch.dev, dev)
    liked = sum(values[0] for item, values in zip(watch.dev, by_item, strict=True) if item.good)
    probe = Probe(
        chosen=liked / tokens if tokens else None,
        length=_mean(lengths),
        preferred_length=watch.preferred_length,
        kl=reader.kl(watch.frozen, distributions) if watch.frozen else None,
        refusals=_mean(refused),
        agreement=_mean(agreed),
    )
    return Look(probe=probe, dev_accuracy=_accuracy([values for values in by_item if len(values) == 2]), dev=tuple(dev))


def faults(seen: Look, before: Look, limits: Stops, too_few: Collection[str]) -> list[str]:
    """Which stop rules a look breaks, in words.

    Figures in `too_few` break one only where they are no number: the gate judges what they say.
    """
    figures = seen.probe.model_dump().items()
    unusable = [name for name, value in figures if name in too_few or not _is_number(value)]
    usable = seen.probe.model_copy(update=dict.fromkeys(unusable))
    return [*_no_numbers(seen), *broken_rules(before.probe, usable, limits)]


def as_metrics(seen: Look) -> dict[str, float | None]:
    """A look as a line of the trainer's log."""
    numbers = {**seen.probe.model_dump(), "dev_accuracy": seen.dev_accuracy}
    return {f"eval_{name}": value for name, value in numbers.items()}


def as_progress(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a look in a line of the trainer's log, for those who follow the run; none in any other line."""
    figures = {name: metrics.get(f"eval_{name}") for name in Probe.model_fields}
    return {name: round(value, 5) for name, value in figures.items() if value is not None and _is_number(value)}


def _no_numbers(seen: Look) -> Iterator[str]:
    """What a destroyed model gives instead of a figure."""
    named = [*seen.probe.model_dump().items(), *(("dev answers", value) for value in seen.dev)]
    for name in dict.fromkeys(name for name, value in named if value is not None and not _is_number(value)):
        yield f"{name}: the model gives no probabilities any more"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _frozen(
    request: PreferRequest, tokenizer: ChatTokenizer
) -> tuple[tuple[EncodedExample, ...], tuple[Sequence[int], ...]]:
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
            prompts.append(tokenizer.ids(as_prompt(example.turns[:last])))
    return encoded, tuple(prompts)


def _claims(request: PreferRequest) -> tuple[FalseClaim, ...]:
    if request.claims_file is None:
        return ()
    return tuple(islice(read_records(request.claims_file, FalseClaim), request.preference.probes))


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
