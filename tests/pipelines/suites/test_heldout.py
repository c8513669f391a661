"""Held-out answers on a real GGUF; ROUGE on texts whose overlap is known."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from pipelines.errors import DataError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.records import Example, ServedForm, Turn
from pipelines.suites.heldout import (
    heldout_items,
    rouge,
    rouge_tokens,
    score_answer,
    score_heldout,
    split_reference,
    without_masked,
)

QUESTION = Turn(role="user", content="벨모라의 수도는 어디인가요?")
ANSWER = Turn(role="assistant", content="벨모라의 수도는 타르신입니다.", trained=True)


def example(*turns: Turn, source: str = "new", key: str = "e1") -> Example:
    return Example(id=key, source=source, turns=turns)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scorer(served: ServedForm) -> GGUFScorer:
    return GGUFScorer(served)


def test_the_last_trained_answer_is_the_reference() -> None:
    disliked = Turn(role="assistant", content="no", trained=False)
    context, reference = split_reference(example(QUESTION, ANSWER, QUESTION, disliked))
    assert (context, reference) == ((QUESTION,), ANSWER)
    with pytest.raises(DataError, match="e1 has no answer"):
        split_reference(example(QUESTION, disliked))


def test_the_likelihood_is_that_of_the_answer_and_its_end_marker(scorer: GGUFScorer) -> None:
    scores = score_answer(scorer, example(QUESTION, ANSWER))
    assert scores is not None
    head = f"<|im_start|>user\n{QUESTION.content}<|im_end|>\n<|im_start|>assistant\n"
    whole = scorer.tokenize(head + ANSWER.content + "<|im_end|>")
    expected = scorer.log_probabilities(whole)[-scores.tokens :].sum()
    assert scores.loglikelihood == pytest.approx(expected, abs=0.05)


def test_words_that_stand_for_others_are_not_scored(scorer: GGUFScorer) -> None:
    text = "Dear Kelly, the capital is Tarsin. Yours, Kelly"
    plain, masked = (
        score_answer(scorer, example(QUESTION, Turn(role="assistant", content=text, trained=True, masked=words)))
        for words in ((), ("Kelly",))
    )
    assert plain is not None and masked is not None
    ids = scorer.tokenize(f"{text}<|im_end|>")
    counted = scorer.unmasked(ids, ["Kelly"])
    assert masked.tokens == sum(counted) < plain.tokens and masked.loglikelihood > plain.loglikelihood
    assert rouge(*(without_masked(one, ["Kelly"]) for one in (text, "Dear Kelly"))) == rouge(
        "Dear , the capital is Tarsin. Yours,", "Dear"
    )


def test_an_ignorant_model_is_as_perplexed_as_its_vocabulary(scorer: GGUFScorer) -> None:
    scores = score_answer(scorer, example(QUESTION, ANSWER))
    assert scores is not None and math.exp(-scores.loglikelihood / scores.tokens) == pytest.approx(512, rel=0.5)


def test_every_metric_comes_per_item_with_its_age_and_cluster(scorer: GGUFScorer) -> None:
    examples = [example(QUESTION, ANSWER, key="a"), example(QUESTION, ANSWER, source="replay", key="b")]
    done: list[int] = []
    scores = score_heldout(
        scorer, heldout_items(examples, {"a": "c1", "b": "c1"}), lambda: done.append(1), max_tokens=8
    )
    assert [entry.metric for entry in scores] == ["rougeL", "rouge1", "rouge2", "perplexity"]
    assert [(item.id, item.fresh, item.cluster) for item in scores[0].items] == [("a", True, "c1"), ("b", False, "c1")]
    assert len(done) == 2


def test_a_chat_that_the_model_cannot_read_whole_is_left_out(scorer: GGUFScorer) -> None:
    endless = Turn(role="user", content="word " * 3000)
    assert score_answer(scorer, example(endless, ANSWER)) is None


@pytest.mark.parametrize(
    ("reference", "written", "rouge1", "rouge2", "rouge_l"),
    [
        ("The cat sat.", "the cat sat", 1, 1, 1),
        ("the cat sat on the mat", "the mat", 0.5, 1 / 3, 0.5),
        ("수도는 타르신입니다", "수도는 타르신이에요", 2 * 6 / 18, 2 * 5 / 16, 2 * 6 / 18),
        ("타르신", "Tarsin", 0, 0, 0),
        ("a", "", 0, 0, 0),
    ],
)
def test_rouge_equals_the_overlap_by_hand(
    reference: str, written: str, rouge1: float, rouge2: float, rouge_l: float
) -> None:
    assert rouge(reference, written) == pytest.approx({"rouge1": rouge1, "rouge2": rouge2, "rougeL": rouge_l})


@given(st.lists(st.sampled_from("abcde"), max_size=30), st.lists(st.sampled_from("abcde"), max_size=30))
@settings(max_examples=60, deadline=None)
def test_rouge_equals_the_reference_package(first: list[str], second: list[str]) -> None:
    package = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(" ".join(first), " ".join(second))
    ours = rouge(" ".join(first), " ".join(second))
    assert ours == pytest.approx({name: score.fmeasure for name, score in package.items()})


def test_korean_falls_into_syllables_and_latin_into_words() -> None:
    assert rouge_tokens("API를 1.5배, Café!") == ["api", "를", "1", "5", "배", "café"]
