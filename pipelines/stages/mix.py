"""The mixture: which examples a round trains on, how often, and what was asked against what was reached.

    snapshot items (train part) ──┐
    anchor pools (train slice) ───┴─> quotas in trained tokens ──> plan.jsonl (ids, no text) ──> text in scratch
    dev items + the pools' dev slice ──> the dev set, in the same plan

Two lines of plan.jsonl, a user's example and an anchor:
    {"id": "9f..", "part": "train", "source": "new", "tokens": 34, "turns": [{"key": {...}, "role": "user", ...}], "anchor": null}
    {"id": "general/fact-17", "part": "train", "source": "general", "tokens": 3, "turns": [], "anchor": "fact-17"}
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.artifacts import sha256_of, write_records
from pipelines.context import StageContext
from pipelines.errors import DataError
from pipelines.mixture.anchors import Anchor, AnchorName, AnchorPool, Pools
from pipelines.mixture.quotas import Countable, even_choice, repeated_draw
from pipelines.mixture.text import MixedText, PlanLine, examples_of, materialise
from pipelines.recipe import Recipe
from pipelines.records import Corpus, Record, SnapshotItem, Turn
from pipelines.stages import snapshot
from pipelines.stages.contract import Finished, Keyed
from pipelines.tokenizer import ChatTokenizer

_GROWTH = 1.1  # of the tokens of anchors where they are too few examples
CountTokens = Callable[[Sequence[Turn]], int]


class ShareLine(Record):
    """One source of the mixture. Shares and tokens are of trained tokens; `source` "user" is new + replay."""

    source: str
    asked: float
    reached: float
    tokens: int
    examples: int
    distinct: int
    most_repeats: int
    shortfall_tokens: int


class MixOutput(Record):
    """The plan and its report. `text_sha256` is of the text that the plan stands for, wherever it is rebuilt.

    `contaminated_anchors` counts what was taken out of each pool because it repeats an item of the recipe's suites,
    `unrendered_anchors` what the base model's chat template cannot render.
    """

    plan: str
    left_out_list: str
    plan_sha256: str
    text_sha256: str
    shares: tuple[ShareLine, ...]
    examples: Mapping[str, int]
    tokens: Mapping[str, int]
    families: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]
    dev_examples: Mapping[str, int]
    dev_tokens: int
    contaminated_anchors: Mapping[str, int] = {}
    unrendered_anchors: Mapping[str, int] = {}


Output = MixOutput


class Input(Record):
    """What decides the mixture; `base` is whose tokenizer counts."""

    recipe: Recipe
    snapshot: Finished[snapshot.Output]
    pools: Keyed[Pools]
    base: Keyed[Path]


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The mixture as ids in `out` and as text in scratch. Raises as `mix` does."""
    recipe, items = input.recipe, snapshot.items_of(input.snapshot)
    count = partial(ChatTokenizer(input.base.value, recipe.chat).count_trained, max_tokens=recipe.train.max_tokens)
    pools, seed = input.pools.value, recipe.train.seed
    return mix(items, pools, recipe, count, out, seed, corpus=context.corpus, scratch=context.scratch)


def text_of(mixture: Finished[Output], pools: Keyed[Pools], context: StageContext) -> MixedText:
    """The text of a finished mixture, in scratch. Raises as `materialise` does."""
    plan, expected = mixture.folder / mixture.output.plan, mixture.output.text_sha256
    return materialise(plan, context.corpus, pools.value, context.scratch, expected_sha256=expected)


class LeftOut(Record):
    """A conversation of the snapshot for which the mixture had no room, and why."""

    conversation: str
    reason: str


@dataclass(frozen=True)
class Mixture:
    """What `plan_mixture` decided: lines in training order, then the dev set."""

    lines: tuple[PlanLine, ...]
    left_out: tuple[LeftOut, ...]
    shares: tuple[ShareLine, ...]
    families: Mapping[str, Mapping[str, int]]


def mix(
    items: Sequence[SnapshotItem],
    pools: Mapping[AnchorName, AnchorPool],
    recipe: Recipe,
    count_tokens: CountTokens,
    out: Path,
    seed: int,
    *,
    corpus: Corpus,
    scratch: Path,
) -> MixOutput:
    """Decide the mixture, write it to `out` as ids, and its text to `scratch`; the same input gives the same bytes.

    Args:
        count_tokens: trained tokens of an example's turns under the recipe's tokenizer and max_tokens; 0 leaves it out.

    Raises:
        DataError: nothing of the users is left to train on, or a pool that the recipe asks for is missing.
    """
    mixture = plan_mixture(_counted(items, corpus, count_tokens), pools, recipe, count_tokens, seed)
    plan = out / "plan.jsonl"
    write_records(plan, mixture.lines)
    write_records(out / "left_out.jsonl", mixture.left_out)
    text = materialise(plan, corpus, pools, scratch)
    train = [line for line in mixture.lines if line.part == "train"]
    dev = [line for line in mixture.lines if line.part == "dev"]
    return MixOutput(
        plan=plan.name,
        left_out_list="left_out.jsonl",
        plan_sha256=sha256_of(plan),
        text_sha256=text.sha256,
        shares=mixture.shares,
        examples=_by_source(train),
        tokens=_by_source(train, tokens=True),
        families=mixture.families,
        left_out=dict(sorted(Counter(one.reason for one in mixture.left_out).items())),
        dev_examples=_by_source(dev),
        dev_tokens=sum(line.tokens for line in dev),
        contaminated_anchors={name: pool.contaminated for name, pool in pools.items() if pool.contaminated},
        unrendered_anchors={name: pool.unrendered for name, pool in pools.items() if pool.unrendered},
    )


def plan_mixture(
    items: Sequence[SnapshotItem],
    pools: Mapping[AnchorName, AnchorPool],
    recipe: Recipe,
    count_tokens: CountTokens,
    seed: int,
) -> Mixture:
    """Every used item once (or left out with a reason), anchors up to their share, the dev set apart.

    `items` carry their trained tokens as `count_tokens` counts them. Order of input does not matter.
    """
    used = sorted((i for i in items if i.part == "train" and i.outcome == "used"), key=lambda i: i.conversation)
    chosen, left_out = _user_part(used, recipe, seed)
    by_source = asked_shares(recipe)
    lead = next(iter(by_source))
    leading = sum(item.tokens for item in chosen if lead == "user" or item.source == "new")
    per_share = leading / by_source[lead]
    train = [_user_line(item, "train") for item in chosen]
    families: dict[str, Mapping[str, int]] = {}
    wanted = {name: by_source[name] * per_share for name in recipe.mixture.anchors}
    for name, drawn in _draw_anchors(wanted, len(train), pools, recipe, count_tokens, seed).items():
        train += [line for line, _ in drawn]
        families[name] = dict(sorted(Counter(family for _, family in drawn).items()))
    random.Random(f"{seed}/order").shuffle(train)
    dev, unfit = _dev_set(items, pools, by_source, lead, count_tokens, seed)
    shares = _share_lines(train, by_source, per_share)
    return Mixture(tuple(train + dev), tuple(left_out + unfit), shares, families)


def asked_shares(recipe: Recipe) -> dict[str, float]:
    """The recipe's shares of all trained tokens; the first source is the one that the others are measured by.

    `sequential` takes replay off the top and shares out the rest: user 70 % with replay 30 % is new 49 %.
    """
    if recipe.lineage == "from_origin":
        return {"user": recipe.mixture.user} | dict(recipe.mixture.anchors)
    rest = 1 - recipe.replay
    if rest <= 0:
        raise DataError("`replay: 1` leaves nothing for new examples; give a share below 1")
    anchors = {name: rest * share for name, share in recipe.mixture.anchors.items()}
    return {"new": rest * recipe.mixture.user, "replay": recipe.replay} | anchors


def _counted(items: Sequence[SnapshotItem], corpus: Corpus, count_tokens: CountTokens) -> list[SnapshotItem]:
    """The items with their tokens counted as training will count them: end-of-turn markers in, overlong turns out."""
    wanted = [item for item in items if item.outcome != "left_out" and item.part in ("train", "dev")]
    lines = [_user_line(item, "train") for item in wanted]
    counts = [count_tokens(example.turns) for example in examples_of(lines, corpus, {})]
    return [item.model_copy(update={"tokens": count}) for item, count in zip(wanted, counts, strict=True)]


def _user_part(used: Sequence[SnapshotItem], recipe: Recipe, seed: int) -> tuple[list[SnapshotItem], list[LeftOut]]:
    """What the users contribute, and what is left out for want of room."""
    shares = asked_shares(recipe)
    fit = [item for item in used if item.tokens > 0]
    left_out = [LeftOut(conversation=i.conversation, reason="no_trained_token") for i in used if i.tokens == 0]
    lead = "user" if "user" in shares else "new"
    first = [item for item in fit if lead == "user" or item.source == "new"]
    room = math.inf if recipe.max_tokens_per_round is None else shares[lead] * recipe.max_tokens_per_round
    items, over = _evenly(first, room, "over_round_budget", seed)
    if over and not items:
        raise DataError(
            f"max_tokens_per_round {recipe.max_tokens_per_round} has no room for one of the {len(first)} selected examples "
            f"({min(item.tokens for item in first)} trained tokens and more); raise it"
        )
    if not items:
        raise DataError(f"none of the {len(used)} selected examples is {lead} and can be trained on; nothing to learn")
    if lead == "new":
        target = shares["replay"] / shares["new"] * sum(item.tokens for item in items)
        replayed, more_over = _evenly([i for i in fit if i.source == "replay"], target, "over_replay_share", seed)
        items, over = items + replayed, over + more_over
    return items, left_out + over


def _evenly(
    items: Sequence[SnapshotItem], room: float, reason: str, seed: int
) -> tuple[list[SnapshotItem], list[LeftOut]]:
    """As many tokens from each month, up to `room` in all; the rest is left out for `reason`."""
    if sum(item.tokens for item in items) <= room:
        return list(items), []
    chosen = even_choice([Countable(item.conversation, item.month, item.tokens) for item in items], room, seed)
    within = [item for item in items if item.conversation in chosen]
    return within, [LeftOut(conversation=i.conversation, reason=reason) for i in items if i.conversation not in chosen]


def _draw_anchors(
    wanted: Mapping[AnchorName, float],
    users: int,
    pools: Mapping[AnchorName, AnchorPool],
    recipe: Recipe,
    count_tokens: CountTokens,
    seed: int,
) -> dict[AnchorName, list[tuple[PlanLine, str]]]:
    """The anchors of every kind with their families, repeats included: so many tokens, and enough examples."""
    if missing := [name for name, tokens in wanted.items() if tokens > 0 and name not in pools]:
        raise DataError(f"the recipe asks for {missing[0]} anchors, but there is no pool {missing[0]}.jsonl")
    countable = {name: _countable(pools[name].split()[0], count_tokens) for name in wanted if wanted[name] > 0}
    mixture, times = recipe.mixture, 1.0
    least = users * mixture.anchor_examples / (1 - mixture.anchor_examples)
    while True:
        drawn = {
            name: _draw(name, "train", countable.get(name, ()), times * tokens, mixture.max_repeats, seed)
            for name, tokens in wanted.items()
        }
        count = sum(map(len, drawn.values()))
        if count >= least or count >= mixture.max_repeats * sum(map(len, countable.values())):
            return drawn
        times *= max(_GROWTH, least / max(1, count))


def _dev_set(
    items: Sequence[SnapshotItem],
    pools: Mapping[AnchorName, AnchorPool],
    shares: Mapping[str, float],
    lead: str,
    count_tokens: CountTokens,
    seed: int,
) -> tuple[list[PlanLine], list[LeftOut]]:
    """All dev items and, in proportion, anchors of the pools' dev slice, each at most once."""
    held = [item for item in items if item.part == "dev" and item.outcome == "held_out"]
    held.sort(key=lambda item: item.conversation)
    unfit = [LeftOut(conversation=i.conversation, reason="no_trained_token") for i in held if i.tokens == 0]
    lines = [_user_line(item, "dev") for item in held if item.tokens > 0]
    per_share = sum(line.tokens for line in lines) / (shares[lead] + shares.get("replay", 0.0))
    for name, pool in sorted(pools.items()):
        if shares.get(name):
            countable = _countable(pool.split()[1], count_tokens)
            drawn = _draw(name, "dev", countable, shares[name] * per_share, 1, seed)
            lines += [line for line, _ in drawn]
    return lines, unfit


def _countable(anchors: Sequence[Anchor], count_tokens: CountTokens) -> list[Countable]:
    """The anchors in which something is trained, by family."""
    counted = [Countable(anchor.id, anchor.family, count_tokens(anchor.trained_turns)) for anchor in anchors]
    return [one for one in counted if one.tokens > 0]


def _draw(
    name: AnchorName, part: str, pool: Sequence[Countable], tokens: float, repeats: int, seed: int
) -> list[tuple[PlanLine, str]]:
    known = {one.id: one for one in pool}
    return [
        (
            PlanLine.model_validate(
                {"id": f"{name}/{id}", "part": part, "source": name, "tokens": known[id].tokens, "anchor": id}
            ),
            known[id].group,
        )
        for id in repeated_draw(pool, tokens, repeats, seed)
    ]


def _user_line(item: SnapshotItem, part: str) -> PlanLine:
    return PlanLine.model_validate(
        {"id": item.conversation, "part": part, "source": item.source, "tokens": item.tokens, "turns": item.turns}
    )


def _share_lines(train: Sequence[PlanLine], shares: Mapping[str, float], per_share: float) -> tuple[ShareLine, ...]:
    total = sum(line.tokens for line in train)
    return tuple(_share_line(source, share, train, total, per_share) for source, share in shares.items())


def _share_line(source: str, share: float, train: Sequence[PlanLine], total: int, per_share: float) -> ShareLine:
    names = ("new", "replay") if source == "user" else (source,)
    lines = [line for line in train if line.source in names]
    draws = Counter(line.id for line in lines)
    tokens = sum(line.tokens for line in lines)
    longest = max((line.tokens for line in lines), default=0)
    missing = share * per_share - tokens
    return ShareLine(
        source=source,
        asked=round(share, 6),
        reached=round(tokens / total, 6),
        tokens=tokens,
        examples=len(lines),
        distinct=len(draws),
        most_repeats=max(draws.values(), default=0),
        shortfall_tokens=round(missing) if missing > longest else 0,
    )


def _by_source(lines: Sequence[PlanLine], *, tokens: bool = False) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for line in lines:
        counts[line.source] += line.tokens if tokens else 1
    return dict(sorted(counts.items()))
