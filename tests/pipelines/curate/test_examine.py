"""What `perennial privacy` shows of one text, and how it measures labelled ones."""

from typing import Any

import pytest

from pipelines.curate.examine import Examiner, Labelled, parse_labelled
from pipelines.errors import DataError
from tests.pipelines.curate.chats import CONFIG


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return Examiner(CONFIG)


def test_findings_say_where_what_by_whom_and_by_what(examiner: Examiner) -> None:
    text = "My name is Sarah Connor, sarah@skynet.com. sarah connor!"
    found = examiner.examine(text)
    assert [(text[one.start : one.end], one.entity, one.source) for one in found] == [
        ("Sarah Connor", "PERSON", "name rules"),
        ("sarah@skynet.com", "EMAIL_ADDRESS", "shape"),
        ("sarah connor", "PERSON", "repeated"),
    ]
    assert all(one.replacement and one.replacement not in text for one in found)


def test_recall_counts_what_is_hidden_whole_in_part_and_beside(examiner: Examiner) -> None:
    rows = [
        parse_labelled({"text": "My name is [[PERSON|Sarah Connor]]."}, 1),
        parse_labelled({"text": "kim@naver.com wrote", "spans": [[0, 13, "EMAIL"]]}, 2),
        parse_labelled({"text": "sky blue zorp", "spans": [{"start": 9, "end": 13, "label": "PERSON"}]}, 3),
        Labelled("My name is Sarah Connor.", ()),
    ]
    recalls, beside = examiner.score(rows)
    shown = {one.label: (one.marked, one.hidden, one.partly, one.recall) for one in recalls}
    assert shown == {"EMAIL": (1, 1, 0, 1.0), "PERSON": (2, 1, 0, 0.5), "all": (3, 2, 0, 2 / 3)}
    assert beside == 1


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        {"text": 5},
        {"text": "ab", "spans": [[0, 3, "X"]]},
        {"text": "ab", "spans": [[1, 1, "X"]]},
        {"text": "ab", "spans": ["X"]},
    ],
    ids=["empty", "list", "number", "beyond", "nothing", "no-span"],
)
def test_a_row_that_is_none_names_its_line(row: Any) -> None:
    with pytest.raises(DataError, match="line 7 "):
        parse_labelled(row, 7)
