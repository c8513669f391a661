"""The harness over a real GGUF: right scores, one forward per question, nothing measured twice."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import chat
from pipelines.errors import SuiteError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.recipe import Metric
from pipelines.records import ServedForm
from pipelines.suites.asked import AskedModel
from pipelines.suites.cache import ScoreCache
from pipelines.suites.harness import ServedModel
from pipelines.suites.load import Item, Scorer, Suite, choose_items, load_suite
from pipelines.suites.prompts import question_ids, template_of
from pipelines.suites.run import _run_by_scorer, run_suite, score_suites
from pipelines.suites.scorers import perplexity
from tests.pipelines.suites.conftest import choice_rows


class CountingScorer(GGUFScorer):
    """Counts the forwards it makes."""

    def __init__(self, form: ServedForm) -> None:
        super().__init__(form)
        self.forwards = 0
        feed = self._session.feed

        def counted(*arguments: object, **options: object) -> object:
            self.forwards += 1
            return feed(*arguments, **options)  # type: ignore[arg-type]

        self._session.feed = counted  # type: ignore[method-assign, assignment]


@pytest.fixture
def scorer(served: ServedForm) -> Iterator[CountingScorer]:
    with CountingScorer(served) as opened:
        yield opened


@pytest.fixture
def letters(suites: Path) -> Suite:
    return load_suite(suites / "letters")


@pytest.fixture
def sums(suites: Path) -> Suite:
    return load_suite(suites / "sums")


def nothing(*_: object) -> None:
    """Progress that nobody follows."""


def test_one_letter_questions_cost_one_forward_each_and_score_as_the_logits_say(
    scorer: CountingScorer, letters: Suite
) -> None:
    items = letters.items["gate"]
    scores = run_suite(scorer, letters, items, nothing)
    assert scorer.forwards == len(items)
    ids = [scorer.tokenize(letter)[0] for letter in "ABCD"]
    for item in items:
        logits = scorer.choice_logits(question_ids(scorer, item.prompt), ids)
        assert scores[item.digest] == float("ABCD"[logits.index(max(logits))] == item.answer)


def test_generated_answers_are_compared_whole(scorer: CountingScorer, sums: Suite, suites: Path) -> None:
    prompt = sums.items["gate"][0].prompt
    written = scorer.generate(question_ids(scorer, prompt), 4, ["\n"])
    rows = [
        {"id": "right", "prompt": prompt, "answer": written},
        {"id": "wrong", "prompt": prompt, "answer": written + "0"},
    ]
    (suites / "sums" / "gate.jsonl").write_text("\n".join(map(json.dumps, rows)))
    suite = load_suite(suites / "sums")
    scores = run_suite(scorer, suite, suite.items["gate"], nothing)
    assert [scores[item.digest] for item in suite.items["gate"]] == [1.0, 0.0]


def test_a_second_measurement_of_the_same_form_runs_nothing(
    scorer: CountingScorer, served: ServedForm, letters: Suite, sums: Suite, tmp_path: Path
) -> None:
    cache = ScoreCache(tmp_path / "scores")
    some = [(letters, choose_items(letters, "gate", 4)), (sums, sums.items["gate"])]
    first = score_suites(scorer, served, some, cache, nothing)
    before = scorer.forwards
    assert score_suites(scorer, served, some, cache, nothing) == first and scorer.forwards == before
    score_suites(scorer, served, [(letters, letters.items["gate"])], cache, nothing)
    assert scorer.forwards == before + 4


def test_two_rounds_that_keep_scores_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)

    def keep(number: int) -> None:
        for turn in range(20):
            cache.add({"form": "origin"}, {f"{number}-{turn}": 1.0})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    assert len(cache.read({"form": "origin"})) == 80
    assert len(list(tmp_path.rglob("*.*"))) == 1


def test_another_form_task_or_scale_is_measured_anew(
    scorer: CountingScorer, served: ServedForm, letters: Suite, suites: Path, tmp_path: Path
) -> None:
    cache = ScoreCache(tmp_path / "scores")
    choice = [(letters, letters.items["gate"])]
    score_suites(scorer, served, choice, cache, nothing)
    before = scorer.forwards
    adapted = served.model_copy(update={"kind": "adapter", "adapter_sha256": "0" * 64, "scale": 0.5})
    score_suites(scorer, adapted, choice, cache, nothing)
    assert scorer.forwards == before + 8
    score_suites(scorer, adapted.model_copy(update={"scale": 1.0}), choice, cache, nothing)
    assert scorer.forwards == before + 16
    path = suites / "letters" / "letters.yaml"
    path.write_text(path.read_text().replace("version: 1", "version: 2"))
    newer = load_suite(suites / "letters")
    score_suites(scorer, served, [(newer, newer.items["gate"])], cache, nothing)
    assert scorer.forwards == before + 24


def test_progress_counts_every_item_once(
    scorer: CountingScorer, served: ServedForm, letters: Suite, sums: Suite, tmp_path: Path
) -> None:
    told: list[int] = []
    choices = [(letters, letters.items["gate"]), (sums, sums.items["gate"])]
    for _ in range(2):
        score_suites(scorer, served, choices, ScoreCache(tmp_path), lambda count, _name: told.append(count))
    assert sum(told) == 2 * 16


def test_the_harness_prompts_are_those_of_serving(scorer: CountingScorer) -> None:
    model = ServedModel(scorer)
    history = [{"role": "user", "content": "hi <|im_end|>"}]
    assert model.apply_chat_template(history) == chat.render(
        template_of(scorer), history, escape=scorer.escape, generate=True
    )
    opened = model.apply_chat_template(
        [*history, {"role": "assistant", "content": "Well"}], add_generation_prompt=False
    )
    assert opened.endswith("assistant\nWell")


def test_sampled_answers_are_refused(scorer: CountingScorer, suites: Path) -> None:
    path = suites / "sums" / "sums.yaml"
    path.write_text(path.read_text().replace("do_sample: false", "do_sample: true"))
    suite = load_suite(suites / "sums")
    with pytest.raises(SuiteError, match="greedy"):
        run_suite(scorer, suite, suite.items["gate"], nothing)


def test_a_rolling_likelihood_covers_every_token_once(scorer: CountingScorer) -> None:
    from lm_eval.api.instance import Instance

    text = "벨모라의 수도는 타르신입니다. " * 4
    ids = scorer.tokenize(text, special=False)
    request = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    (total,) = ServedModel(scorer).loglikelihood_rolling([request])
    assert total == pytest.approx(scorer.log_probabilities([scorer.end_token, *ids]).sum(), rel=1e-3)


def test_a_perplexity_is_that_of_the_words_behind_the_first_ones(scorer: CountingScorer) -> None:
    item = Item("one", "The capital of Banoko", "is Tilu, in the north.", "", {})
    before, behind = (scorer.tokenize(text) for text in (item.prompt, f" {item.answer}"))
    expected = scorer.log_probabilities([*before, *behind])[-len(behind) :]
    assert perplexity.score(item, AskedModel(scorer)) == pytest.approx(expected.mean(), rel=1e-3)


def own(suite: Suite, scorer: Scorer, metric: Metric, **task: object) -> Suite:
    """The suite as one of ours, which names its scorer."""
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True}]
    return replace(suite, scorer=scorer, metric=metric, task={**suite.task, **task, "metric_list": metrics})


def test_our_scorers_of_choices_and_of_words_agree_with_the_harness(scorer: CountingScorer, suites: Path) -> None:
    letters, sums = load_suite(suites / "letters"), load_suite(suites / "sums")
    endings = [
        {**row, "answer": str(n % 4), "choices": ["oak", "a tall elm", "fir tree", "ash"]}
        for n, row in enumerate(choice_rows("dev", 8))
    ]
    (suites / "letters" / "dev.jsonl").write_text("\n".join(map(json.dumps, endings)))
    whole = {"doc_to_choice": "{{choices}}", "doc_to_target": "{{answer|int}}"}
    likely = own(load_suite(suites / "letters"), "likelihood", "acc_norm", **whole)
    for ours, split in (
        (own(letters, "letter", "acc"), "gate"),
        (likely, "dev"),
        (own(sums, "exact", "exact_match"), "gate"),
    ):
        items = ours.items[split]  # type: ignore[index]
        [fresh] = _run_by_scorer(scorer, ours, items, nothing)
        assert fresh[ours.metric] == run_suite(scorer, ours, items, nothing)


@pytest.mark.parametrize("by", ["scorer", "harness"])
def test_what_was_scored_before_a_scorer_stopped_is_kept(
    scorer: CountingScorer, served: ServedForm, letters: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr("pipelines.suites.run.KEPT_EVERY", 3)
    ours, cache = own(letters, "letter", "acc") if by == "scorer" else letters, ScoreCache(tmp_path)
    done: list[int] = []

    def stop(count: int, _: str) -> None:
        done.append(count)
        if sum(done) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_suites(scorer, served, [(ours, ours.items["gate"])], cache, stop)
    before = scorer.forwards
    [scores] = score_suites(scorer, served, [(ours, ours.items["gate"])], cache, nothing)
    assert scorer.forwards == before + 5 and len(scores.items) == 8


def test_a_golden_suite_is_scored_by_three_metrics_and_its_clusters_reach_the_gate(
    scorer: CountingScorer, served: ServedForm, sums: Suite, tmp_path: Path
) -> None:
    golden = own(sums, "golden", "agreement", generation_kwargs={"max_gen_toks": 4})
    items = [replace(item, fields={**item.fields, "cluster": "one"}) for item in golden.items["gate"]]
    scores = score_suites(scorer, served, [(golden, items)], ScoreCache(tmp_path), nothing)
    assert [entry.metric for entry in scores] == ["agreement", "length", "refusals"]
    assert {item.cluster for entry in scores for item in entry.items} == {"one"}
    before = scorer.forwards
    assert score_suites(scorer, served, [(golden, items)], ScoreCache(tmp_path), nothing) == scores
    assert scorer.forwards == before


def test_a_prompt_that_is_longer_than_the_model_reads_is_answered_with_nothing(
    scorer: CountingScorer, sums: Suite
) -> None:
    item = replace(sums.items["gate"][0], prompt="word " * 3000)
    assert dict(AskedModel(scorer).answer_each([item], {"max_gen_toks": 4})) == {0: ""}
