"""Preferences measured on a real GGUF: likelihoods, lengths, refusals, agreement, and the KL between two forms."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts import sha256_of
from pipelines.errors import DataError, SuiteError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.records import Example, PreferenceExample, ServedForm, Turn
from pipelines.stages.evaluate import measure_models
from pipelines.stages.questions import Measurement
from pipelines.suites import preference
from pipelines.suites.cache import ScoreCache
from pipelines.suites.pairs import PairItem, PairSuite, count_pairs, score_pairs
from pipelines.suites.preference import (
    DISTRIBUTIONS,
    PreferenceAsk,
    compare,
    load_claims,
    measure_preference,
    score_example,
)
from pipelines.suites.scores import PreferenceMeasure, PreferenceScore
from tests.pipelines.backends.preferring import write_adapter

PROMPT = (Turn(role="user", content="벨모라의 수도는 어디인가요?"),)
PAIR = PreferenceExample(
    id="pair",
    kind="pair",
    source="siblings",
    topic="talk",
    prompt=PROMPT,
    chosen="It is Tarsin.",
    rejected="It is Osk, my secret friend.",
)
GOOD = PreferenceExample(
    id="good", kind="labelled", source="lone", topic="talk", prompt=PROMPT, chosen="It is Tarsin.", rejected=None
)
BAD = PreferenceExample(
    id="bad", kind="labelled", source="lone", topic="talk", prompt=PROMPT, chosen=None, rejected="No."
)
FROZEN = tuple(
    Example(
        id=f"f{i}",
        source="general",
        turns=(
            Turn(role="user", content=f"What is {i} + 17?"),
            Turn(role="assistant", content=str(i + 17), trained=True),
        ),
    )
    for i in range(5)
)


@pytest.fixture(scope="module")
def scorer(served: ServedForm) -> GGUFScorer:
    return GGUFScorer(served)


@pytest.fixture
def ask(tmp_path: Path) -> PreferenceAsk:
    claims = tmp_path / "claims.jsonl"
    rows = [
        {"id": f"c{i}", "prompt": f"I think it is {i}. What is it?", "right": "x", "wrong": str(i)} for i in range(3)
    ]
    claims.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return PreferenceAsk(examples=(PAIR, GOOD, BAD), frozen=FROZEN, claims=str(claims), probes=3)


def measured(scorer: GGUFScorer, served: ServedForm, ask: PreferenceAsk, folder: Path) -> tuple[PreferenceMeasure, int]:
    done: list[int] = []
    found = measure_preference(scorer, served, ask, ScoreCache(folder / "cache"), folder, done.append)
    return found, sum(done)


def test_both_answers_get_their_likelihood_with_the_end_marker(scorer: GGUFScorer) -> None:
    score = score_example(scorer, PAIR)
    assert score is not None and score.chosen is not None and score.rejected is not None
    head = f"<|im_start|>user\n{PROMPT[0].content}<|im_end|>\n<|im_start|>assistant\n"
    whole = scorer.tokenize(head + "It is Tarsin.<|im_end|>")
    assert score.chosen == pytest.approx(scorer.log_probabilities(whole)[-score.chosen_tokens :].sum(), abs=0.05)
    assert score.prefers is (score.chosen > score.rejected)


def test_a_labelled_answer_has_one_side_and_prefers_nothing(scorer: GGUFScorer) -> None:
    good, bad = score_example(scorer, GOOD), score_example(scorer, BAD)
    assert good is not None and bad is not None
    assert (good.rejected, good.rejected_tokens, bad.chosen, bad.chosen_tokens) == (None, 0, None, 0)
    assert good.prefers is None and bad.prefers is None


def test_what_the_model_cannot_read_whole_is_left_out(scorer: GGUFScorer) -> None:
    long = Turn(role="assistant", content="No! " * 2000)
    assert score_example(scorer, PAIR.model_copy(update={"rejected": long})) is None


def test_a_suite_of_pairs_says_which_answer_is_likelier_token_for_token(scorer: GGUFScorer) -> None:
    long = Turn(role="assistant", content="No! " * 2000)
    unread = PAIR.model_copy(update={"id": "unread", "rejected": long})
    swapped = PAIR.model_copy(update={"id": "swapped", "chosen": PAIR.rejected, "rejected": PAIR.chosen})
    items = (
        PairItem(example=PAIR, cluster="p", stratum="shop", fresh=False),
        PairItem(example=unread),
        PairItem(example=swapped),
    )
    asked, done = PairSuite(suite="corrections", items=items), []
    preferred, likelihood = score_pairs(scorer, asked, lambda: done.append(1))
    assert len(done) == count_pairs([asked]) == 3 and (preferred.metric, likelihood.metric) == (
        "preferred",
        "perplexity",
    )
    assert sorted(item.value for item in preferred.items) == [0, 1], "of a pair and its contrary one is right"
    first, other = likelihood.items
    assert (first.id, first.cluster, first.stratum, first.fresh, other.id) == ("pair", "p", "shop", False, "swapped")
    assert (first.value > other.value) is (preferred.items[0].value == 1)
    assert score_pairs(scorer, PairSuite(suite="pairs", items=items[1:2]), lambda: done.append(1)) == []


def test_everything_is_measured_and_told(
    scorer: GGUFScorer, served: ServedForm, ask: PreferenceAsk, tmp_path: Path
) -> None:
    found, told = measured(scorer, served, ask, tmp_path)
    assert told == ask.size == 3 + 5 + 3
    assert [item.id for item in found.claims] == ["c0", "c1", "c2"] and len(found.frozen) == 5
    assert [item.length is None for item in found.items] == [False, True, True]  # one greedy answer per prompt
    assert found.probe().chosen is not None and found.probe().kl is None


def test_an_answer_at_the_cap_is_marked(
    scorer: GGUFScorer, served: ServedForm, ask: PreferenceAsk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "MAX_ANSWER_TOKENS", 2)
    found, _ = measured(scorer, served, ask, tmp_path)
    assert [item.capped for item in found.items] == [True, False, False]


def test_claims_come_from_the_cache_and_give_the_same(
    scorer: GGUFScorer, served: ServedForm, ask: PreferenceAsk, tmp_path: Path
) -> None:
    first, _ = measured(scorer, served, ask, tmp_path)
    again, told = measured(scorer, served, ask, tmp_path)
    assert again == first and told == ask.size


def test_claims_judged_by_an_older_rule_are_judged_again(
    scorer: GGUFScorer, served: ServedForm, ask: PreferenceAsk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "agrees", lambda answer, claim: False)
    monkeypatch.setattr(preference, "AGREES_VERSION", 1)
    assert {item.value for item in measured(scorer, served, ask, tmp_path)[0].claims} == {0.0}
    monkeypatch.setattr(preference, "agrees", lambda answer, claim: True)
    monkeypatch.setattr(preference, "AGREES_VERSION", 2)
    assert {item.value for item in measured(scorer, served, ask, tmp_path)[0].claims} == {1.0}


def test_no_text_of_people_stays_anywhere(served: ServedForm, ask: PreferenceAsk, tmp_path: Path) -> None:
    forms = {"champion": served, "candidate": served}
    scores = measure_models(
        forms, Measurement(suites=(), preference=ask), tmp_path, suites=[tmp_path], cache=tmp_path / "scores"
    )
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in left if b"Tarsin" in path.read_bytes() or path.name == DISTRIBUTIONS]
    assert "Tarsin" not in scores["candidate"].model_dump_json()


def test_a_model_is_at_no_distance_from_itself_and_at_some_from_another(
    served: ServedForm, tiny_base: Path, ask: PreferenceAsk, tmp_path: Path
) -> None:
    from pipelines.gguf.convert import convert
    from pipelines.gguf.quantize import quantize

    rounded = quantize(convert(tiny_base, tmp_path / "f16.gguf").path, tmp_path / "q8.gguf", "Q8_0")
    other = ServedForm(kind="merged", path=str(rounded.path), sha256=rounded.sha256, quantization="Q8_0")
    forms = {"origin": served, "champion": served, "candidate": other}
    found = measure_models(
        forms, Measurement(suites=(), preference=ask), tmp_path, suites=[tmp_path], cache=tmp_path / "scores"
    )
    distances = {name: scores.preference.kl for name, scores in found.items() if scores.preference}
    assert distances["champion"] == distances["origin"] == 0
    assert distances["candidate"] is not None and 0 < distances["candidate"] < 0.01


def test_an_adapter_on_the_origin_is_another_form_than_the_origin(
    served: ServedForm, tiny_base: Path, ask: PreferenceAsk, tmp_path: Path
) -> None:
    from pipelines.gguf.adapter import convert_adapter

    report = convert_adapter(tiny_base, write_adapter(tiny_base, tmp_path / "lora"), tmp_path / "adapter.gguf")
    adapted = served.model_copy(
        update={"kind": "adapter", "adapter_path": str(report.path), "adapter_sha256": sha256_of(report.path)}
    )
    forms = {"origin": served, "champion": adapted, "candidate": adapted.model_copy(update={"scale": 0.5})}
    found = measure_models(
        forms, Measurement(suites=(), preference=ask), tmp_path, suites=[tmp_path], cache=tmp_path / "scores"
    )
    assert len({scores.form for scores in found.values()}) == 3


def test_the_distance_is_the_kl_of_the_distributions(tmp_path: Path) -> None:
    for name, rows in (("one", [[0.5, 0.5], [0.9, 0.1]]), ("other", [[0.25, 0.75], [0.9, 0.1]])):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / DISTRIBUTIONS, np.log(np.asarray(rows)).astype(np.float16))
    expected = (0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)) / 2
    found = compare(tmp_path / "one", tmp_path / "other")
    assert found is not None and found[1] == 2 and found[0] == pytest.approx(expected, abs=1e-3)


def test_models_of_different_vocabularies_are_not_compared(tmp_path: Path) -> None:
    for name, size in (("one", 4), ("other", 5)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / DISTRIBUTIONS, np.zeros((2, size), np.float16))
    with pytest.raises(SuiteError, match="different vocabularies"):
        compare(tmp_path / "one", tmp_path / "other")


def test_places_spread_over_the_answer_and_agree_with_the_likelihood(scorer: GGUFScorer) -> None:
    prompt, answer = scorer.tokenize("What is it? "), scorer.tokenize("It is the capital of Velmora.")
    rows = scorer.distributions(prompt, answer, range(len(answer)))
    assert np.exp(rows).sum(axis=1) == pytest.approx(np.ones(len(answer)))
    assert rows[range(len(answer)), answer].sum() == pytest.approx(scorer.loglikelihood(prompt, answer)[0], abs=0.05)


def test_a_probe_means_over_tokens_and_prompts() -> None:
    items = (
        PreferenceScore(id="a", chosen=-2.0, chosen_tokens=4, rejected=-3.0, rejected_tokens=2, length=3),
        PreferenceScore(id="b", chosen=-1.0, chosen_tokens=8, rejected=None, rejected_tokens=0),
        PreferenceScore(id="c", chosen=None, chosen_tokens=0, rejected=-9.0, rejected_tokens=5),
    )
    probe = PreferenceMeasure(items=items, claims=(), frozen=()).probe()
    assert (probe.chosen, probe.length, probe.preferred_length) == (-0.25, 3.0, 4.0)
    assert probe.agreement is None and probe.refusals is None


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot read"), ('{"id": "x"}', "line 1 is not a false claim of this version: prompt: Field required")],
)
def test_claims_that_cannot_be_used_are_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "claims.jsonl").write_text(text)
    with pytest.raises(DataError, match=said):
        load_claims(tmp_path / "claims.jsonl")
