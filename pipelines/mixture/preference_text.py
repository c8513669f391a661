"""The text of a preference run, in scratch: what people preferred, anchors that go along, frozen prompts to watch.

scratch/preference/
├── train.jsonl, dev.jsonl, heldout.jsonl    PreferenceExamples
├── anchors.jsonl                            Examples of the pools' train slice, in the mixture's proportions
└── frozen.jsonl                             Examples of the pools' dev slice, `probes` times as many as kinds, evenly over families
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.artifacts import sha256_of, write_records
from pipelines.errors import DataError
from pipelines.mixture.anchors import Anchor, AnchorName, AnchorPool, frozen_prompts
from pipelines.mixture.quotas import Countable, repeated_draw
from pipelines.recipe import Preference, Recipe
from pipelines.records import Body, Corpus, Example, MessageKey, Part, PreferenceExample, PreferenceItem, Record, Turn

CountTokens = Callable[[Sequence[Turn]], int]
_PARTS: tuple[Part, ...] = ("train", "dev", "heldout")
_ITEMS_AT_A_TIME = 500


class PreferenceText(Record):
    """Where the files are and what they hold; `sha256` is over all five, in the order of the fields.

    Attributes:
        counts: examples by file.
        sources: training examples by source.
        answer_tokens, anchor_tokens: trained tokens of the training answers, and of the anchors drawn for them.
        anchors: anchor examples by family.
        shortfall_tokens: anchor tokens that the pools could not give.
    """

    train: Path
    dev: Path
    heldout: Path
    anchors_file: Path
    frozen: Path
    sha256: str
    counts: Mapping[str, int]
    sources: Mapping[str, int]
    answer_tokens: int
    anchor_tokens: int
    anchors: Mapping[str, int]
    shortfall_tokens: int


def prefer_data(
    items: Sequence[PreferenceItem],
    corpus: Corpus,
    pools: Mapping[AnchorName, AnchorPool],
    recipe: Recipe,
    count_tokens: CountTokens,
    scratch: Path,
    *,
    resampled: Sequence[PreferenceExample] = (),
) -> PreferenceText:
    """Write the text of these items, of anchors and of frozen prompts; the same input and seed give the same bytes.

    Args:
        count_tokens: trained tokens of an example's turns, as for the mixture; an answer that does not fit counts 0.
        resampled: training pairs with text of their own (pipelines.feedback.verifiers), in the place of the bad answer they came from.

    Raises:
        DataError: a message no longer exists, or a pool that the recipe asks for is missing.
        Cancelled: a person was erased meanwhile.
    """
    rule = recipe.preference or Preference()
    folder = scratch / "preference"
    folder.mkdir(mode=0o700, exist_ok=True)
    shares = _shares(recipe)
    texts = {part: _examples(items, part, corpus) for part in _PARTS}
    train = with_resampled(list(texts["train"]), resampled)
    answers = sum(_answer_tokens(example, count_tokens) for example in train)
    drawn, missing = draw_anchors(pools, recipe, rule.anchors * answers, count_tokens)
    lists: dict[str, Iterable[Record]] = {
        "train": train,
        "dev": texts["dev"],
        "heldout": texts["heldout"],
        "anchors": [_repeatable(name, anchor, place) for place, (name, anchor) in enumerate(drawn)],
        "frozen": frozen_prompts({name: _pool(pools, name) for name in shares}, rule.probes * len(shares)),
    }
    paths = {name: folder / f"{name}.jsonl" for name in lists}
    counts = {name: write_records(paths[name], records) for name, records in lists.items()}
    return PreferenceText(
        train=paths["train"],
        dev=paths["dev"],
        heldout=paths["heldout"],
        anchors_file=paths["anchors"],
        frozen=paths["frozen"],
        sha256=hashlib.sha256("".join(sha256_of(path) for path in paths.values()).encode()).hexdigest(),
        counts=counts,
        sources=dict(sorted(Counter(example.source for example in train).items())),
        answer_tokens=answers,
        anchor_tokens=sum(count_tokens(anchor.trained_turns) for _, anchor in drawn),
        anchors=dict(sorted(Counter(f"{name}/{anchor.family}" for name, anchor in drawn).items())),
        shortfall_tokens=missing,
    )


def draw_anchors(
    pools: Mapping[AnchorName, AnchorPool], recipe: Recipe, tokens: float, count_tokens: CountTokens
) -> tuple[list[tuple[AnchorName, Anchor]], int]:
    """About `tokens` of anchors in the mixture's proportions, evenly over families, and how many tokens are short.

    Each at most `max_repeats` times. From the train slice only: the dev slice is what is watched.
    """
    shares = _shares(recipe)
    drawn: list[tuple[AnchorName, Anchor]] = []
    missing = 0
    for name, share in shares.items():
        train, _ = _pool(pools, name).split()
        counts = {anchor.id: count_tokens(anchor.trained_turns) for anchor in train}
        wanted = tokens * share / sum(shares.values())
        pool = [Countable(anchor.id, anchor.family, counts[anchor.id]) for anchor in train if counts[anchor.id] > 0]
        chosen = repeated_draw(pool, wanted, recipe.mixture.max_repeats, recipe.train.seed)
        short = wanted - sum(counts[id] for id in chosen)
        missing += round(short) if short > max(counts.values(), default=0) else 0
        by_id = {anchor.id: anchor for anchor in train}
        drawn += [(name, by_id[id]) for id in chosen]
    return sorted(drawn, key=lambda one: _rank(recipe.train.seed, f"{one[0]}/{one[1].id}")), missing


def preference_examples(items: Sequence[PreferenceItem], corpus: Corpus) -> Iterator[PreferenceExample]:
    """The items with their text, in order; fetched a few hundred at a time."""
    for start in range(0, len(items), _ITEMS_AT_A_TIME):
        group = items[start : start + _ITEMS_AT_A_TIME]
        texts = corpus.texts(list(dict.fromkeys(key for item in group for key in _keys(item))))
        for item in group:
            yield _with_text(item, texts)


def with_resampled(
    train: Iterable[PreferenceExample], resampled: Sequence[PreferenceExample]
) -> list[PreferenceExample]:
    """The training examples with the resampled pairs in the place of the bad answers they came from."""
    pairs = {pair.id: pair for pair in resampled}
    return [pairs.get(example.id, example) for example in train]


def _examples(items: Sequence[PreferenceItem], part: Part, corpus: Corpus) -> Iterator[PreferenceExample]:
    return preference_examples(sorted((item for item in items if item.part == part), key=lambda item: item.id), corpus)


def _keys(item: PreferenceItem) -> list[MessageKey]:
    answers = [key for key in (item.chosen, item.rejected) if key is not None]
    return [*(turn.key for turn in item.prompt), *answers]


def _with_text(item: PreferenceItem, texts: Mapping[MessageKey, Body]) -> PreferenceExample:
    try:
        chosen, rejected = (texts[key].turn("assistant", True) if key else None for key in (item.chosen, item.rejected))
        return PreferenceExample(
            id=item.id,
            kind=item.kind,
            source=item.source,
            topic=item.topic,
            weight=item.weight,
            prompt=tuple(texts[turn.key].turn(turn.role) for turn in item.prompt),
            chosen=chosen,
            rejected=rejected,
        )
    except KeyError as error:
        raise DataError(f"preference {item.id} needs {error.args[0]}, which no longer exists") from error


def _answer_tokens(example: PreferenceExample, count_tokens: CountTokens) -> int:
    return sum(count_tokens([*example.prompt, answer]) for answer in example.answers)


def _shares(recipe: Recipe) -> dict[AnchorName, float]:
    """The anchor kinds that the mixture asks for, with their shares."""
    return {name: share for name, share in recipe.mixture.anchors.items() if share > 0}


def _pool(pools: Mapping[AnchorName, AnchorPool], name: AnchorName) -> AnchorPool:
    if name not in pools:
        raise DataError(f"the recipe asks for {name} anchors, but there is no pool {name}.jsonl")
    return pools[name]


def _repeatable(name: AnchorName, anchor: Anchor, place: int) -> Example:
    """An anchor as an example; `place` tells repeats apart."""
    return Example(id=f"{name}/{anchor.id}/{place}", source=name, turns=anchor.trained_turns)


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
