"""The preference step of a round: which loss, on what, and the training itself where there is enough to learn from.

preferences.jsonl of the snapshot ──> method ──> fresh answers to bad ones, where a verifier can tell ──> text in scratch
SFT adapter (the reference) ────────────────────────────────────────────────────────────────> train ──> adapter
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_records
from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.launch import prefer
from pipelines.context import Baseline, StageContext
from pipelines.feedback.cohort import Cohort
from pipelines.feedback.method import Choice, choose_method
from pipelines.feedback.verifiers import resampled_pairs, verify
from pipelines.isolated import run_in_child
from pipelines.mixture.anchors import AnchorName, AnchorPool, Pools
from pipelines.mixture.preference_text import PreferenceText, prefer_data, preference_examples, with_resampled
from pipelines.recipe import Preference, Recipe
from pipelines.records import Corpus, PreferenceExample, PreferenceItem, Record, ServedForm, Turn
from pipelines.stages import snapshot, train
from pipelines.stages.cohort_check import CohortCheck, check_cohort
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.lineage import TrainingBase
from pipelines.tokenizer import ChatTokenizer

_SAMPLE_TOKENS = 256
_SAMPLE_SECONDS = 6 * 3600.0


class Preferred(Record):
    """How the step ended. `trained` is None where it was left out; `resampled` pairs came from fresh answers.

    `replaced` are the bad answers (message ids) of these pairs: the votes on them were used, whatever the snapshot said.
    `text_sha256` is of the text that was learnt from and that the gate measures on; `cohort` is set where the recipe asks.
    """

    choice: Choice
    resampled: int = 0
    replaced: tuple[str, ...] = ()
    text_sha256: str = ""
    anchors: Mapping[str, int] = {}
    trained: PreferOutput | None = None
    cohort: CohortCheck | None = None


Output = Preferred


class Input(Record):
    """What is learnt from thumbs, on top of what.

    Attributes:
        trained: whose adapter is the reference, on the weights of `base`.
        claims: wrong claims that the stop rules watch, None for none.
        sampled: the model whose fresh answers may take the place of bad ones.
    """

    recipe: Recipe
    snapshot: Finished[snapshot.Output]
    trained: Finished[train.Output]
    base: TrainingBase
    pools: Keyed[Pools]
    claims: Keyed[Path] | None
    sampled: Keyed[Baseline]


def run(input: Input, out: Path, context: StageContext) -> Output:
    """Train on top of the SFT adapter, or say why not; a recipe without a preference section leaves it out.

    Raises as `Prefer.run` does.
    """
    recipe = input.recipe
    cohort = input.snapshot.output.feedback.cohort if recipe.select.feedback.cohort_check else None
    work = Prefer(
        recipe=recipe,
        rule=recipe.preference or Preference(method="none"),
        items=snapshot.preferences_of(input.snapshot),
        corpus=context.corpus,
        pools=input.pools.value,
        count_tokens=partial(
            ChatTokenizer(input.base.base.value, recipe.chat).count_trained, max_tokens=recipe.train.max_tokens
        ),
        scratch=context.scratch,
        claims=input.claims.value if input.claims else None,
        sample=partial(greedy_answers, input.sampled.value.form),
        cohort=cohort,
    )
    return work.run(lambda: input.base.folder(context), weights_of(input.trained), out, context.still_ours)


def weights_of(trained: Finished[train.Output], preferred: Finished[Output] | None = None) -> Path:
    """The folder of the newest adapter (or whole model): that of the preference stage where it trained."""
    if preferred is not None and preferred.output.trained is not None:
        return preferred.folder / preferred.output.trained.weights
    return trained.folder / trained.output.weights


@dataclass(frozen=True)
class Prefer:
    """What the step works with. `cohort` is left out once more.

    `sample` gives the champion's greedy answers to prompts, None for one that did not come to its end.
    """

    recipe: Recipe
    rule: Preference
    items: Sequence[PreferenceItem]
    corpus: Corpus
    pools: Mapping[AnchorName, AnchorPool]
    count_tokens: Callable[[Sequence[Turn]], int]
    scratch: Path
    claims: Path | None
    sample: Callable[[Sequence[Sequence[Turn]]], Sequence[str | None]]
    cohort: Cohort | None = None

    def run(self, base: Callable[[], Path], adapter: Path, out: Path, still_ours: Callable[[], None]) -> Preferred:
        """Train on top of the SFT `adapter`, or say why not. `base` is called only where there is something to learn.

        Raises:
            RecipeError: `train.method: full` has no adapter to prefer with. TrainingError, Cancelled: see prefer.
        """
        choice = choose_method(self.items, self.rule)
        if choice.method == "none":
            return Preferred(choice=choice)
        resampled = self._resample()
        text = self.text(resampled)
        request = PreferRequest(
            base=base(),
            base_name=self.recipe.base.model,
            chat=self.recipe.chat,
            train=self.recipe.train,
            preference=self.rule,
            method=choice.method,
            adapter=adapter,
            train_file=text.train,
            dev_file=text.dev if text.counts["dev"] else None,
            anchors_file=text.anchors_file if text.counts["anchors"] else None,
            frozen_file=text.frozen,
            claims_file=self.claims,
        )
        trained = prefer(request, out, still_ours)
        checked = self.cohort and check_cohort(
            self.cohort, self.items, request, trained, partial(self._write_train, resampled), out, still_ours
        )
        return Preferred(
            choice=choice,
            resampled=len(resampled),
            replaced=self._replaced(resampled),
            text_sha256=text.sha256,
            anchors=text.anchors,
            trained=trained,
            cohort=checked,
        )

    def text(self, resampled: Sequence[PreferenceExample] = ()) -> PreferenceText:
        """The text of everything that the step and its measurement read, in scratch."""
        return prefer_data(
            self.items, self.corpus, self.pools, self.recipe, self.count_tokens, self.scratch, resampled=resampled
        )

    def _write_train(self, resampled: Sequence[PreferenceExample], items: Sequence[PreferenceItem]) -> Path:
        """The text of the training items among these, fresh answers included, in a file of its own in scratch."""
        path = self.scratch / "preference" / "train-without.jsonl"
        train = [item for item in items if item.part == "train"]
        write_records(path, with_resampled(preference_examples(train, self.corpus), resampled))
        return path

    def _replaced(self, resampled: Sequence[PreferenceExample]) -> tuple[str, ...]:
        pairs = {pair.id for pair in resampled}
        return tuple(item.rejected.message for item in self.items if item.id in pairs and item.rejected)

    def _resample(self) -> list[PreferenceExample]:
        """Pairs of the champion's fresh answers over bad ones, where a verifier can tell which is right and both fit."""
        lone = [item for item in self.items if item.part == "train" and item.kind == "labelled" and not item.good]
        downs = [
            one
            for one in preference_examples(lone, self.corpus)
            if one.rejected and not one.rejected.tool_calls and verify(one.prompt, one.rejected.content) is False
        ]
        if not downs:
            return []
        answers = self.sample([down.prompt for down in downs])
        whole = {down.id: said for down, said in zip(downs, answers, strict=True) if said is not None}
        return [pair for pair in resampled_pairs(downs, whole, verify) if self._fits(pair)]

    def _fits(self, pair: PreferenceExample) -> bool:
        return pair.chosen is not None and self.count_tokens([*pair.prompt, pair.chosen]) > 0


def greedy_answers(form: ServedForm, prompts: Sequence[Sequence[Turn]]) -> list[str | None]:
    """What a served form says to these prompts, from a child process; None for an answer cut off at 256 tokens."""
    request = {
        "form": form.model_dump(mode="json"),
        "max_tokens": _SAMPLE_TOKENS,
        "whole": True,
        "prompts": [[turn.model_dump(mode="json") for turn in prompt] for prompt in prompts],
    }
    answer: dict[str, Any] = run_in_child("pipelines.gguf.ask:answer_here", request, timeout_seconds=_SAMPLE_SECONDS)
    return list(answer["answers"])
