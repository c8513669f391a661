"""Suites as data: what is refused, in which words, and which items a count chooses."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from pipelines.errors import SuiteError
from pipelines.suites.load import choose_items, load_suite

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "suites"


def rewrite(folder: Path, **changes: object) -> Path:
    path = folder / f"{folder.name}.yaml"
    task = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in task.items() if value is not None}))
    return folder


def test_a_suite_is_read_with_its_version_metric_and_items(suites: Path) -> None:
    suite = load_suite(suites / "letters")
    assert (suite.name, suite.version, suite.metric) == ("letters", "1", "acc")
    assert [item.id for item in suite.items["gate"]][:2] == ["gate-0", "gate-1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric_list": [{"metric": "bleu"}]}, "unknown metric 'bleu'"),
        ({"metric_list": None}, "has no metric"),
        ({"metadata": None}, "has no version"),
        ({"output_type": "loglikelihood_rolling"}, "output_type 'loglikelihood_rolling'"),
        ({"task": "other"}, "must be a task named letters"),
        ({"include": "base.yaml"}, "includes another file"),
    ],
)
def test_a_task_that_cannot_be_scored_is_refused(suites: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        load_suite(rewrite(suites / "letters", **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "v1 has no items: .*gate.jsonl is empty"),
        ("{not json}", "line 1 of .* is not JSON"),
        ('{"id": "a", "prompt": "b"}', "lacks answer"),
        ('{"id": "a", "prompt": "b", "answer": 3}', "must be text"),
        ('{"id": "dev-0", "prompt": "b", "answer": "c"}', "repeats the id 'dev-0'"),
        ("[1]", "lacks id, prompt, answer"),
    ],
)
def test_malformed_items_are_refused_with_file_and_line(suites: Path, text: str, message: str) -> None:
    (suites / "letters" / "gate.jsonl").write_text(text)
    with pytest.raises(SuiteError, match=message):
        load_suite(suites / "letters")


def test_a_missing_suite_or_file_is_named(suites: Path) -> None:
    with pytest.raises(SuiteError, match="'nothing' is missing"):
        load_suite(suites / "nothing")
    (suites / "sums" / "dev.jsonl").unlink()
    assert load_suite(suites / "sums").items["dev"] == ()  # scales are chosen on it, and most recipes name one
    (suites / "sums" / "gate.jsonl").unlink()
    with pytest.raises(SuiteError, match=r"gate\.jsonl"):
        load_suite(suites / "sums")


def test_code_in_a_suite_is_refused(suites: Path) -> None:
    path = suites / "sums" / "sums.yaml"
    path.write_text(path.read_text() + "process_results: !function utils.score\n")
    with pytest.raises(SuiteError, match="the tag `!function`: plain data has none"):
        load_suite(suites / "sums")


@pytest.mark.parametrize("line", ["day: 2026-99-99", "number: !!float zz", "number: 0x_", "same: 1\nsame: 2"])
def test_a_task_that_yaml_itself_would_stumble_over_is_read_or_refused_in_a_sentence(suites: Path, line: str) -> None:
    path = suites / "sums" / "sums.yaml"
    path.write_text(f"{path.read_text()}{line}\n")
    if line == "day: 2026-99-99":
        assert load_suite(suites / "sums").task["day"] == "2026-99-99"
    else:
        with pytest.raises(SuiteError, match="sums.yaml is not valid YAML: "):
            load_suite(suites / "sums")


def test_the_digest_covers_task_and_items(suites: Path) -> None:
    before = load_suite(suites / "sums").digest
    rows = (suites / "sums" / "gate.jsonl").read_text()
    (suites / "sums" / "gate.jsonl").write_text(rows.replace("What is 3", "What was 3"))
    assert load_suite(suites / "sums").digest != before


def test_a_choice_is_stratified_fixed_and_free_of_the_order_of_the_file(suites: Path) -> None:
    folder = suites / "letters"
    chosen = choose_items(load_suite(folder), "gate", 4, seed=3)
    assert Counter(item.stratum for item in chosen) == {"even": 2, "odd": 2}
    lines = (folder / "gate.jsonl").read_text().splitlines()
    (folder / "gate.jsonl").write_text("\n".join(reversed(lines)))
    assert {item.id for item in choose_items(load_suite(folder), "gate", 4, seed=3)} == {item.id for item in chosen}


def test_another_seed_chooses_other_items_and_a_large_count_takes_all(suites: Path) -> None:
    suite = load_suite(suites / "letters")
    choices = {tuple(item.id for item in choose_items(suite, "gate", 4, seed=seed)) for seed in range(6)}
    assert len(choices) > 1
    assert choose_items(suite, "gate", 600) == choose_items(suite, "gate", None) == suite.items["gate"]


def test_half_of_the_items_change_with_the_quarter_and_half_stay() -> None:
    suite = load_suite(SHIPPED / "tiny_math")
    quarters = ("2026Q3", "2026Q4", "2027Q1")
    chosen = [{item.id for item in choose_items(suite, "gate", 300, quarter=quarter)} for quarter in quarters]
    assert [len(one) for one in chosen] == [300] * 3 and len(set.intersection(*chosen)) >= 150
    for one, other in pairwise(chosen):
        # half stays, and of the rest one in nine is chosen again by chance: 150 of 1,350
        assert 150 <= len(one & other) <= 190
    assert chosen[1] == {item.id for item in choose_items(suite, "gate", 300, quarter="2026Q4")}
    strata = [
        Counter(item.stratum for item in choose_items(suite, "gate", 300, quarter=quarter)) for quarter in quarters
    ]
    assert strata[0] == strata[1] == strata[2]
    assert choose_items(suite, "gate", None, quarter="2026Q4") == suite.items["gate"]


def test_uneven_strata_get_their_share_to_the_last_item(suites: Path) -> None:
    rows = [{"id": str(i), "prompt": "p", "answer": "A", "stratum": "x" if i < 7 else "yz"[i % 2]} for i in range(10)]
    (suites / "letters" / "gate.jsonl").write_text("\n".join(map(json.dumps, rows)))
    counts = Counter(item.stratum for item in choose_items(load_suite(suites / "letters"), "gate", 5))
    assert sum(counts.values()) == 5 and counts["x"] in (3, 4)


@pytest.mark.parametrize("name", ["tiny_kmmlu", "tiny_mmlu", "tiny_humaneval", "tiny_math"])
def test_shipped_suites_hold_fifteen_hundred_gate_items(name: str) -> None:
    suite = load_suite(SHIPPED / name)
    assert len(suite.items["gate"]) >= 1200 and len(suite.items["dev"]) >= 100
    assert len(choose_items(suite, "gate", 600)) == 600
