"""What a round's stages work with, made once from the recipe: tokenizer, suites, anchor pools, measurements."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from pipelines.artifacts import digest_of, read_records, sha256_of
from pipelines.chat import render
from pipelines.context import Baseline, RoundContext, base_folder
from pipelines.errors import RecipeError
from pipelines.feedback.cohort import Cohort
from pipelines.gate.decide import check_floors
from pipelines.isolated import run_in_child
from pipelines.mixture.anchors import AnchorName, AnchorPool, load_pools, without_contaminated
from pipelines.mixture.text import MixedText
from pipelines.recipe import GUARD_SUITE, Preference, Recipe
from pipelines.records import Corpus, Example, Part, PreferenceItem, ServedForm, SnapshotItem, Turn
from pipelines.stages.evaluate import Measurement, choose_form, measure_models
from pipelines.stages.prefer import Prefer, greedy_answers
from pipelines.stages.snapshot import Selector, open_selector
from pipelines.suites.scores import HELDOUT, ModelScores
from pipelines.tokenizer import ChatTokenizer, as_messages, check_policy

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
MAX_AGREEMENT_PROMPTS = 300
_MERGE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Tools:
    """Everything that the stages need besides data. `pool_digest` says when the mixture must be made again."""

    recipe: Recipe
    context: RoundContext
    base: Path
    tokenizer: ChatTokenizer
    suites: Path
    selector: Selector
    pools: Mapping[AnchorName, AnchorPool]
    pool_digest: str

    @property
    def count_trained(self) -> Callable[[Sequence[Turn]], int]:
        return partial(self.tokenizer.count_trained, max_tokens=self.recipe.train.max_tokens)

    @property
    def preference_rule(self) -> Preference:
        """The recipe's preference section; without one there is no such stage."""
        return self.recipe.preference or Preference(method="none")

    def gate_items(self, items: Sequence[SnapshotItem], corpus: Corpus) -> Measurement:
        """What the gate is decided on: the suites' gate items and answers of the heldout part."""
        rule = self.recipe.evaluate
        held = held_out_examples(items, corpus, "heldout", rule.heldout if HELDOUT in rule.suites else 0)
        people = {item.conversation: item.person for item in items}
        clusters = {example.id: people[example.id] for example in held}
        return Measurement(suites=rule.suites, items=rule.items, heldout=held, clusters=clusters)

    def hold_to_floors(self, origin: Baseline, gate_items: Measurement, out: Path) -> None:
        """Raise RecipeError if a gate has an absolute floor that the origin itself misses."""
        floors = tuple(dict.fromkeys(rule.suite for rule in self.recipe.gates if rule.floor is not None))
        if floors:
            asked = gate_items.model_copy(update={"suites": floors})
            scores = self._measure({"origin": origin.form}, asked, out, "origin")
            check_floors(scores["origin"], self.recipe.gates)

    def best_on_dev(
        self, forms: Sequence[ServedForm], origin: Baseline, items: Sequence[SnapshotItem], corpus: Corpus, out: Path
    ) -> int:
        """The position of the form to export, by dev items and answers of the dev part alone."""
        rule = self.recipe.evaluate
        dev = Measurement(
            suites=(*(suite for suite in rule.suites if suite not in (HELDOUT, GUARD_SUITE)), HELDOUT),
            split="dev",
            items=rule.dev_items,
            heldout=held_out_examples(items, corpus, "dev", rule.dev_items),
        )
        named = {f"scale {number}": form for number, form in enumerate(forms)}
        scores = self._measure({"origin": origin.form} | named, dev, out, "export")
        return choose_form(scores["origin"], [scores[name] for name in named])

    def training_base(self, scratch: Path) -> Path:
        """What is trained on: the origin, or for `sequential` the origin with the champion's adapters folded in."""
        if self.recipe.lineage == "from_origin" or not self.context.lineage:
            return self.base
        merged = scratch / "base"
        if not merged.is_dir():
            adapters = [adapter.model_dump() for adapter in self.context.lineage]
            asked = {"base": str(self.base), "out": str(merged), "adapters": adapters}
            run_in_child("pipelines.stages.lineage:fold_here", asked, timeout_seconds=_MERGE_SECONDS)
        return merged

    def preference(
        self, items: Sequence[PreferenceItem], corpus: Corpus, champion: Baseline, scratch: Path, cohort: Cohort | None
    ) -> Prefer:
        """The preference step; a recipe without a section of that name leaves it out."""
        claims = self.suites / "sycophancy" / "claims.jsonl"
        return Prefer(
            recipe=self.recipe,
            rule=self.preference_rule,
            items=items,
            corpus=corpus,
            pools=self.pools,
            count_tokens=self.count_trained,
            scratch=scratch,
            claims=claims if claims.is_file() else None,
            sample=partial(greedy_answers, champion.form),
            cohort=cohort if self.recipe.select.feedback.cohort_check else None,
        )

    def prompts(self, text: MixedText) -> list[str]:
        """Rendered prompts on which an export is compared with what was trained: dev examples, then training ones."""
        rendered: dict[str, None] = {}
        for path in (text.dev, text.train):
            for example in read_records(path, Example):
                if len(rendered) >= MAX_AGREEMENT_PROMPTS:
                    return list(rendered)
                turns = as_messages(example.turns)
                last = max(place for place, turn in enumerate(turns) if turn["role"] == "assistant")
                rendered[render(self.tokenizer.template, turns[:last], generate=True, **self.tokenizer.named)] = None
        return list(rendered)

    def _measure(
        self, forms: Mapping[str, ServedForm], asked: Measurement, out: Path, stage: str
    ) -> Mapping[str, ModelScores]:
        return measure_models(forms, asked, out, suites=self.suites, cache=self.context.scores, stage=stage)


def gather_tools(recipe: Recipe, context: RoundContext) -> Tools:
    """The tools of a round.

    Raises:
        RecipeError: the recipe has no gates.
        ModelError, SuiteError, DataError: the base, a suite or an anchor pool is missing or malformed, or the base is
            not the kind of model that `base.policy` says.
    """
    if not recipe.gates:
        raise RecipeError(f"the recipe '{recipe.name}' has no gates, so nothing could judge its candidate; add `gates`")
    data = context.project / "data"
    base = base_folder(recipe, context.project)
    for warning in check_policy(recipe.base, base):
        _log.warning("base_policy", recipe=recipe.name, why=warning)
    selector = open_selector(recipe, context.project)
    return Tools(
        recipe=recipe,
        context=context,
        base=base,
        tokenizer=ChatTokenizer(base),
        suites=data / "suites",
        selector=selector,
        pools=without_contaminated(load_pools(data / "general"), selector.find_contaminated),
        pool_digest=digest_of({path.name: sha256_of(path) for path in sorted((data / "general").glob("*.jsonl"))}),
    )


def held_out_examples(items: Sequence[SnapshotItem], corpus: Corpus, part: Part, count: int) -> tuple[Example, ...]:
    """At most `count` examples of a part that is kept apart, always the same ones; half of them new where there are.

    Raises Cancelled if a person among them was erased after the snapshot.
    """
    held = sorted((item for item in items if item.outcome == "held_out" and item.part == part), key=_rank)
    new = [item for item in held if item.source == "new"]
    older = [item for item in held if item.source == "replay"]
    chosen = new[: max(count - len(older), (count + 1) // 2)]
    chosen += older[: count - len(chosen)]
    texts = corpus.texts([turn.key for item in chosen for turn in item.turns])
    return tuple(
        Example(
            id=item.conversation,
            source=item.source or "new",
            turns=tuple(Turn(role=turn.role, content=texts[turn.key], trained=turn.trained) for turn in item.turns),
        )
        for item in chosen
    )


def _rank(item: SnapshotItem) -> str:
    return hashlib.sha256(item.conversation.encode()).hexdigest()
