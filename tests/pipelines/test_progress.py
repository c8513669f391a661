"""Lines of progress: what a killed process left of them is passed over."""

import json
from pathlib import Path

import pytest

from pipelines.progress import number_of, read_progress, report_progress

WHOLE = '{"stage": "train", "done": 3, "total": 10}'


@pytest.mark.parametrize(
    ("torn", "why"),
    [
        (WHOLE[:20], "being written"),
        (f"{WHOLE[:20]}{WHOLE}\n", "the next one behind a half"),
        ("\n", "empty"),
        ("[1]\n", "a list"),
        ('{"stage": "train"}\n', "without figures"),
        ('{"stage": "train", "done": "3", "total": 10}\n', "a text for a figure"),
        ('{"stage": "train", "done": NaN, "total": 10}\n', "NaN"),
        ('{"stage": "train", "done": 1e999, "total": 10}\n', "too large"),
        (f'{{"stage": "train", "done": {"9" * 400}, "total": 10}}\n', "far too large"),
        (f'{{"stage": "train", "done": {"9" * 5000}, "total": 10}}\n', "larger than Python reads"),
        ("[" * 5_000 + "\n", "deep"),
        ("\0\0\0\n", "zeros after a crash of the machine"),
    ],
)
def test_what_is_no_whole_line_is_passed_over(tmp_path: Path, torn: str, why: str) -> None:
    (tmp_path / "progress.jsonl").write_text(f"{WHOLE}\n{torn}")
    assert read_progress(tmp_path / "progress.jsonl") == [json.loads(WHOLE)], why


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_bytes(b"\xff\xfe\n" + WHOLE.encode() + b"\n")
    assert read_progress(tmp_path / "progress.jsonl") == [json.loads(WHOLE)]


def test_a_loss_that_is_no_number_is_left_out_of_its_line(tmp_path: Path) -> None:
    report_progress(tmp_path, "train", 1, 2, loss=float("nan"), message="warming up")
    [line] = read_progress(tmp_path / "progress.jsonl")
    assert "loss" not in line and line["message"] == "warming up"


def test_there_are_no_lines_without_a_file(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "progress.jsonl") == []


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), ("2.5", 2.5), ("", None), (None, None), ("nan", None), ("inf", None), (10**400, None), ([1], None)],
)
def test_a_number_is_finite_or_none(value: object, number: float | None) -> None:
    assert number_of(value) == number
