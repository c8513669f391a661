"""A real, if ignorant, GGUF and toy suites in the shipped format."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipelines.errors import MissingDependency
from pipelines.records import ServedForm
from pipelines.suites.sandbox import find_sandbox

MakeSuite = Callable[..., Path]

CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "{{['A', 'B', 'C', 'D'].index(answer)}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
ANSWER = {
    "output_type": "generate_until",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False, "temperature": 0.0},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


def choice_rows(split: str, count: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"{split}-{i}",
            "prompt": f"Question {i}?\nA) oak\nB) elm\nC) fir\nD) ash\nOne letter:",
            "answer": "ABCD"[i % 4],
            "stratum": "even" if i % 2 == 0 else "odd",
            "choices": ["oak", "elm", "fir", "ash"],
        }
        for i in range(count)
    ]


def answer_rows(split: str, count: int) -> list[dict[str, object]]:
    return [
        {"id": f"{split}-{i}", "prompt": f"What is {i} + 17?", "answer": str(i + 17), "stratum": "add"}
        for i in range(count)
    ]


def write_suite(
    folder: Path, task: dict[str, object], rows: Callable[[str, int], list[dict[str, object]]], count: int = 8
) -> Path:
    folder.mkdir(parents=True)
    whole = {
        "task": folder.name,
        "dataset_path": "json",
        "validation_split": "dev",
        "test_split": "gate",
        "dataset_kwargs": {"data_files": {"dev": "dev.jsonl", "gate": "gate.jsonl"}},
        "doc_to_text": "{{prompt}}",
        "target_delimiter": "",
        "metadata": {"version": 1},
        **task,
    }
    (folder / f"{folder.name}.yaml").write_text(yaml.safe_dump(whole))
    for split in ("dev", "gate"):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows(split, count)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    """A folder with the suites `letters` and `sums`, eight items per split, and four language prompts."""
    write_suite(tmp_path / "suites" / "letters", CHOICE, choice_rows)
    write_suite(tmp_path / "suites" / "sums", ANSWER, answer_rows)
    prompts = [
        ("ko-1", "안녕하세요?", "Hang"),
        ("ko-2", "고마워요.", "Hang"),
        ("en-1", "Hello!", "Latn"),
        ("en-2", "Thanks.", "Latn"),
    ]
    (tmp_path / "suites" / "language").mkdir()
    lines = [json.dumps({"id": key, "prompt": prompt, "script": script}) for key, prompt, script in prompts]
    (tmp_path / "suites" / "language" / "prompts.jsonl").write_text("\n".join(lines))
    return tmp_path / "suites"


@pytest.fixture(scope="session")
def served(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedForm:
    """The random tiny model as a GGUF."""
    from pipelines.gguf.convert import convert

    report = convert(tiny_base, tmp_path_factory.mktemp("served") / "tiny.gguf")
    return ServedForm(kind="merged", path=str(report.path), sha256=report.sha256, quantization="F16")


@pytest.fixture
def needs_sandbox() -> None:
    """Skips where nothing keeps a program from the network: there Python answers are refused, not scored."""
    try:
        find_sandbox()
    except MissingDependency as error:
        pytest.skip(str(error))
