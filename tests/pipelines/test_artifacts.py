"""JSONL files of records: what was written comes back, and a line that is none is refused without its text."""

from pathlib import Path

import pytest

from pipelines.artifacts import digest_of, digest_of_records, read_records, write_records
from pipelines.errors import DataError
from pipelines.mixture.anchors import load_pool
from pipelines.records import Example, Turn

# line separators that str.splitlines knows and JSON does not escape
SEPARATORS = "one\u2028two\u2029three\x85four\x0bfive\r\nsix"


def example(id: str, text: str) -> Example:
    return Example(id=id, source="new", turns=(Turn(role="assistant", content=text, trained=True),))


def test_records_come_back_as_they_were_written_whatever_line_separators_their_text_holds(tmp_path: Path) -> None:
    records = [example("a", SEPARATORS), example("b", "안녕")]

    assert write_records(tmp_path / "examples.jsonl", records) == 2
    assert list(read_records(tmp_path / "examples.jsonl", Example)) == records


def test_an_anchor_pool_may_hold_a_line_separator_in_its_text(tmp_path: Path) -> None:
    line = '{"id": "a", "family": "f", "turns": [{"role": "assistant", "content": "one\u2028two"}]}\n'
    (tmp_path / "general.jsonl").write_text(line, encoding="utf-8")

    assert load_pool(tmp_path / "general.jsonl", "general").anchors[0].turns[0].content == "one\u2028two"


def test_a_line_that_is_no_such_record_is_named_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "examples.jsonl"
    file.write_text(
        example("a", "fine").model_dump_json() + '\n\n{"id": "b", "source": "my secret"}\n', encoding="utf-8"
    )

    with pytest.raises(DataError, match=r"examples\.jsonl, line 3 is not an example of this version: source") as error:
        list(read_records(file, Example))
    assert "my secret" not in str(error.value)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [(None, "cannot read .*gone.jsonl: No such file"), (b"\xff\n", "gone.jsonl is not UTF-8 text")],
    ids=["no file", "not UTF-8"],
)
def test_a_file_that_cannot_be_read_gives_one_sentence(tmp_path: Path, written: bytes | None, sentence: str) -> None:
    if written is not None:
        (tmp_path / "gone.jsonl").write_bytes(written)

    with pytest.raises(DataError, match=sentence):
        list(read_records(tmp_path / "gone.jsonl", Example))


def test_records_have_the_digest_of_their_values_though_they_are_read_one_by_one() -> None:
    lists = [[example("a", SEPARATORS), example("b", "안녕")], [], [example("c", "")]]
    assert digest_of_records(lists) == digest_of([[one.model_dump(mode="json") for one in lines] for lines in lists])
