"""Held-out answers: how likely a model finds them, and how near its own greedy answers come (ROUGE).

ROUGE with tokens for Korean too: Latin words and numbers are tokens, and so is each Hangul syllable, because particles
and endings would otherwise hide every shared stem.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pipelines.answer_span import answer_span
from pipelines.chat import find_masked
from pipelines.errors import DataError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt
from pipelines.languages import all_letters, compiled
from pipelines.messages import as_messages, with_reasoning
from pipelines.recipe import HELDOUT, Metric
from pipelines.records import Example, Record, Turn
from pipelines.suites.prompts import prompt_ids, template_of
from pipelines.suites.scores import HELDOUT_METRICS, BaselineName, ItemScore, SuiteScores
from pipelines.text import fold

MAX_ANSWER_TOKENS = 256


class HeldoutItem(Record):
    """A well-rated example of the held-out part.

    Attributes:
        fresh: the champion's lineage has not seen its like.
        own: the baselines one of which wrote the answer.
        stratum: the language and topic that reports group it by.
    """

    example: Example
    fresh: bool
    cluster: str = ""
    stratum: str = ""
    own: tuple[BaselineName, ...] = ()


class AnswerScores(Record):
    """One held-out answer under one model: log-likelihood in nats over `tokens`, ROUGE F1 of the greedy answer."""

    loglikelihood: float
    tokens: int
    rouge1: float
    rouge2: float
    rougeL: float


def heldout_items(examples: Sequence[Example], clusters: Mapping[str, str] | None = None) -> tuple[HeldoutItem, ...]:
    """Held-out items of these examples; those of source `replay` are older data. `clusters` goes by example id."""
    named = clusters or {}
    return tuple(
        HeldoutItem(example=example, fresh=example.source != "replay", cluster=named.get(example.id, ""))
        for example in examples
    )


def score_heldout(
    scorer: GGUFScorer, items: Sequence[HeldoutItem], scored: Callable[[], None], max_tokens: int = MAX_ANSWER_TOKENS
) -> list[SuiteScores]:
    """One SuiteScores per metric of the suite `heldout`; items that the model cannot read whole are left out.

    Left out are the same items for every model with the same tokenizer and context, so pairs stay pairs.
    """
    references = [_reference(scorer, item.example) for item in items]
    likely = [(item, one, _loglikelihood(scorer, one)) for item, one in zip(items, references, strict=True) if one]
    for _ in range(len(items) - len(likely)):
        scored()
    prompts = [_prompt(scorer, one, max_tokens) for _, one, _ in likely]
    answers = scorer.write_all(prompts, scored)
    measured = [
        (item, _answer_scores(one, loglikelihood, answer.text))
        for (item, one, loglikelihood), answer in zip(likely, answers, strict=True)
    ]
    return [_by_metric(metric, measured) for metric in HELDOUT_METRICS] if measured else []


def score_answer(scorer: GGUFScorer, example: Example, max_tokens: int = MAX_ANSWER_TOKENS) -> AnswerScores | None:
    """The scores of the example's last trained answer, or None if chat and answer exceed what the model reads.

    The end-of-turn marker counts as a token of the answer, as it does in training; words that stand for others do not.
    """
    reference = _reference(scorer, example)
    if reference is None:
        return None
    loglikelihood = _loglikelihood(scorer, reference)
    return _answer_scores(reference, loglikelihood, scorer.write_all([_prompt(scorer, reference, max_tokens)])[0].text)


class _Reference(NamedTuple):
    """A held-out answer in tokens, with the prompt before it; `counted` says which tokens are scored."""

    turn: Turn
    prompt: list[int]
    answer: list[int]
    counted: list[bool]


def _reference(scorer: GGUFScorer, example: Example) -> _Reference | None:
    context, turn = split_reference(example)
    prompt = prompt_ids(scorer, context)
    answer = scorer.tokenize(answer_piece(scorer, context, turn))
    if not answer or len(prompt) + len(answer) >= scorer.max_length:
        return None
    counted = scorer.unmasked(answer, turn.masked)
    return _Reference(turn, prompt, answer, counted) if any(counted) else None


def _loglikelihood(scorer: GGUFScorer, reference: _Reference) -> float:
    return scorer.loglikelihood(reference.prompt, reference.answer, reference.counted)[0]


def _prompt(scorer: GGUFScorer, reference: _Reference, max_tokens: int) -> Prompt:
    return Prompt(reference.prompt, min(max_tokens, scorer.max_length - len(reference.prompt)))


def _answer_scores(reference: _Reference, loglikelihood: float, written: str) -> AnswerScores:
    masked = reference.turn.masked
    overlap = rouge(*(without_masked(text, masked) for text in (reference.turn.content, written)))
    return AnswerScores(loglikelihood=loglikelihood, tokens=sum(reference.counted), **overlap)


def split_reference(example: Example) -> tuple[tuple[Turn, ...], Turn]:
    """The turns before the last trained assistant turn, and that turn; raises DataError if there is none."""
    for index in range(len(example.turns) - 1, -1, -1):
        if example.turns[index].role == "assistant" and example.turns[index].trained:
            return example.turns[:index], example.turns[index]
    raise DataError(f"held-out example {example.id} has no answer that may be compared: no trained assistant turn")


def answer_piece(scorer: GGUFScorer, context: Sequence[Turn], reference: Turn) -> str:
    """The answer with its end-of-turn marker, as the template writes it after the chat so far."""
    chat = as_messages(with_reasoning((*context, reference), "last"))
    span = answer_span(template_of(scorer), chat, escape=scorer.escape, stops=scorer.stops)
    return span.skipped + span.answer


def without_masked(text: str, masked: Sequence[str]) -> str:
    """The text without the words that stand for others."""
    for start, end in reversed(find_masked(text, masked)):
        text = f"{text[:start]} {text[end:]}"
    return text


def rouge(reference: str, written: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F1, from 0 to 1; 0 where either text has no such unit (Lin 2004, ACL W04-1013).

    The same numbers as the rouge-score package gives for these tokens, without its imports of two seconds.
    """
    wanted, answer = rouge_tokens(reference), rouge_tokens(written)
    pairs = [list(zip(tokens, tokens[1:], strict=False)) for tokens in (wanted, answer)]
    return {
        "rouge1": _f1((Counter(wanted) & Counter(answer)).total(), len(wanted), len(answer)),
        "rouge2": _f1((Counter(pairs[0]) & Counter(pairs[1])).total(), len(pairs[0]), len(pairs[1])),
        "rougeL": _f1(_common_subsequence(wanted, answer), len(wanted), len(answer)),
    }


def rouge_tokens(text: str) -> list[str]:
    """Lower-case words and numbers; texts of a language whose units are characters fall into those (Hangul: syllables)."""
    apart = all_letters(lambda language: language.units == "characters")
    token = compiled(rf"[{apart}]|[^\W{apart}]+" if apart else r"\w+")
    return token.findall(fold(text, "NFKC_casefold"))


def _f1(shared: int, wanted: int, length: int) -> float:
    return 2 * shared / (wanted + length) if shared else 0.0


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time as bits (Hyyrö 2004)."""
    places: dict[str, int] = defaultdict(int)
    for position, token in enumerate(first):
        places[token] |= 1 << position
    every = (1 << len(first)) - 1
    row = every
    for token in second:
        matched = row & places.get(token, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(first) - row.bit_count()


def _by_metric(metric: Metric, measured: Sequence[tuple[HeldoutItem, AnswerScores]]) -> SuiteScores:
    items = tuple(
        ItemScore(
            id=item.example.id,
            value=_value(answer, metric),
            cluster=item.cluster,
            fresh=item.fresh,
            stratum=item.stratum,
            own=item.own,
        )
        for item, answer in measured
    )
    return SuiteScores(suite=HELDOUT, metric=metric, items=items)


def _value(answer: AnswerScores, metric: Metric) -> float:
    if metric == "perplexity":
        return answer.loglikelihood / answer.tokens
    return float(getattr(answer, metric))
