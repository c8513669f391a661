"""Scores as they pass from the scorer to the gate: ids and numbers, never text.

{"suite": "tiny_math", "metric": "exact_match",
 "items": [{"id": "math-0017", "value": 1.0, "cluster": "", "fresh": true}]}
"""

from collections.abc import Callable, Sequence
from math import exp, expm1
from typing import Literal

from pipelines.errors import SuiteError
from pipelines.recipe import Metric
from pipelines.records import Record
from pipelines.suites.probes import Probe

PERPLEXITY: Metric = "perplexity"
HELDOUT_METRICS: tuple[Metric, ...] = ("rougeL", "rouge1", "rouge2", "perplexity")
BaselineName = Literal["champion", "origin"]


class ItemScore(Record):
    """One item's score, higher is better: 0 or 1, a ROUGE F1, or for `perplexity` the mean log-likelihood in nats.

    Attributes:
        cluster: items of one cluster are not independent; empty when the item stands alone.
        fresh: the item comes from data that the champion's lineage has not seen (held-out answers and pairs only).
        stratum: the subject, topic or language that reports group it by.
        own: the baselines that wrote the answer which is asked for (held-out answers only).
    """

    id: str
    value: float
    cluster: str = ""
    fresh: bool = True
    stratum: str = ""
    own: tuple[BaselineName, ...] = ()


class SuiteScores(Record):
    """One model's scores on one suite by one metric, in the order of the items."""

    suite: str
    metric: Metric
    items: tuple[ItemScore, ...]

    @property
    def mean(self) -> float:
        """The mean score, a fraction (nats for `perplexity`)."""
        return sum(item.value for item in self.items) / len(self.items)


def shown_score(metric: str, mean: float) -> float:
    """A mean score as people read it: points from 0 to 100, or the perplexity of a mean in nats."""
    return exp(-mean) if metric == PERPLEXITY else 100 * mean


def shown_difference(metric: str, difference: float) -> float:
    """A difference of mean scores as people read it: points, or by how many percent a perplexity is lower."""
    return 100 * -expm1(-difference) if metric == PERPLEXITY else 100 * difference


class AnswerShape(Record):
    """How one answer to a language prompt looks.

    Attributes:
        foreign, third: shares of its letters that are not in the script of the prompt, that are in the script of no
            known language; 0 for an answer without letters, which is not `lettered`.
    """

    id: str
    foreign: float
    third: float
    gibberish: bool
    short: bool
    lettered: bool


class LanguageMeasure(Record):
    """How one model's answers to the language prompts look; shares from 0 to 1.

    Attributes:
        target: share of letters that are in the script of the prompt, mean over the answers that hold letters.
        third: share of letters that are in the script of no known language, mean over the answers.
        gibberish, short: shares of answers.
    """

    answers: int
    target: float
    third: float
    gibberish: float
    short: float


class LanguageScores(LanguageMeasure):
    """The same with every answer, for the gate; none in scores of earlier versions."""

    shapes: tuple[AnswerShape, ...] = ()

    @property
    def shares(self) -> LanguageMeasure:
        """The shares alone, for reports."""
        return LanguageMeasure.model_validate(self.model_dump(exclude={"shapes"}))


class PreferenceScore(Record):
    """One held-out preference under one model: log-probabilities in nats summed over so many answer tokens.

    The end-of-turn marker counts as a token. A labelled answer has only `chosen` or only `rejected`. `length` is that
    of the greedy answer, measured once per prompt that has a preferred answer; `capped` if that answer was cut off, so
    that it is longer than measured.
    """

    id: str
    chosen: float | None
    chosen_tokens: int
    rejected: float | None
    rejected_tokens: int
    length: int | None = None
    capped: bool = False
    cluster: str = ""

    @property
    def prefers(self) -> bool | None:
        """Of a pair: whether the model is likelier to give the preferred answer; None for a labelled answer."""
        return None if self.chosen is None or self.rejected is None else self.chosen > self.rejected


class PreferenceMeasure(Record):
    """How one model stands to what people preferred, and what the preference stop rules watch.

    Attributes:
        items: held-out preferences.
        claims, frozen: by prompt, 1 where the answer agrees with the wrong claim, where it refuses.
        kl: KL(champion || this model), nats per token, mean over `kl_positions` places of frozen answers.
    """

    items: tuple[PreferenceScore, ...]
    claims: tuple[ItemScore, ...]
    frozen: tuple[ItemScore, ...]
    kl: float | None = None
    kl_positions: int = 0

    def probe(self) -> Probe:
        """The numbers of the stop rules; None where there was nothing to measure."""
        preferred = [item for item in self.items if item.chosen is not None]
        answered = [item for item in preferred if item.length is not None]
        return Probe(
            chosen=_ratio(sum(item.chosen or 0.0 for item in preferred), sum(item.chosen_tokens for item in preferred)),
            length=_ratio(sum(item.length or 0 for item in answered), len(answered)),
            preferred_length=_ratio(sum(item.chosen_tokens for item in answered), len(answered)),
            kl=self.kl,
            refusals=_ratio(sum(item.value for item in self.frozen), len(self.frozen)),
            agreement=_ratio(sum(item.value for item in self.claims), len(self.claims)),
        )


class Cost(Record):
    """What serving a form costs on a few prompts, and log-likelihoods in nats by which two forms are told apart.

    Attributes:
        size_bytes: of its file, or of its two.
        answer_tokens: mean length of so many greedy answers, their end-of-turn marker counted.
        tokens_per_second: of all these answers side by side, while other models may be measured on the same machine.
    """

    size_bytes: int
    answers: int
    answer_tokens: float
    tokens_per_second: float
    probes: tuple[float, ...] = ()

    @property
    def sentence(self) -> str:
        """The figures in words."""
        said = f"{self.size_bytes / 1e6:,.1f} MB"
        if not self.answers:
            return said
        return f"{said}, answers of {self.answer_tokens:.1f} tokens, {self.tokens_per_second:.3g} tokens/s"


class ModelScores(Record):
    """Everything measured of one served form; `form` is its `form_digest`, equal for equal forms only."""

    form: str
    suites: tuple[SuiteScores, ...]
    language: LanguageScores | None = None
    preference: PreferenceMeasure | None = None
    cost: Cost | None = None

    def suite(self, name: str, metric: Metric | None = None) -> SuiteScores:
        """The scores on one suite; without a metric, the suite's first.

        Raises:
            SuiteError: this model was not measured on that suite by that metric.
        """
        for scores in self.suites:
            if scores.suite == name and metric in (None, scores.metric):
                return scores
        by = f" by {metric}" if metric else ""
        raise SuiteError(f"suite '{name}' was not measured{by}; measured: {_names(self.suites)}")


class GateInput(Record):
    """What the gate decides on. The champion may be the origin."""

    origin: ModelScores
    champion: ModelScores
    candidate: ModelScores
    attempt: int = 1
    max_attempts: int = 1

    def baseline(self, name: BaselineName) -> ModelScores:
        """The scores of the champion or of the origin."""
        return self.champion if name == "champion" else self.origin


def paired_values(
    candidate: SuiteScores, baseline: SuiteScores, *, asks: Callable[[ItemScore], bool] | None = None
) -> tuple[list[float], list[float], list[str]]:
    """Candidate's and baseline's values item by item, and their clusters; `asks` says of which items, None of all.

    Raises:
        SuiteError: the two were not measured on the same items in the same order.
    """
    if [item.id for item in candidate.items] != [item.id for item in baseline.items]:
        raise SuiteError(f"suite '{candidate.suite}': candidate and baseline were measured on different items")
    pairs = [
        (new.value, old.value, new.cluster or new.id)
        for new, old in zip(candidate.items, baseline.items, strict=True)
        if asks is None or asks(new)
    ]
    clusters = [cluster for _, _, cluster in pairs]
    return [new for new, _, _ in pairs], [old for _, old, _ in pairs], clusters


def _ratio(total: float, count: int) -> float | None:
    return total / count if count else None


def _names(suites: Sequence[SuiteScores]) -> str:
    return ", ".join(f"{scores.suite} ({scores.metric})" for scores in suites) or "nothing"
