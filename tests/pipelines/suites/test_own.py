"""A person's own checks: what their keys say, how they are divided, and what is no check."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ArtifactError, DataError, InputError, SuiteError
from pipelines.suites.join import join_suites
from pipelines.suites.own import read_own
from pipelines.suites.write import write_suite


def written(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_checks_become_a_suite_with_a_tenth_of_them_for_dev(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Which port has shop {n}?", "answer": str(n), "subject": "ports", "cluster": "shop"}
        for n in range(30)
    ]
    path = written(tmp_path / "shop.jsonl", *rows)
    suite = write_suite(tmp_path / "suites", read_own("shop", path))
    assert [len(suite.items[split]) for split in ("dev", "gate")] == [3, 27]
    first = suite.items["gate"][0]
    assert (first.stratum, first.cluster, suite.scorer, suite.metric) == ("ports", "shop", "exact", "exact_match")
    assert read_own("shop", path).task == read_own("shop", path).task
    with pytest.raises(ArtifactError, match="exists already"):
        write_suite(tmp_path / "suites", read_own("shop", path))


def test_texts_are_scored_behind_their_first_words(tmp_path: Path) -> None:
    text = read_own("manual", written(tmp_path / "manual.jsonl", *({"text": f"{n}" + " a b" * 20} for n in range(4))))
    first = text.gate[0]
    assert (text.task["scorer"], text.task["metric"]) == ("perplexity", "perplexity")
    assert (len(first.prompt.split()), len(first.answer.split())) == (12, 29)
    with pytest.raises(DataError, match="line 1: its `text` is one word"):
        read_own("manual", written(tmp_path / "word.jsonl", {"text": "word"}, {"text": "two words"}))


def test_parts_that_are_named_are_kept(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "answer": "1", "part": "dev" if n < 2 else "gate"} for n in range(5)]
    text = read_own("own", written(tmp_path / "own.jsonl", *rows))
    assert len(text.dev) == 2 and len(text.gate) == 3


@pytest.mark.parametrize("answer", ["elm", "B", 1], ids=["text", "letter", "place"])
def test_the_right_option_is_named_by_its_text_letter_or_place(tmp_path: Path, answer: object) -> None:
    rows = [{"prompt": f"Which tree, {n}?", "choices": ["oak", "elm"], "answer": answer} for n in range(2)]
    path = written(tmp_path / "trees.jsonl", *rows)
    text = read_own("trees", path)
    assert text.gate[0].answer == "B" and text.gate[0].prompt.endswith("?\nA. oak\nB. elm\nAnswer:")
    assert read_own("trees", path, "likelihood").gate[0].answer == "1"


@pytest.mark.parametrize(
    ("row", "scorer", "sentence"),
    [
        ({"answer": "4"}, None, "line 2 is no check: write e.g."),
        ({"prompt": "2 + 2?"}, None, "line 2 lacks `answer`"),
        ({"prompt": "?", "choices": ["a"], "answer": "a"}, "letter", "needs 2 to 10 `choices`, and has 1"),
        ({"prompt": "?", "choices": ["a", "b"], "answer": "c"}, "letter", "`answer` is none of its choices"),
        ({"prompt": "?", "answer": "x"}, "python", "lacks `tests` or `answer`"),
    ],
    ids=["no prompt", "no answer", "one choice", "another answer", "no tests"],
)
def test_what_is_no_check_is_named_by_its_line(tmp_path: Path, row: Any, scorer: str | None, sentence: str) -> None:
    good = {"prompt": "1?", "answer": "a", "choices": ["a", "b"], "tests": "assert 1"}
    path = written(tmp_path / "own.jsonl", good if scorer else {"prompt": "1?", "answer": "a"}, row)
    with pytest.raises(DataError, match=sentence):
        read_own("own", path, scorer)


def test_a_scorer_that_is_none_and_a_file_with_one_line_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "own.jsonl", *[{"prompt": "1?", "answer": "a"}] * 2)
    with pytest.raises(
        InputError, match="no scorer is called 'judge'; known are letter, likelihood, exact, maths, python"
    ):
        read_own("own", path, "judge")
    with pytest.raises(DataError, match="holds 1 checks"):
        read_own("own", written(tmp_path / "one.jsonl", {"prompt": "1?", "answer": "a"}))


def test_suites_that_are_scored_alike_are_joined_and_keep_what_stands_before_their_questions(tmp_path: Path) -> None:
    parts = []
    for name, shown in (("ports", {"": "Q: 0? A: 0\n"}), ("hosts", {})):
        rows = [{"prompt": f"{name} {n}?", "answer": str(n), "subject": "late" if n % 2 else ""} for n in range(20)]
        text = read_own(name, written(tmp_path / f"{name}.jsonl", *rows))
        parts.append(write_suite(tmp_path / "suites", replace(text, prefixes=shown)))
    suite = write_suite(tmp_path / "suites", join_suites("both", parts))
    assert [len(suite.items[split]) for split in ("dev", "gate")] == [4, 36]
    assert {item.stratum for item in suite.items["gate"]} == {"ports", "ports/late", "hosts", "hosts/late"}
    asked = {item.question for part in parts for item in part.items["gate"]}
    assert {item.question for item in suite.items["gate"]} == asked and suite.metadata["joins"] == "ports, hosts"
    with pytest.raises(SuiteError, match="with one scorer of ours can be joined"):
        join_suites("one", parts[:1])
