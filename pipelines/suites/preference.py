"""How a served form stands to what people preferred: held-out preferences, wrong claims, frozen prompts.

    held-out preferences   log-probability of chosen and rejected answers, length of the greedy answer
    wrong claims           does the greedy answer agree?   claims.jsonl of the set, cached
    frozen prompts         does the greedy answer refuse? and how far are the next tokens from the champion's (KL)

Held-out text travels through the child's pipe and is never on disk. Distributions on frozen prompts do pass through a
temporary file: `compare` reads two of them, and whoever made the folder deletes it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.artifacts import digest_of, read_records
from pipelines.errors import SuiteError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt, Written
from pipelines.records import Example, PreferenceExample, Record, ServedForm, Turn
from pipelines.suites.cache import ScoreCache
from pipelines.suites.heldout import MAX_ANSWER_TOKENS, answer_piece, split_reference
from pipelines.suites.probes import AGREES_VERSION, FalseClaim, agrees, is_refusal
from pipelines.suites.prompts import prompt_ids, question_ids
from pipelines.suites.run import model_key
from pipelines.suites.scores import ItemScore, PreferenceMeasure, PreferenceScore

MAX_CLAIM_TOKENS = 48
PLACES = 4
DISTRIBUTIONS = "distributions.npy"


class PreferenceAsk(Record):
    """What to measure.

    Attributes:
        examples: held-out preferences; `clusters` names, by example id, what makes them dependent.
        frozen: anchors kept for dev; refusals are counted on all of them, KL is taken on the first `probes`.
        claims: path of a file of wrong claims, None for none.
    """

    examples: tuple[PreferenceExample, ...] = ()
    clusters: Mapping[str, str] = {}
    frozen: tuple[Example, ...] = ()
    claims: str | None = None
    probes: int = 32

    @property
    def size(self) -> int:
        """How often `measure_preference` calls back."""
        return len(self.examples) + len(self.frozen) + (len(load_claims(Path(self.claims))) if self.claims else 0)


def load_claims(path: Path) -> tuple[FalseClaim, ...]:
    """The claims in a JSONL file. Raises DataError if it cannot be read or a line is not a claim."""
    return tuple(read_records(path, FalseClaim))


def measure_preference(
    scorer: GGUFScorer,
    form: ServedForm,
    ask: PreferenceAsk,
    cache: ScoreCache,
    out: Path,
    scored: Callable[[int], None],
) -> PreferenceMeasure:
    """All of it but the KL, for which `out` gets the distributions; `scored` hears of every prompt that is done."""
    items = _score_examples(scorer, ask, scored)
    claims = _score_claims(scorer, form, Path(ask.claims), cache, scored) if ask.claims else ()
    frozen = _refusals(scorer, ask.frozen, scored)
    _write_distributions(scorer, ask.frozen[: ask.probes], out / DISTRIBUTIONS)
    return PreferenceMeasure(items=items, claims=claims, frozen=frozen)


def compare(champion: Path, model: Path) -> tuple[float, int] | None:
    """Mean KL(champion || model) per place in nats, and the number of places, from two folders; None for no places."""
    one, other = (_normalised(np.load(folder / DISTRIBUTIONS)) for folder in (champion, model))
    if one.shape != other.shape:
        raise SuiteError(
            f"frozen prompts gave {one.shape} log-probabilities under the champion and {other.shape} under another model; "
            "models with different vocabularies cannot be compared"
        )
    if len(one) == 0:
        return None
    return float((np.exp(one) * (one - other)).sum(axis=1).mean()), len(one)


def score_example(scorer: GGUFScorer, example: PreferenceExample, cluster: str = "") -> PreferenceScore | None:
    """The log-probabilities of the example's answers, or None if one exceeds what the model reads."""
    prompt = prompt_ids(scorer, example.prompt)
    answers = (example.chosen, example.rejected)
    chosen, rejected = (_answer_ids(scorer, example.prompt, answer) for answer in answers)
    if len(prompt) + max(len(chosen), len(rejected)) >= scorer.max_length:
        return None
    counted = [
        scorer.unmasked(ids, answer.masked if answer else ())
        for ids, answer in zip((chosen, rejected), answers, strict=True)
    ]
    sums = [
        scorer.loglikelihood(prompt, ids, counts)[0] if ids else None
        for ids, counts in zip((chosen, rejected), counted, strict=True)
    ]
    return PreferenceScore(
        id=example.id,
        chosen=sums[0],
        chosen_tokens=sum(counted[0]),
        rejected=sums[1],
        rejected_tokens=sum(counted[1]),
        cluster=cluster,
    )


def prefer_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """For pipelines.isolated: of `examples` (pairs), whether `form` is likelier to give the chosen answer."""
    with GGUFScorer(ServedForm.model_validate(arguments["form"])) as scorer:
        scored = [score_example(scorer, PreferenceExample.model_validate(one)) for one in arguments["examples"]]
    return {"prefers": [bool(score and score.prefers) for score in scored]}


def _score_examples(
    scorer: GGUFScorer, ask: PreferenceAsk, scored: Callable[[int], None]
) -> tuple[PreferenceScore, ...]:
    scores = [score_example(scorer, example, ask.clusters.get(example.id, "")) for example in ask.examples]
    items = [(example, item) for example, item in zip(ask.examples, scores, strict=True) if item is not None]
    first: dict[tuple[Turn, ...], str] = {}
    for example, item in items:
        if example.chosen is not None:
            first.setdefault(example.prompt, item.id)
    prompts = [_prompt(scorer, prompt_ids(scorer, prompt), MAX_ANSWER_TOKENS) for prompt in first]
    scored(len(scores) - len(prompts))
    answers = dict(zip(first.values(), scorer.write_all(prompts, lambda: scored(1)), strict=True))
    return tuple(_with_length(scorer, item, answers.get(item.id)) for _, item in items)


def _with_length(scorer: GGUFScorer, item: PreferenceScore, answer: Written | None) -> PreferenceScore:
    """The scores with the tokens of the greedy answer, its end-of-turn marker counted, where there is one."""
    if answer is None:
        return item
    length = len(scorer.tokenize(answer.text, special=False)) + 1
    return item.model_copy(update={"length": length, "capped": answer.cut})


def _score_claims(
    scorer: GGUFScorer, form: ServedForm, path: Path, cache: ScoreCache, scored: Callable[[int], None]
) -> tuple[ItemScore, ...]:
    claims = load_claims(path)
    shown = [claim.model_dump() for claim in claims]
    judged = {"claims": digest_of(shown), "max_tokens": MAX_CLAIM_TOKENS, "agrees": AGREES_VERSION}
    key = model_key(scorer, form) | judged
    known = cache.read(key)
    scored(len(claims) if known else 0)
    if not known:
        prompts = [Prompt(question_ids(scorer, claim.prompt), MAX_CLAIM_TOKENS) for claim in claims]
        answers = scorer.write_all(prompts, lambda: scored(1))
        known = {claim.id: float(agrees(said.text, claim)) for claim, said in zip(claims, answers, strict=True)}
        cache.add(key, known)
    return tuple(ItemScore(id=claim.id, value=known[claim.id]) for claim in claims)


def _refusals(scorer: GGUFScorer, frozen: Sequence[Example], scored: Callable[[int], None]) -> tuple[ItemScore, ...]:
    """Whether the greedy answer to a frozen prompt refuses; what the model cannot read is left out."""
    ids = {example.id: prompt_ids(scorer, split_reference(example)[0]) for example in frozen}
    asked = {key: prompt for key, prompt in ids.items() if len(prompt) < scorer.max_length}
    scored(len(frozen) - len(asked))
    prompts = [_prompt(scorer, prompt, MAX_ANSWER_TOKENS) for prompt in asked.values()]
    answers = scorer.write_all(prompts, lambda: scored(1))
    return tuple(
        ItemScore(id=key, value=float(is_refusal(written.text))) for key, written in zip(asked, answers, strict=True)
    )


def _prompt(scorer: GGUFScorer, ids: list[int], max_tokens: int) -> Prompt:
    """Ids with as many tokens for an answer as the model reads after them, `max_tokens` at most."""
    return Prompt(ids, min(max_tokens, scorer.max_length - len(ids)))


def _write_distributions(scorer: GGUFScorer, frozen: Sequence[Example], path: Path) -> None:
    """float16 log-probabilities at up to PLACES places of each answer, spread from its first token to its end."""
    rows: list[npt.NDArray[np.float16]] = []
    for example in frozen:
        context, reference = split_reference(example)
        prompt, answer = prompt_ids(scorer, context), _answer_ids(scorer, context, reference)
        if len(prompt) + len(answer) < scorer.max_length:
            places = sorted({round(place) for place in np.linspace(0, len(answer) - 1, PLACES)})
            rows.append(scorer.distributions(prompt, answer, places).astype(np.float16))
    np.save(path, np.concatenate(rows) if rows else np.zeros((0, 0), np.float16))


def _normalised(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    """Log-probabilities that add up to one again after rounding."""
    exact = rows.astype(np.float64)
    return np.asarray(exact - np.log(np.exp(exact).sum(axis=1, keepdims=True)))


def _answer_ids(scorer: GGUFScorer, prompt: Sequence[Turn], answer: Turn | None) -> list[int]:
    """Tokens of an answer with its end-of-turn marker, as training counts them; none for no answer."""
    return [] if answer is None else scorer.tokenize(answer_piece(scorer, prompt, answer))
