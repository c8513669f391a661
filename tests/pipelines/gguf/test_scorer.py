"""Scores equal what the logits say, and depend on nothing but their item."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import GGUFError, InputError
from pipelines.gguf.runtime import Runtime
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.session import Session
from pipelines.gguf.writing import Prompt, Written
from tests.pipelines.gguf.conftest import merged_form

LETTERS = [32, 33, 34, 35]


@pytest.fixture
def scorer(q4_gguf: Path) -> Iterator[GGUFScorer]:
    with GGUFScorer(merged_form(q4_gguf)) as opened:
        yield opened


def tokens(count: int, seed: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, 470, count)]


def reference(path: Path, ids: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """log p of every next token, from one plain forward over all of them."""
    with Session(merged_form(path)) as session:
        rows = session.feed(ids).astype(np.float64)
    shifted = rows - rows.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize(("context", "continuation"), [(1, 1), (20, 1), (20, 7), (60, 90)])
def test_a_loglikelihood_is_the_sum_of_its_tokens(base_gguf: Path, context: int, continuation: int) -> None:
    ids = tokens(context + continuation)
    table = reference(base_gguf, ids)
    expected = sum(table[place - 1, ids[place]] for place in range(context, len(ids)))
    with GGUFScorer(merged_form(base_gguf)) as scorer:
        found, greedy = scorer.loglikelihood(ids[:context], ids[context:])
        parts = scorer.log_probabilities(ids)
    assert found == pytest.approx(expected, abs=0.02) and not greedy
    assert parts[context - 1 :].sum() == pytest.approx(expected, abs=0.02)


def test_what_greedy_decoding_writes_is_called_greedy(scorer: GGUFScorer) -> None:
    prompt = tokens(20)
    answer: list[int] = []
    for _ in range(4):
        logits = scorer.choice_logits(prompt + answer, range(470))
        answer.append(int(np.argmax(logits)))
    assert scorer.loglikelihood(prompt, answer)[1]
    assert not scorer.loglikelihood(prompt, [*answer[:-1], answer[-1] + 1])[1]


def test_choice_logits_rank_like_loglikelihoods(scorer: GGUFScorer) -> None:
    prompt = tokens(30)
    logits = scorer.choice_logits(prompt, LETTERS)
    chances = [scorer.loglikelihood(prompt, [letter])[0] for letter in LETTERS]
    np.testing.assert_allclose(np.subtract(chances, chances[0]), np.subtract(logits, logits[0]), atol=1e-5)


@pytest.mark.parametrize("length", [5, 255, 256, 257, 600])
def test_scores_do_not_depend_on_what_was_scored_before(scorer: GGUFScorer, q4_gguf: Path, length: int) -> None:
    shared, item = tokens(length), tokens(8, seed=1)
    with GGUFScorer(merged_form(q4_gguf)) as fresh:
        alone = fresh.loglikelihood(shared + item, LETTERS)
        text = fresh.generate(shared + item, 12)
    for other in (shared + tokens(9, seed=2), tokens(700, seed=3), shared[: length // 2] or [1]):
        scorer.choice_logits(other, LETTERS)
        scorer.generate(other, 3)
        assert scorer.loglikelihood(shared + item, LETTERS) == alone
        assert scorer.generate(shared + item, 12) == text


def test_scores_do_not_depend_on_the_number_of_threads(q4_gguf: Path) -> None:
    found = []
    for threads in (1, 2):
        with GGUFScorer(merged_form(q4_gguf), Runtime(threads=threads)) as scorer:
            found.append(scorer.choice_logits(tokens(90), LETTERS))
    assert found[0] == found[1]


def test_an_answer_does_not_depend_on_who_is_answered_beside_it(scorer: GGUFScorer, q4_gguf: Path) -> None:
    shared = tokens(300, seed=9)
    prompts = [Prompt(tokens(7 + 23 * place, seed=place), 3 + 2 * place) for place in range(20)]
    prompts += [Prompt(shared + tokens(4 + place, seed=place), 9) for place in range(4)]  # a chunk in common, copied
    together = scorer.write_all(prompts)
    backwards = scorer.write_all(prompts[::-1])[::-1]
    with GGUFScorer(merged_form(q4_gguf)) as fresh:
        alone = [fresh.write(*prompts[place]) for place in (0, 6, 19, 20, 22)]
    assert backwards == together and [together[place] for place in (0, 6, 19, 20, 22)] == alone
    assert len(set(together)) == len(prompts)


def test_answers_are_written_side_by_side_in_forwards_of_one_size(
    scorer: GGUFScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = sum(len(list(scorer.write_each([Prompt(tokens(9, seed=place), 8)]))) for place in range(3))
    sizes: list[int] = []
    decode = scorer._session._decode
    monkeypatch.setattr(
        scorer._session, "_decode", lambda: (sizes.append(scorer._session._batch.struct.n_tokens), decode())
    )
    scorer.write_all([Prompt(tokens(9, seed=place), 8) for place in range(20)])
    steps = [size for size in sizes if size != 9]
    assert alone == 3 and set(steps) == {16} and len(steps) <= 2 * 7


def test_a_stop_text_ends_an_answer_and_is_left_out(scorer: GGUFScorer) -> None:
    whole = scorer.generate(tokens(20), 24)
    mark = whole[5:8]
    assert scorer.generate(tokens(20), 24, [mark, "never"]) == whole[: whole.index(mark)]
    assert scorer.generate(tokens(20), 24, [""]) == whole


def test_an_answer_has_at_most_the_tokens_allowed(scorer: GGUFScorer) -> None:
    assert scorer.generate(tokens(20), 24).startswith(scorer.generate(tokens(20), 2).rstrip("\ufffd"))
    assert scorer.generate(tokens(20), 0) == ""


def test_an_answer_that_ran_into_the_limit_says_so(scorer: GGUFScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scorer.write(tokens(20), 2).cut
    whole = scorer.write(tokens(20), 24)
    assert whole.text == scorer.generate(tokens(20), 24)
    assert not scorer.write(tokens(20), 24, [whole.text[5:8]]).cut
    monkeypatch.setattr(scorer._session, "ends", lambda token: True)
    assert scorer.write(tokens(20), 24) == Written("", cut=False)


def test_too_long_an_item_is_refused_with_the_limit(scorer: GGUFScorer) -> None:
    assert scorer.max_length == 2048
    with pytest.raises(InputError, match="2048"):
        scorer.choice_logits(tokens(2049), LETTERS)
    with pytest.raises(InputError, match="2048"):
        scorer.generate(tokens(2040), 9)
    assert len(scorer.choice_logits(tokens(2048), LETTERS)) == 4


@pytest.mark.parametrize("call", ["scorer.loglikelihood([1], [])", "scorer.choice_logits([], [1])"])
def test_empty_items_are_refused(scorer: GGUFScorer, call: str) -> None:
    with pytest.raises(InputError, match="empty"):
        eval(call)


def test_a_scorer_refuses_a_file_that_changed(q4_gguf: Path) -> None:
    with pytest.raises(GGUFError, match="has changed"):
        GGUFScorer(merged_form(q4_gguf).model_copy(update={"sha256": "0" * 64}))


def test_the_fingerprint_names_everything_that_moves_scores(scorer: GGUFScorer) -> None:
    found = scorer.fingerprint()
    assert {"scorer", "llama_cpp_python", "library_sha256", "cpu", "threads", "chunk", "kv_type"} <= set(found)
    assert found["kv_type"] == "f16" and found["llama_cpp_python"] == "0.3.36"
